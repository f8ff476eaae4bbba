variable "name" {
  description = "Prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}$", var.name))
    error_message = "2 to 25 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "google" {
  description = "The Google side: project, region, VPC, and the ranges from which jobs connect (gcp/network: client_ranges)."
  type = object({
    project       = string
    region        = string
    network_id    = string
    client_ranges = list(string)
  })

  validation {
    condition     = length(var.google.client_ranges) > 0 && alltrue([for range in var.google.client_ranges : can(cidrnetmask(range)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", range))])
    error_message = "At least one private range."
  }
}

variable "aws" {
  description = "The AWS side: the brokers' VPC, its range, two or more subnets for the DNS resolver, the route tables of the brokers, and the brokers' security group. Without route tables (with a transit gateway) routes are yours."
  type = object({
    vpc_id                   = string
    cidr                     = string
    subnet_ids               = list(string)
    route_table_ids          = list(string)
    broker_security_group_id = string
    logs_key_arn             = string
  })

  validation {
    condition     = length(var.aws.subnet_ids) >= 2
    error_message = "The resolver wants two subnets in different zones."
  }
}

variable "transit_gateway_id" {
  description = "An existing transit gateway, which spreads traffic over all tunnels. Null: a virtual private gateway of the VPC, which uses one tunnel at a time."
  type        = string
  default     = null
}

variable "ports" {
  description = "The brokers' ports that are opened (aws/msk: ports)."
  type        = map(number)

  validation {
    condition     = length(var.ports) > 0 && alltrue([for port in values(var.ports) : contains([9094, 9096, 9098], port)])
    error_message = "9094 (certificates), 9096 (SCRAM), 9098 (IAM): MSK's private ports with TLS. 9092 is plaintext."
  }
}

variable "forwarded_domains" {
  description = "Domains that are asked from AWS, by a name of your choice: the brokers' (kafka.<region>.amazonaws.com.), and sts.<region>.amazonaws.com. for credentials."
  type        = map(string)

  validation {
    condition     = length(var.forwarded_domains) > 0 && alltrue([for domain in values(var.forwarded_domains) : can(regex("^([a-z0-9-]+\\.){3,}$", domain))])
    error_message = "Whole domains with a dot at the end; amazonaws.com. itself would take all of AWS's names."
  }
}

variable "google_asn" {
  description = "Private AS number of the Google side."
  type        = number
  default     = 64514

  validation {
    condition     = var.google_asn >= 64512 && var.google_asn <= 65534
    error_message = "64512 to 65534."
  }
}

variable "aws_asn" {
  description = "Private AS number of the AWS side (of the transit gateway, where there is one)."
  type        = number
  default     = 64512

  validation {
    condition     = var.aws_asn >= 64512 && var.aws_asn <= 65534
    error_message = "64512 to 65534."
  }
}

variable "inside_ranges" {
  description = "A link-local /30 for BGP in each of the four tunnels."
  type        = list(string)
  default     = ["169.254.10.0/30", "169.254.10.4/30", "169.254.11.0/30", "169.254.11.4/30"]

  validation {
    condition = length(distinct(var.inside_ranges)) == 4 && alltrue([
      for range in var.inside_ranges : startswith(range, "169.254.") && endswith(range, "/30") && !can(regex("^169\\.254\\.([0-5]|169|255)\\.", range))
    ])
    error_message = "Four different /30 of 169.254.0.0/16; AWS keeps 169.254.0 to 169.254.5 and 169.254.169 for itself."
  }
}

variable "log_retention_days" {
  description = "How long the tunnels' logs are kept."
  type        = number
  default     = 365
}

variable "tags" {
  description = "Tags and labels of everything."
  type        = map(string)
  default     = {}
}
