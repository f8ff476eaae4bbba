terraform {
  required_version = ">= 1.11"
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
