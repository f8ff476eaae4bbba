variable "project" {
  description = "The Google Cloud project, best one for the jobs alone."
  type        = string
}

variable "project_number" {
  description = "Its number."
  type        = string
}

variable "google_region" {
  description = "Region of the jobs; near the brokers."
  type        = string
  default     = "europe-west1"
}

variable "aws_region" {
  description = "Region of the brokers."
  type        = string
  default     = "eu-west-1"
}

variable "organisation" {
  description = "Goes into the buckets' names, which are unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.organisation))
    error_message = "2 to 16 lower-case letters, digits and hyphens."
  }
}

variable "tls_client_authorities" {
  description = "ARNs of the private authorities whose client certificates the brokers accept."
  type        = list(string)
}

variable "artifact" {
  description = "The program in the artifacts bucket: the tarball of ./dev dist with its SHA-256, and the program itself."
  type = object({
    uri         = string
    sha256      = string
    program_uri = string
  })
}
