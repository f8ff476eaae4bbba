output "names" {
  description = "Names of the buckets by purpose."
  value = {
    checkpoints = google_storage_bucket.checkpoints.name
    results     = google_storage_bucket.results.name
    artifacts   = google_storage_bucket.artifacts.name
    staging     = google_storage_bucket.staging.name
  }
}

output "checkpoint_dir" {
  description = "For --checkpoint-dir."
  value       = "gs://${google_storage_bucket.checkpoints.name}/${var.checkpoint_root}"
}

output "results_replaceable" {
  description = "Whether files of the results bucket may be replaced."
  value       = var.results_retention_days == 0
}
