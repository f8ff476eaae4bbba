variable "name" {
  description = "Prefix of the buckets' names; S3 names are unique in the world, so put the organisation into it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{2,40}$", var.name))
    error_message = "3 to 41 lower-case letters, digits and hyphens."
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
    condition     = var.lineages >= 1 && var.lineages <= 100
    error_message = "1 to 100; S3 takes 1,000 rules in all."
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

variable "administrators" {
  description = "ARNs of principals that may remove object versions and change the bucket's rules; everyone else is refused."
  type        = list(string)

  validation {
    condition     = length(var.administrators) > 0 && alltrue([for arn in var.administrators : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[^*]+$", arn))])
    error_message = "At least one role or user, by its whole ARN."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
