output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "issuer" {
  description = "The cluster's OIDC issuer without https://, for the trust of AWS (aws/iam, kubernetes_identities)."
  value       = "container.googleapis.com/v1/projects/${var.project}/locations/${var.region}/clusters/${google_container_cluster.this.name}"
}
