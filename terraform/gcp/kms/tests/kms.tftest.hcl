# Plans only: keys may not be destroyed, not even by a test.
mock_provider "google" {
  override_during = plan
}

variables {
  project = "acme-streams"
  region  = "europe-west1"
  name    = "aq-test"
  keys = {
    buckets = ["serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"]
    sql     = ["serviceAccount:service-1@gcp-sa-cloud-sql.iam.gserviceaccount.com"]
  }
}

run "keys_rotate_and_are_apart" {
  command = plan

  assert {
    condition     = alltrue([for key in google_kms_crypto_key.this : key.rotation_period == "7776000s" && key.destroy_scheduled_duration == "2592000s"])
    error_message = "keys rotate each 90 days and rest 30 days before they are gone"
  }
  assert {
    condition     = length(google_kms_crypto_key.this) == 2 && length(google_kms_crypto_key_iam_member.this) == 2
    error_message = "a key and a grant per purpose"
  }
  assert {
    condition     = alltrue([for grant in google_kms_crypto_key_iam_member.this : grant.role == "roles/cloudkms.cryptoKeyEncrypterDecrypter"])
    error_message = "agents may encrypt and decrypt, nothing else"
  }
}

run "a_key_for_everyone_is_refused" {
  command = plan
  variables {
    keys = { buckets = ["allUsers"] }
  }
  expect_failures = [var.keys]
}
