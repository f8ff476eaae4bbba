# One key per purpose, so that access to one kind of data can be taken away alone. Keys rotate, and are never destroyed by
# Terraform: what they encrypted would be gone.

resource "google_kms_key_ring" "this" {
  project  = var.project
  location = var.region
  name     = var.name
}

resource "google_kms_crypto_key" "this" {
  for_each = var.keys

  name                       = each.key
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days
  labels                     = var.labels

  lifecycle {
    prevent_destroy = true
  }
}

locals {
  grants = merge([for purpose, members in var.keys : { for member in members : "${purpose} ${member}" => { purpose = purpose, member = member } }]...)
}

resource "google_kms_crypto_key_iam_member" "this" {
  for_each = local.grants

  crypto_key_id = google_kms_crypto_key.this[each.value.purpose].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value.member
}
