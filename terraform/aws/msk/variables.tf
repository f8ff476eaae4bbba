variable "name" {
  description = "Name of the cluster and prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name))
    error_message = "2 to 41 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "vpc_id" {
  description = "The VPC of the brokers."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the brokers, one per zone."
  type        = list(string)

  validation {
    condition     = contains([2, 3], length(var.subnet_ids))
    error_message = "Two or three subnets."
  }
}

variable "kafka_version" {
  description = "Kafka in KRaft mode as MSK names it. 4.1 is the first with the new group protocol; the engine needs none of it."
  type        = string
  default     = "3.9.x.kraft"

  validation {
    condition     = can(regex("^(3\\.[89]|4\\.[0-9])\\.x\\.kraft$", var.kafka_version))
    error_message = "3.8.x.kraft or newer, in KRaft mode: ZooKeeper clusters cannot be upgraded to Kafka 4."
  }
}

variable "broker_type" {
  description = "Instance type of the brokers."
  type        = string
  default     = "kafka.m7g.large"

  validation {
    condition     = can(regex("^kafka\\.(m5|m7g|t3)\\.", var.broker_type))
    error_message = "A standard broker (kafka.m5.*, kafka.m7g.*, kafka.t3.small); Express brokers are not tried with transactions."
  }
}

variable "brokers_per_zone" {
  description = "Brokers in each zone."
  type        = number
  default     = 1

  validation {
    condition     = var.brokers_per_zone >= 1 && var.brokers_per_zone <= 10 && floor(var.brokers_per_zone) == var.brokers_per_zone
    error_message = "1 to 10."
  }
}

variable "volume_gib" {
  description = "First size of each broker's volume; it grows by itself up to volume_max_gib."
  type        = number
  default     = 100
}

variable "volume_max_gib" {
  description = "Greatest size of each broker's volume."
  type        = number
  default     = 1000
}

variable "tls_client_authorities" {
  description = "ARNs of private certificate authorities whose clients may connect with certificates (port 9094). Empty: 9094 is closed."
  type        = list(string)
  default     = []
}

variable "scram" {
  description = "SCRAM-SHA-512 (port 9096)."
  type        = bool
  default     = true
}

variable "scram_user" {
  description = "The user that the secret below holds."
  type        = string
  default     = "aqueduct"
}

variable "scram_password" {
  description = "Written into Secrets Manager as a write-only argument: it is in no state and in no plan. Null with scram_password_version = 0."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "scram_password_version" {
  description = "0: somebody else puts the value {\"username\", \"password\"} into the secret, and it is not attached before. Raise it to write scram_password again."
  type        = number
  default     = 0
}

variable "server_properties" {
  description = "Broker settings that go over those of this module."
  type        = map(string)
  default     = {}

  validation {
    condition     = !contains(keys(var.server_properties), "allow.everyone.if.no.acl.found") && !contains(keys(var.server_properties), "unclean.leader.election.enable")
    error_message = "allow.everyone.if.no.acl.found and unclean.leader.election.enable are not for change: the first opens topics, the second loses records."
  }
}

variable "logs_key_arn" {
  description = "Key of the brokers' log group (aws/network makes one)."
  type        = string
}

variable "log_retention_days" {
  description = "How long brokers' logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.log_retention_days >= 30
    error_message = "At least 30 days."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
