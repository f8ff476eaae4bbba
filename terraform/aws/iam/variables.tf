variable "name" {
  description = "Prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name))
    error_message = "2 to 41 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "google_identities" {
  description = "Google service accounts that may take the role, by a name of your choice: their unique numeric ids (not their addresses, which can be given away and taken again)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for id in values(var.google_identities) : can(regex("^[0-9]{15,25}$", id))])
    error_message = "The unique id of a service account is a number of about 21 digits."
  }
}

variable "google_audience" {
  description = "The audience for which the job asks Google's token, a name of your choice."
  type        = string
  default     = "sts.amazonaws.com/aqueduct"

  validation {
    condition     = length(var.google_audience) >= 8 && !can(regex("[*?]", var.google_audience))
    error_message = "At least 8 characters, no wildcards."
  }
}

variable "kubernetes_identities" {
  description = "Kubernetes service accounts that may take the role: the ARN and issuer (without https://) of the cluster's OIDC provider in IAM, namespace and name. For EKS and, registered by hand, for GKE."
  type = map(object({
    provider_arn    = string
    issuer          = string
    namespace       = string
    service_account = string
  }))
  default = {}

  validation {
    condition = alltrue([
      for identity in values(var.kubernetes_identities) :
      !can(regex("[*?]", "${identity.namespace}${identity.service_account}${identity.issuer}")) && !startswith(identity.issuer, "https://")
    ])
    error_message = "Whole names only, and the issuer without https://."
  }
}

variable "cluster_arn" {
  description = "The MSK cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kafka:[a-z0-9-]+:[0-9]{12}:cluster/[^/*]+/[^/*]+$", var.cluster_arn))
    error_message = "arn:aws:kafka:<region>:<account>:cluster/<name>/<uuid>."
  }
}

variable "read_topics" {
  description = "Topics that the jobs read."
  type        = set(string)
}

variable "write_topics" {
  description = "Topics that the jobs write. Nobody but an administrator creates topics."
  type        = set(string)
  default     = []
}

variable "groups" {
  description = "Consumer groups of the jobs: their own and the sinks' private ones."
  type        = set(string)
}

variable "transactional_ids" {
  description = "Transactional ids of the jobs' sinks."
  type        = set(string)
  default     = []
}

variable "checkpoints" {
  description = "The S3 bucket for checkpoints, its folder and its key; null where the jobs do not use S3."
  type = object({
    bucket_arn = string
    root       = string
    key_arn    = string
  })
  default = null
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
