variable "project" {
  description = "The Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region, such as europe-west1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region such as europe-west1, not a zone."
  }
}

variable "name" {
  description = "Prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}$", var.name))
    error_message = "2 to 25 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "labels" {
  description = "Labels of everything that takes them."
  type        = map(string)
  default     = {}
}

variable "key" {
  description = "Id of the key for the secrets, in the same region."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.key))
    error_message = "projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "secrets" {
  description = "Secrets by name, and who may read each, as serviceAccount:... Their values are put in by hand (gcloud secrets versions add), never by Terraform."
  type        = map(set(string))

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-zA-Z][a-zA-Z0-9_-]{0,200}$", name))])
    error_message = "Names of letters, digits, - and _."
  }
  validation {
    condition     = alltrue(flatten([for members in values(var.secrets) : [for member in members : can(regex("^(serviceAccount|principal):[^*]+$", member))]]))
    error_message = "Readers are single identities: serviceAccount:<address> or principal://..."
  }
}
