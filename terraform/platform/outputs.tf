output "checkpoint_dir" {
  description = "Where the jobs keep their checkpoints."
  value       = module.gcp_buckets.checkpoint_dir
}

output "secrets_to_fill" {
  description = "Ids of secrets that wait for a value: gcloud secrets versions add ID --data-file=-"
  value       = module.secrets.ids
}

output "postgres" {
  description = "Where the results go."
  value       = module.cloudsql.url
}

output "job_ids" {
  description = "The Hadoop jobs on Dataproc."
  value       = try(module.dataproc[0].job_ids, {})
}

output "pods_identity" {
  description = "For the annotation iam.gke.io/gcp-service-account of the chart's service account."
  value       = module.gcp_iam.pods_email
}

output "aws_role" {
  description = "The role for MSK IAM and S3."
  value       = module.aws_iam.role_arn
}
