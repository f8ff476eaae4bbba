# Buckets: checkpoints, results, artifacts (the program and the jobs' files), staging (Dataproc's own files, logs).
#
# No rule touches the claim log (<root>/<job>/L<n>/s<m>/log/): a record that disappears could be created again by an owner that
# was asleep, and the job's fence would be gone. Rules name the blobs' folders, and only versions that are already deleted.
# The checkpoints have no retention policy: it would refuse the engine's own collection. Versions and soft deletion keep
# what is deleted, by whomever.

locals {
  blobs = flatten([
    for job in sort(tolist(var.jobs)) : [for lineage in range(var.lineages) : "${var.checkpoint_root}/${job}/L${lineage}/s0/blobs/"]
  ])

  # Google takes lists of prefixes; short lists keep away from its limits.
  blob_rules = chunklist(local.blobs, 50)
}

resource "google_storage_bucket" "checkpoints" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs (gcp/iam) record every access; usage logs are the older way
  project                     = var.project
  name                        = "${var.bucket_prefix}-checkpoints"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }
  encryption {
    default_kms_key_name = var.key
  }

  dynamic "lifecycle_rule" {
    for_each = local.blob_rules
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = var.deleted_blobs_days
        with_state                 = "ARCHIVED"
        matches_prefix             = lifecycle_rule.value
      }
    }
  }
  dynamic "lifecycle_rule" {
    for_each = local.blob_rules
    content {
      action {
        type = "AbortIncompleteMultipartUpload"
      }
      condition {
        age            = 7
        matches_prefix = lifecycle_rule.value
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket" "results" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs (gcp/iam) record every access; usage logs are the older way
  #checkov:skip=CKV_GCP_78:Versions are on unless a retention policy takes their place
  project                     = var.project
  name                        = "${var.bucket_prefix}-results"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  versioning {
    enabled = var.results_retention_days == 0
  }
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }
  dynamic "retention_policy" {
    for_each = var.results_retention_days > 0 ? [var.results_retention_days] : []
    content {
      retention_period = retention_policy.value * 86400
    }
  }
  encryption {
    default_kms_key_name = var.key
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket" "artifacts" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs (gcp/iam) record every access; usage logs are the older way
  project                     = var.project
  name                        = "${var.bucket_prefix}-artifacts"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }
  encryption {
    default_kms_key_name = var.key
  }
}

resource "google_storage_bucket" "staging" {
  #checkov:skip=CKV_GCP_62:It holds logs itself
  #checkov:skip=CKV_GCP_78:Logs and Dataproc's temporary files; an older version of them is of no use
  project                     = var.project
  name                        = "${var.bucket_prefix}-staging"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  soft_delete_policy {
    retention_duration_seconds = 7 * 86400
  }
  encryption {
    default_kms_key_name = var.key
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = var.log_days
    }
  }
}
