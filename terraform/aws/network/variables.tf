variable "name" {
  description = "Prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}$", var.name))
    error_message = "2 to 25 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "cidr" {
  description = "Address range of the VPC, private, /16 to /24. It must not overlap with the ranges on the Google side."
  type        = string

  validation {
    condition = (
      can(cidrnetmask(var.cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr)) &&
      can(regex("/(1[6-9]|2[0-4])$", var.cidr))
    )
    error_message = "A private IPv4 range (10/8, 172.16/12, 192.168/16) of /16 to /24."
  }
}

variable "availability_zones" {
  description = "Zones with a broker subnet each; MSK wants two or three."
  type        = list(string)

  validation {
    condition     = contains([2, 3], length(var.availability_zones)) && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "Two or three different zones."
  }
}

variable "interface_endpoints" {
  description = "AWS services that get an endpoint inside the VPC. sts lets the Google side fetch AWS credentials through the VPN."
  type        = set(string)
  default     = ["sts"]
}

variable "endpoint_client_cidrs" {
  description = "Ranges beside the VPC's own that may use the interface endpoints, such as the Google subnets."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long flow logs are kept. CloudWatch knows certain numbers only."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "One of 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 days."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
