# The whole environment as a plan, with both clouds played: what the modules hand to each other fits together.

mock_provider "aws" {
  override_during = plan
  source          = "../../platform/tests/mocks"
}

mock_provider "google" {
  override_during = plan
  source          = "../../platform/tests/mocks"
}

variables {
  project                = "acme-streams"
  project_number         = "123456789012"
  organisation           = "acme"
  tls_client_authorities = ["arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555"]
  artifact = {
    uri         = "gs://acme-aqueduct-artifacts/aqueduct.tar.gz"
    sha256      = "0000000000000000000000000000000000000000000000000000000000000000"
    program_uri = "gs://acme-aqueduct-artifacts/aqueduct"
  }
}

run "everything_fits_together" {
  command = plan

  assert {
    condition     = output.platform.checkpoint_dir == "gs://acme-aqueduct-dev-checkpoints/aqueduct"
    error_message = "checkpoints lie in the environment's own bucket, got ${output.platform.checkpoint_dir}"
  }
  assert {
    condition     = output.platform.postgres == "postgres://10.46.0.3:5432/analytics"
    error_message = "the jobs reach Cloud SQL by its private address, got ${output.platform.postgres}"
  }
  assert {
    condition     = toset(keys(output.platform.secrets_to_fill)) == toset(["postgres-password", "kafka-cert", "kafka-key"])
    error_message = "with certificates there are these secrets to fill, got ${join(", ", keys(output.platform.secrets_to_fill))}"
  }
  assert {
    condition     = toset(keys(output.platform.job_ids)) == toset(["image-metrics", "payments"])
    error_message = "both jobs run on Dataproc, got ${join(", ", keys(output.platform.job_ids))}"
  }
}
