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

variable "subnet_id" {
  description = "The private subnet of the machines (gcp/network)."
  type        = string
}

variable "service_account" {
  description = "Address of the machines' identity (gcp/iam). YARN's containers, and so the jobs, have it too."
  type        = string
}

variable "key" {
  description = "Id of the key for the machines' disks."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.key))
    error_message = "projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "buckets" {
  description = "Names of the buckets for artifacts and for Dataproc's staging and logs (gcp/buckets)."
  type = object({
    artifacts = string
    staging   = string
  })
}

variable "artifact" {
  description = "The tarball of ./dev dist in the artifacts bucket, and its SHA-256; another file is refused by the machines."
  type = object({
    uri    = string
    sha256 = string
  })

  validation {
    condition     = startswith(var.artifact.uri, "gs://") && can(regex("^[0-9a-f]{64}$", var.artifact.sha256))
    error_message = "A gs:// address and 64 hexadecimal digits."
  }
}

variable "program_uri" {
  description = "The program itself (`aqueduct` of the tarball) in the artifacts bucket: YARN hands it to the containers."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+/(.+/)?aqueduct$", var.program_uri))
    error_message = "gs://bucket/.../aqueduct: its last part is the name under which the wrapper looks for it."
  }
}

variable "image_version" {
  description = "Dataproc image."
  type        = string
  default     = "2.2-debian12"

  validation {
    condition     = can(regex("^2\\.[2-9]-debian12$", var.image_version))
    error_message = "2.2-debian12 or newer: the program needs its glibc."
  }
}

variable "machines" {
  description = "Machine types and disks. secondary workers can be taken away at any time: jobs are kept off them by a node label."
  type = object({
    master_type       = optional(string, "n2-standard-2")
    masters           = optional(number, 1)
    worker_type       = optional(string, "n2-standard-4")
    workers           = optional(number, 2)
    secondary_workers = optional(number, 0)
    disk_gib          = optional(number, 100)
  })
  default = {}

  validation {
    condition     = contains([1, 3], var.machines.masters) && var.machines.workers >= 2 && var.machines.secondary_workers >= 0 && var.machines.disk_gib >= 50
    error_message = "1 or 3 masters, at least 2 workers, disks of at least 50 GiB."
  }
}

variable "jobs" {
  description = <<-TEXT
    The jobs, by their names (the module `job`): the job's files, deployment.env, deployment.args and
    deployment.secrets (secrets' names, never values), further small files by their contents, such as server-ca.pem; how it is run, `yarn` or
    `unit` (a systemd unit on the first master; at most one); memory and cores of its container; how often a dead program is
    started again in its container (-1: always), after how long, and over which time failures are counted.
  TEXT
  type = map(object({
    files                  = map(string)
    environment            = string
    arguments              = string
    secrets                = optional(string, "")
    texts                  = optional(map(string), {})
    run_as                 = optional(string, "yarn")
    memory_mib             = optional(number, 4096)
    cores                  = optional(number, 2)
    retries                = optional(number, 30)
    retry_interval_ms      = optional(number, 10000)
    retry_window_ms        = optional(number, 3600000)
    survive_master_restart = optional(bool, true)
  }))

  validation {
    condition     = alltrue([for job in values(var.jobs) : contains(["yarn", "unit"], job.run_as)]) && length([for job in values(var.jobs) : job if job.run_as == "unit"]) <= 1
    error_message = "run_as is yarn or unit; at most one job is a unit."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : job.memory_mib >= 1024 && job.cores >= 1 && job.retries >= -1 && job.retry_interval_ms >= 1000])
    error_message = "At least 1024 MiB, one core, retries from -1, and a second between two starts."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : contains(keys(job.files), "job.sql")])
    error_message = "Every job has a job.sql."
  }
}

variable "distributed_shell_jar" {
  description = "YARN's distributed shell on the machines. The image's own place; it was not tried on Dataproc, so look there first (see the README). A gs:// address is fetched instead."
  type        = string
  default     = "file:///usr/lib/hadoop-yarn/hadoop-yarn-applications-distributedshell.jar"

  validation {
    condition     = can(regex("^(file:///|gs://).+\\.jar$", var.distributed_shell_jar))
    error_message = "file:///... or gs://..., ending with .jar."
  }
}
