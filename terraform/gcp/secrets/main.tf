# Empty secrets, and who may read them. Values are added outside, so that they are in no plan and in no state. An old version
# can be brought back for a week after it was destroyed.

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project             = var.project
  secret_id           = "${var.name}-${each.key}"
  labels              = var.labels
  version_destroy_ttl = "604800s"
  deletion_protection = true

  # In one region, like the key and the jobs.
  replication {
    user_managed {
      replicas {
        location = var.region
        customer_managed_encryption {
          kms_key_name = var.key
        }
      }
    }
  }
}

locals {
  readers = merge([for name, members in var.secrets : { for member in members : "${name} ${member}" => { name = name, member = member } }]...)
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.readers

  project   = var.project
  secret_id = google_secret_manager_secret.this[each.value.name].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}
