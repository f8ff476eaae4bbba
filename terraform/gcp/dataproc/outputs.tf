output "cluster" {
  description = "Name of the cluster."
  value       = google_dataproc_cluster.this.name
}

output "job_ids" {
  description = "Ids of the Hadoop jobs, for gcloud dataproc jobs describe."
  value       = { for name, job in google_dataproc_job.yarn : name => job.reference[0].job_id }
}

output "job_files" {
  description = "Where each job's files lie."
  value       = { for name, version in local.versions : name => "${local.artifacts}/jobs/${name}/${version}/" }
}
