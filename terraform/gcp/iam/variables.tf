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


variable "buckets" {
  description = "Names of the buckets by purpose: checkpoints, results, artifacts, staging (gcp/buckets)."
  type = object({
    checkpoints = string
    results     = string
    artifacts   = string
    staging     = string
  })
}

variable "results_replaceable" {
  description = "Whether jobs may replace and remove result files ('sink.layout' = 'object-per-row')."
  type        = bool
  default     = false
}

variable "firestore_database" {
  description = "The database to which the jobs' right is limited; null: no right to Firestore."
  type        = string
  default     = null
}

variable "dataproc" {
  description = "Whether there is an identity for Dataproc's machines, which is then also the identity of the jobs there."
  type        = bool
  default     = true
}

variable "gke" {
  description = "Whether there are identities for GKE: one for the machines, one for the jobs' pods."
  type        = bool
  default     = false
}

variable "pods" {
  description = "Kubernetes service accounts (namespace/name) that act as the jobs' identity on GKE, without keys."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for pod in var.pods : can(regex("^[a-z0-9-]+/[a-z0-9-]+$", pod))])
    error_message = "namespace/name, both whole."
  }
}

variable "foreign_clusters" {
  description = "Kubernetes clusters elsewhere (EKS) whose service accounts act as the jobs' identity: the OIDC issuer, and the service accounts as namespace/name."
  type = map(object({
    issuer = string
    pods   = set(string)
  }))
  default = {}

  validation {
    condition = alltrue([
      for name, cluster in var.foreign_clusters : can(regex("^[a-z][a-z0-9-]{3,31}$", name)) && startswith(cluster.issuer, "https://") && alltrue([for pod in cluster.pods : can(regex("^[a-z0-9-]+/[a-z0-9-]+$", pod))])
    ])
    error_message = "Names of 4 to 32 letters, digits and hyphens; issuers begin with https://; pods are namespace/name."
  }
}

variable "audit" {
  description = "Record every read and write of buckets, secrets and the databases in Cloud Audit Logs."
  type        = bool
  default     = true
}
