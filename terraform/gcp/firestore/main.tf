# The Firestore database of the results and its indexes.
#
# Every document of a moment carries nearly the same time. An index on such a field writes all of them to one place, which
# Firestore serves about 500 times a second. So times, counters and the fences' fields have no index of their own; the
# queries that need a time have a composite index which begins with another field.

resource "google_firestore_database" "this" {
  project                           = var.project
  name                              = var.database
  location_id                       = var.location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"

  dynamic "cmek_config" {
    for_each = var.key == null ? [] : [var.key]
    content {
      kms_key_name = cmek_config.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_firestore_backup_schedule" "daily" {
  project   = var.project
  database  = google_firestore_database.this.name
  retention = "2592000s" # 30 days

  daily_recurrence {}
}

locals {
  exempt = merge([
    for collection, of in var.collections : { for field in of.exempt : "${collection}.${field}" => { collection = collection, field = field } }
  ]...)
  indexes = merge([
    for collection, of in var.collections : { for name, fields in of.indexes : "${collection}.${name}" => { collection = collection, fields = fields } }
  ]...)
}

resource "google_firestore_field" "exempt" {
  for_each = local.exempt

  project    = var.project
  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  # Empty: no index.
  index_config {}
}

# The engine's own collection: one fence per sink, read by its name only, written with every epoch.
resource "google_firestore_field" "cursors" {
  project    = var.project
  database   = google_firestore_database.this.name
  collection = "aqueduct_cursors"
  field      = "*"

  index_config {}
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  project     = var.project
  database    = google_firestore_database.this.name
  collection  = each.value.collection
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value.field
      order      = fields.value.order
    }
  }
}
