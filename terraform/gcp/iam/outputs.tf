output "dataproc_email" {
  description = "Identity of Dataproc's machines and the jobs there; null without Dataproc."
  value       = one(google_service_account.dataproc[*].email)
}

output "nodes_email" {
  description = "Identity of GKE's machines; null without GKE."
  value       = one(google_service_account.nodes[*].email)
}

output "pods_email" {
  description = "Identity of the jobs' pods, for the annotation iam.gke.io/gcp-service-account; null without Kubernetes."
  value       = one(google_service_account.pods[*].email)
}

output "job_unique_ids" {
  description = "Unique ids of the identities that run jobs, for the trust of AWS (aws/iam)."
  value       = { for name, account in local.jobs : name => account.unique_id }
}

output "job_members" {
  description = "The identities that run jobs, for grants elsewhere (gcp/secrets)."
  value       = [for account in local.jobs : "serviceAccount:${account.email}"]
}
