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

variable "network_id" {
  description = "The VPC in which the instance gets its private address."
  type        = string
}

variable "managed_connection" {
  description = "The private services connection (gcp/network); the instance waits for it."
  type        = string
}

variable "key" {
  description = "Id of the key for the instance's disks and backups."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.key))
    error_message = "projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "database_version" {
  description = "Version of Postgres."
  type        = string
  default     = "POSTGRES_15"

  validation {
    condition     = can(regex("^POSTGRES_1[5-9]$", var.database_version))
    error_message = "POSTGRES_15 or newer."
  }
}

variable "tier" {
  description = "Machine type of the instance."
  type        = string
  default     = "db-custom-2-7680"
}

variable "high_availability" {
  description = "A standby in another zone of the region."
  type        = bool
  default     = true
}

variable "disk_gib" {
  description = "First size of the disk; it grows by itself."
  type        = number
  default     = 50
}

variable "backups_kept" {
  description = "Daily backups that are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.backups_kept >= 7
    error_message = "At least 7."
  }
}

variable "log_days" {
  description = "For so many days any moment can be restored: 1 to 7."
  type        = number
  default     = 7

  validation {
    condition     = var.log_days >= 1 && var.log_days <= 7
    error_message = "1 to 7 days."
  }
}

variable "database" {
  description = "The database of the results."
  type        = string
  default     = "analytics"
}

variable "user" {
  description = "The job's user. It owns nothing: the tables are made beforehand, see the README."
  type        = string
  default     = "aqueduct"
}

variable "user_password" {
  description = "Written as a write-only argument: it is in no state and in no plan. Null with user_password_version = 0."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "user_password_version" {
  description = "0: somebody else makes the user. Raise it to write user_password again."
  type        = number
  default     = 0
}
