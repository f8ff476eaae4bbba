# Plans only: secrets are protected from deletion.
mock_provider "google" {
  override_during = plan
}

variables {
  project = "acme-streams"
  region  = "europe-west1"
  name    = "aq-test"
  key     = "projects/acme-streams/locations/europe-west1/keyRings/r/cryptoKeys/secrets"
  secrets = {
    postgres = ["serviceAccount:job@acme-streams.iam.gserviceaccount.com"]
    scram    = []
  }
}

run "each_reader_reads_its_own" {
  command = plan

  assert {
    condition = jsonencode({ for grant in google_secret_manager_secret_iam_member.reader : grant.secret_id => [grant.role, grant.member] }) == jsonencode({
      aq-test-postgres = ["roles/secretmanager.secretAccessor", "serviceAccount:job@acme-streams.iam.gserviceaccount.com"]
    })
    error_message = "one reader of one secret"
  }
  assert {
    condition     = output.references["postgres"] == "$${secret:gcp:projects/acme-streams/secrets/aq-test-postgres}"
    error_message = output.references["postgres"]
  }
}

run "encrypted_in_one_region_and_kept" {
  command = plan

  assert {
    condition = alltrue([
      for secret in google_secret_manager_secret.this :
      secret.replication[0].user_managed[0].replicas[0].location == "europe-west1" && secret.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == var.key
    ])
    error_message = "in the jobs' region, under our key"
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection && secret.version_destroy_ttl == "604800s"])
    error_message = "protected, and versions can be brought back"
  }
}

run "everyone_is_refused" {
  command = plan
  variables {
    secrets = { postgres = ["allAuthenticatedUsers"] }
  }
  expect_failures = [var.secrets]
}
