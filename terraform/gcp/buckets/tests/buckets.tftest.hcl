# Plans only: the buckets may not be destroyed, not even by a test.
mock_provider "google" {
  override_during = plan
}

variables {
  project       = "acme-streams"
  region        = "europe-west1"
  name          = "aq-test"
  bucket_prefix = "acme-aqueduct"
  location      = "europe-west1"
  key           = "projects/acme-streams/locations/europe-west1/keyRings/r/cryptoKeys/buckets"
  jobs          = ["image-metrics", "payments"]
}

run "no_rule_touches_the_claim_log" {
  command = plan

  # A rule without a prefix, or with one that a record's name begins with, would reach it.
  assert {
    condition = alltrue(flatten([
      for rule in google_storage_bucket.checkpoints.lifecycle_rule : [
        for condition in rule.condition : [
          for job in var.jobs : [
            for lineage in range(20) : [
              for folder in ["log", "boundary"] : length(condition.matches_prefix == null ? [] : condition.matches_prefix) > 0 && !anytrue([
                for prefix in coalesce(condition.matches_prefix, [""]) : startswith("aqueduct/${job}/L${lineage}/s0/${folder}/00000000000000000042", prefix)
              ])
            ]
          ]
        ]
      ]
    ]))
    error_message = "a lifecycle rule reaches the claim log"
  }
  assert {
    condition = alltrue(flatten([
      for rule in google_storage_bucket.checkpoints.lifecycle_rule : [
        for action in rule.action : [
          for condition in rule.condition :
          action.type == "AbortIncompleteMultipartUpload" || (action.type == "Delete" && condition.with_state == "ARCHIVED" && condition.days_since_noncurrent_time == 30 && condition.age == null)
        ]
      ]
    ]))
    error_message = "rules may remove deleted versions only, after 30 days"
  }
  assert {
    condition     = length(google_storage_bucket.checkpoints.lifecycle_rule) == 2 && length(google_storage_bucket.checkpoints.retention_policy) == 0
    error_message = "two rules, and no retention policy, which would refuse the engine's collection"
  }
}

run "private_versioned_kept_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.checkpoints, google_storage_bucket.results, google_storage_bucket.artifacts, google_storage_bucket.staging] :
      bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && !bucket.force_destroy && bucket.encryption[0].default_kms_key_name == var.key
    ])
    error_message = "no bucket is public, emptied by Terraform, or without our key"
  }
  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.checkpoints, google_storage_bucket.results, google_storage_bucket.artifacts] : bucket.versioning[0].enabled && bucket.soft_delete_policy[0].retention_duration_seconds == 30 * 86400])
    error_message = "what counts has versions and is kept 30 days after deletion"
  }
  assert {
    condition     = output.checkpoint_dir == "gs://acme-aqueduct-checkpoints/aqueduct" && output.results_replaceable
    error_message = output.checkpoint_dir
  }
}

run "results_can_be_made_permanent" {
  command = plan
  variables {
    results_retention_days = 365
  }
  assert {
    condition     = google_storage_bucket.results.retention_policy[0].retention_period == 365 * 86400 && !google_storage_bucket.results.versioning[0].enabled && !output.results_replaceable
    error_message = "a retention policy of a year"
  }
}

run "short_memory_is_refused" {
  command = plan
  variables {
    deleted_blobs_days = 1
    soft_delete_days   = 1
  }
  expect_failures = [var.deleted_blobs_days, var.soft_delete_days]
}
