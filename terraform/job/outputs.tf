output "name" {
  description = "The job's pipeline.name."
  value       = local.name
}

output "variables_known" {
  description = "The variables that job.sql reads."
  value       = sort(local.known)
}

output "values" {
  description = "What each variable will be: what was handed in, else the job's own default."
  value       = local.values
}

output "checkpoint_dir" {
  description = "Handed through."
  value       = var.checkpoint_dir
}

output "source_topics" {
  description = "Kafka topics that the job reads."
  value       = distinct([for table in local.kafka_sources : local.topics[table]])
}

output "sink_topics" {
  description = "Kafka topics that the job writes."
  value       = distinct([for table in local.kafka_sinks : local.topics[table]])
}

output "kafka_groups" {
  description = "Consumer groups: those of the sources, and the private one of each sink (aqueduct.<job>.<shard>.<table>)."
  value       = concat(local.groups, [for table in local.kafka_sinks : "aqueduct.${local.name}.0.${table}"])
}

output "transactional_ids" {
  description = "Transactional ids of the sinks (<job>-<shard>-<table>)."
  value       = [for table in local.kafka_sinks : "${local.name}-0-${table}"]
}

output "environment" {
  description = "The file deployment.env: NAME=VALUE lines, which the wrapper takes literally."
  value       = join("", [for name, value in merge(var.environment, local.given) : "${name}=${value}\n"])
}

output "arguments" {
  description = "The file deployment.args: one argument per line."
  value       = join("", [for argument in concat(["--checkpoint-dir", var.checkpoint_dir], var.arguments) : "${argument}\n"])
}

output "files" {
  description = "The job's own files, by name."
  value       = { for name in ["job.sql", "job.toml"] : name => "${var.folder}/${name}" if fileexists("${var.folder}/${name}") }
}
