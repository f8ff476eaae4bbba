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


variable "location" {
  description = "Where the database lies; it can never be moved. A multi-region such as eur3 for prod."
  type        = string
}

variable "key" {
  description = "Id of the key, in the database's location; null for Google's own. It can only be chosen when the database is made."
  type        = string
  default     = null
}

variable "database" {
  description = "Name of the database. The jobs write to (default) unless their tables say another."
  type        = string
  default     = "(default)"

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database))
    error_message = "(default), or 4 to 63 lower-case letters, digits and hyphens."
  }
}

variable "collections" {
  description = "Collections of results: fields that no query may filter or order by (times and counters of each write; an index on them limits a collection to about 500 writes a second), and composite indexes, as lists of field and order."
  type = map(object({
    exempt  = set(string)
    indexes = optional(map(list(object({ field = string, order = string }))), {})
  }))

  validation {
    condition = alltrue(flatten([
      for collection in values(var.collections) : [
        for fields in values(collection.indexes) : length(fields) >= 2 && alltrue([for field in fields : contains(["ASCENDING", "DESCENDING"], field.order)])
      ]
    ]))
    error_message = "A composite index has two or more fields, each ASCENDING or DESCENDING."
  }
}
