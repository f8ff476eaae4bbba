variable "name" {
  description = "Prefix of all names; one per environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "2 to 20 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "project" {
  description = "The Google Cloud project, best one for the jobs alone."
  type        = string
}

variable "project_number" {
  description = "Its number: Google's own agents are named by it."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "A number: gcloud projects describe PROJECT --format='value(projectNumber)'."
  }
}

variable "google_region" {
  description = "Region of the jobs."
  type        = string
}

variable "aws_region" {
  description = "Region of the brokers."
  type        = string
}

variable "bucket_prefix" {
  description = "Prefix of the buckets' names, with the organisation in it."
  type        = string
}

variable "ranges" {
  description = "Address ranges of the Google side (gcp/network)."
  type = object({
    nodes         = string
    pods          = string
    services      = string
    managed       = string
    control_plane = string
  })
}

variable "aws_network" {
  description = "Range and zones of the brokers' VPC; not used with existing_msk."
  type = object({
    cidr               = string
    availability_zones = list(string)
  })
  default = null
}

variable "existing_msk" {
  description = "An MSK cluster that is already there; null makes one. ports and bootstrap are by way of authentication: tls, scram, iam."
  type = object({
    cluster_arn       = string
    vpc_id            = string
    cidr              = string
    subnet_ids        = list(string)
    route_table_ids   = list(string)
    security_group_id = string
    logs_key_arn      = string
    ports             = map(number)
    bootstrap         = map(string)
  })
  default = null

  validation {
    condition     = (var.existing_msk == null) != (var.aws_network == null)
    error_message = "Either aws_network (brokers are made) or existing_msk."
  }
}

variable "authentication" {
  description = "How jobs prove themselves to the brokers: tls (client certificates from Secret Manager), scram or iam."
  type        = string
  default     = "tls"

  validation {
    condition     = contains(["tls", "scram", "iam"], var.authentication)
    error_message = "tls, scram or iam."
  }
}

variable "brokers" {
  description = "Sizes of the brokers; not used with existing_msk."
  type = object({
    type                   = optional(string, "kafka.m7g.large")
    per_zone               = optional(number, 1)
    volume_gib             = optional(number, 100)
    kafka_version          = optional(string, "3.9.x.kraft")
    tls_client_authorities = optional(list(string), [])
  })
  default = {}
}

variable "sql" {
  description = "Sizes of Cloud SQL."
  type = object({
    tier              = optional(string, "db-custom-2-7680")
    high_availability = optional(bool, true)
    disk_gib          = optional(number, 50)
  })
  default = {}
}

variable "machines" {
  description = "Sizes of the Dataproc cluster (gcp/dataproc); null: no Dataproc."
  type = object({
    masters           = optional(number, 1)
    master_type       = optional(string, "n2-standard-2")
    workers           = optional(number, 2)
    worker_type       = optional(string, "n2-standard-4")
    secondary_workers = optional(number, 0)
    disk_gib          = optional(number, 100)
  })
  default = {}
}

variable "gke" {
  description = "A GKE cluster for the chart under k8s/: who reaches its control plane, and which service accounts (namespace/name) are jobs. Null: none."
  type = object({
    control_plane_clients = map(string)
    pods                  = set(string)
  })
  default = null
}

variable "artifact" {
  description = "The program in the artifacts bucket: the tarball of ./dev dist with its SHA-256, and the program itself."
  type = object({
    uri         = string
    sha256      = string
    program_uri = string
  })
}

variable "jobs" {
  description = "The jobs by any name: folder, the job's own variables, arguments of `aqueduct run`, size, and how it is run on Dataproc."
  type = map(object({
    folder     = string
    variables  = optional(map(string), {})
    arguments  = optional(list(string), [])
    run_as     = optional(string, "yarn")
    memory_mib = optional(number, 4096)
    cores      = optional(number, 2)
  }))
}

variable "firestore_location" {
  description = "Where Firestore's database lies; null: it is there already, or not used."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels and tags of everything."
  type        = map(string)
  default     = {}
}
