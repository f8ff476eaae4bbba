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
  description = "The VPC (gcp/network)."
  type        = string
}

variable "subnet_id" {
  description = "The private subnet with the secondary ranges pods and services."
  type        = string
}

variable "control_plane_range" {
  description = "A /28 for the control plane's private address."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.control_plane_range)) && endswith(var.control_plane_range, "/28")
    error_message = "A /28."
  }
}

variable "control_plane_clients" {
  description = "Private ranges from which kubectl may reach the control plane, by a name: the VPN of the office, a bastion, ArgoCD. There is no public address."
  type        = map(string)

  validation {
    condition     = alltrue([for range in values(var.control_plane_clients) : can(cidrnetmask(range)) && range != "0.0.0.0/0"])
    error_message = "Ranges, and not all of the internet."
  }
}

variable "service_account" {
  description = "Address of the machines' identity (gcp/iam), which has no right to data."
  type        = string
}

variable "keys" {
  description = "Ids of the keys for the machines' disks and for Kubernetes' own secrets."
  type = object({
    machines = string
    secrets  = string
  })
}

variable "zones" {
  description = "Zones of the machines; empty: the region's."
  type        = list(string)
  default     = []
}

variable "machine_type" {
  description = "Machine type of the pool for jobs."
  type        = string
  default     = "n2-standard-4"
}

variable "nodes_per_zone" {
  description = "Least and greatest number of machines per zone."
  type = object({
    min = number
    max = number
  })
  default = { min = 1, max = 3 }

  validation {
    condition     = var.nodes_per_zone.min >= 1 && var.nodes_per_zone.max >= var.nodes_per_zone.min
    error_message = "At least one, and max is not below min: a streaming job must not wait for its machine."
  }
}

variable "local_ssds" {
  description = "Local SSDs per machine for emptyDir volumes (RocksDB's working files). The machine type must offer them."
  type        = number
  default     = 1
}

variable "release_channel" {
  description = "How soon new Kubernetes versions come."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["REGULAR", "STABLE"], var.release_channel)
    error_message = "REGULAR or STABLE."
  }
}

variable "maintenance" {
  description = "When Google may upgrade: start and end (RFC 3339) and recurrence (RFC 5545)."
  type = object({
    start      = string
    end        = string
    recurrence = string
  })
  default = { start = "2026-01-03T02:00:00Z", end = "2026-01-03T08:00:00Z", recurrence = "FREQ=WEEKLY;BYDAY=SA,SU" }
}
