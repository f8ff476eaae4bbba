output "references" {
  description = "How a job names each secret, in its variables."
  value       = { for name, secret in google_secret_manager_secret.this : name => "$${secret:gcp:projects/${var.project}/secrets/${secret.secret_id}}" }
}

output "ids" {
  description = "Ids for gcloud secrets versions add."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
}
