# Plans only: the database may not be destroyed, not even by a test.
mock_provider "google" {
  override_during = plan
}

variables {
  project  = "acme-streams"
  region   = "europe-west1"
  name     = "aq-test"
  location = "eur3"
  key      = "projects/acme-streams/locations/europe/keyRings/r/cryptoKeys/firestore"
  collections = {
    analytics_metrics = {
      exempt  = ["window_start", "latest_event", "processed_at"]
      indexes = { by_label = [{ field = "size_label", order = "ASCENDING" }, { field = "window_start", order = "DESCENDING" }] }
    }
  }
}

run "no_index_on_times_and_fences" {
  command = plan

  assert {
    condition     = jsonencode(sort([for field in google_firestore_field.exempt : field.field])) == jsonencode(["latest_event", "processed_at", "window_start"])
    error_message = "times have no index of their own"
  }
  assert {
    condition = alltrue([
      for field in concat(values(google_firestore_field.exempt), [google_firestore_field.cursors]) : length(field.index_config) == 1 && length(field.index_config[0].indexes) == 0
    ])
    error_message = "an exempt field has an index_config without indexes"
  }
  assert {
    condition     = google_firestore_field.cursors.collection == "aqueduct_cursors" && google_firestore_field.cursors.field == "*"
    error_message = "fences are not indexed"
  }
  assert {
    condition     = jsonencode([for field in google_firestore_index.this["analytics_metrics.by_label"].fields : [field.field_path, field.order]]) == jsonencode([["size_label", "ASCENDING"], ["window_start", "DESCENDING"]])
    error_message = "the index for the dashboards"
  }
}

run "protected_and_restorable" {
  command = plan

  assert {
    condition = (
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED" &&
      google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED" &&
      google_firestore_database.this.cmek_config[0].kms_key_name == var.key && google_firestore_database.this.type == "FIRESTORE_NATIVE"
    )
    error_message = "protected, restorable, under our key"
  }
  assert {
    condition     = google_firestore_backup_schedule.daily.retention == "2592000s"
    error_message = "backups are kept 30 days"
  }
}

run "a_wrong_order_is_refused" {
  command = plan
  variables {
    collections = { c = { exempt = [], indexes = { i = [{ field = "a", order = "UP" }, { field = "b", order = "ASCENDING" }] } } }
  }
  expect_failures = [var.collections]
}
