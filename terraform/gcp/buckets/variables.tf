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

variable "bucket_prefix" {
  description = "Prefix of the buckets' names; they are unique in the world, so put the organisation into it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{2,40}$", var.bucket_prefix))
    error_message = "3 to 41 lower-case letters, digits and hyphens."
  }
}

variable "location" {
  description = "Where the buckets lie: the region of the jobs, or a dual region such as EUR4 for prod. The key must lie there too."
  type        = string
}

variable "key" {
  description = "Id of the key for the buckets."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.key))
    error_message = "projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "checkpoint_root" {
  description = "Folder of all checkpoints in the bucket: the end of --checkpoint-dir."
  type        = string
  default     = "aqueduct"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.checkpoint_root))
    error_message = "A folder such as aqueduct or team/aqueduct, without a slash at either end."
  }
}

variable "jobs" {
  description = "Names of the jobs (their pipeline.name) whose deleted blobs may go after deleted_blobs_days."
  type        = set(string)

  validation {
    condition     = length(var.jobs) > 0 && alltrue([for job in var.jobs : can(regex("^[a-z0-9-]+$", job))])
    error_message = "At least one name of lower-case letters, digits and hyphens."
  }
}

variable "lineages" {
  description = "For how many lineages (rewinds) of a job deleted blobs are cleared away. Later ones only cost storage."
  type        = number
  default     = 8

  validation {
    condition     = var.lineages >= 1 && var.lineages <= 50
    error_message = "1 to 50."
  }
}

variable "deleted_blobs_days" {
  description = "How long a blob that the engine has collected, or that someone has deleted, can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.deleted_blobs_days >= 7
    error_message = "At least 7 days: a deleted folder is found on a Monday."
  }
}

variable "soft_delete_days" {
  description = "How long Google keeps what was deleted, beyond versions: 7 to 90 days."
  type        = number
  default     = 30

  validation {
    condition     = var.soft_delete_days >= 7 && var.soft_delete_days <= 90
    error_message = "7 to 90 days."
  }
}

variable "results_retention_days" {
  description = "For so long nobody can delete or replace a result file. 0: versions instead, and for tables with 'sink.layout' = 'object-per-row', which replace."
  type        = number
  default     = 0

  validation {
    condition     = var.results_retention_days >= 0 && var.results_retention_days <= 3650
    error_message = "0 to 3650 days."
  }
}

variable "log_days" {
  description = "How long copies of container logs, job drivers' output and cluster staging files are kept."
  type        = number
  default     = 90

  validation {
    condition     = var.log_days >= 30
    error_message = "At least 30 days."
  }
}
