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

variable "ranges" {
  description = "Address ranges, private and apart from each other and from the AWS side: nodes (machines), pods and services (Kubernetes), managed (Cloud SQL, a /16 to /24), control_plane (a /28 for GKE)."
  type = object({
    nodes         = string
    pods          = string
    services      = string
    managed       = string
    control_plane = string
  })

  validation {
    condition = alltrue([
      for range in values(var.ranges) : can(cidrnetmask(range)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", range))
    ]) && length(distinct(values(var.ranges))) == 5
    error_message = "Five different private IPv4 ranges."
  }
  validation {
    condition     = endswith(var.ranges.control_plane, "/28") && can(regex("/(1[6-9]|2[0-4])$", var.ranges.managed))
    error_message = "control_plane is a /28, managed a /16 to /24."
  }
}

variable "internet" {
  description = "Whether machines may open connections to the internet, through Cloud NAT. Not needed: Google's APIs, Cloud SQL and the brokers have private ways."
  type        = bool
  default     = false
}
