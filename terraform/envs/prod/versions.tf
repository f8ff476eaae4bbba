terraform {
  required_version = ">= 1.11"

  # Bucket and key: terraform init -backend-config=backend.hcl (see backend.hcl.example). The state holds the tunnels' keys.
  backend "gcs" {
    prefix = "aqueduct/prod"
  }

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

provider "aws" {
  region = var.aws_region
}

provider "google" {
  project = var.project
  region  = var.google_region
}
