variable "folder" {
  description = "The job's folder: job.sql and, if there is one, job.toml."
  type        = string

  validation {
    condition     = fileexists("${var.folder}/job.sql")
    error_message = "The folder holds no job.sql."
  }
}

variable "variables" {
  description = "Values for the job's variables, by their names in job.sql. A secret is a reference such as $${secret:gcp:projects/P/secrets/S}, never its value."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for name, value in var.variables :
      !can(regex("PASSWORD|SECRET|TOKEN", name)) || value == "" || can(regex("^\\$\\{(secret|file|env):[^}]+\\}$", value))
    ])
    error_message = "A variable named like a secret must be a reference: $${secret:...}, $${file:...} or $${env:...}."
  }
  validation {
    condition     = alltrue([for value in values(var.variables) : !can(regex("[\\r\\n]", value))])
    error_message = "A value is one line: deployment.env has one variable per line."
  }
}

variable "arguments" {
  description = "Arguments of `aqueduct run` after the job, such as [\"--http\", \":8080\"]. Settings go here as \"-D\", \"KEY=VALUE\"."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for argument in var.arguments : !can(regex("[\\r\\n]", argument)) && argument != ""])
    error_message = "An argument is one line and not empty: deployment.args has one argument per line."
  }
}

variable "checkpoint_dir" {
  description = "Where checkpoints lie: gs://bucket/folder or s3://bucket/folder."
  type        = string

  validation {
    condition     = can(regex("^(gs|s3)://[a-z0-9][a-z0-9._-]+/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$", var.checkpoint_dir))
    error_message = "Expected gs://bucket/folder or s3://bucket/folder, with a folder and without a slash at the end."
  }
}

variable "environment" {
  description = "Environment of the program beside the job's variables, such as AWS_ROLE_ARN and AWS_REGION. No secrets."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for name, value in var.environment :
      can(regex("^(AWS|GOOGLE|AQUEDUCT|RUST)_[A-Z0-9_]+$", name)) && !can(regex("ACCESS_KEY|SESSION_TOKEN|PASSWORD", name)) && !can(regex("[\\r\\n]", value))
    ])
    error_message = "Names begin with AWS_, GOOGLE_, AQUEDUCT_ or RUST_; keys and passwords are not handed in; a value is one line."
  }
}

variable "addresses" {
  description = "Values that every job of a platform could need; only those that this job reads are handed to it. variables win over them."
  type        = map(string)
  default     = {}
}

variable "needed" {
  description = "Variables without which this platform's connections cannot be made; a job that does not read them is refused."
  type        = set(string)
  default     = []
}
