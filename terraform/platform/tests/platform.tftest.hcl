# The ways in which an environment can be put together, with both clouds played.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

mock_provider "google" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  name           = "aq-test"
  project        = "acme-streams"
  project_number = "123456789012"
  google_region  = "europe-west1"
  aws_region     = "eu-west-1"
  bucket_prefix  = "acme-aqueduct-test"
  ranges = {
    nodes         = "10.40.0.0/20"
    pods          = "10.44.0.0/16"
    services      = "10.45.0.0/20"
    managed       = "10.46.0.0/20"
    control_plane = "10.47.0.0/28"
  }
  aws_network = { cidr = "10.20.0.0/20", availability_zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  brokers     = { tls_client_authorities = ["arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555"] }
  artifact = {
    uri         = "gs://acme-aqueduct-artifacts/aqueduct.tar.gz"
    sha256      = "0000000000000000000000000000000000000000000000000000000000000000"
    program_uri = "gs://acme-aqueduct-artifacts/aqueduct"
  }
  jobs = { image-metrics = { folder = "../../jobs/image-metrics" } }
}

run "brokers_are_made" {
  command = plan
  assert {
    condition     = length(module.msk) == 1 && length(module.dataproc) == 1 && length(module.gke) == 0 && length(module.firestore) == 0
    error_message = "by default: brokers and Dataproc, no GKE, no Firestore database"
  }
  assert {
    condition     = strcontains(module.job["image-metrics"].environment, "KAFKA_BROKERS=b-1.aq.kafka.eu-west-1.amazonaws.com:9094,b-2.aq.kafka.eu-west-1.amazonaws.com:9094\n")
    error_message = "the job is given the brokers that were made"
  }
}

run "brokers_are_there_already" {
  command = plan
  variables {
    aws_network = null
    existing_msk = {
      cluster_arn       = "arn:aws:kafka:eu-west-1:111122223333:cluster/theirs/11111111-2222-3333-4444-555555555555-1"
      vpc_id            = "vpc-1"
      cidr              = "10.20.0.0/20"
      subnet_ids        = ["subnet-a", "subnet-b"]
      route_table_ids   = ["rtb-1"]
      security_group_id = "sg-brokers"
      logs_key_arn      = "arn:aws:kms:eu-west-1:111122223333:key/logs"
      ports             = { tls = 9094 }
      bootstrap         = { tls = "b-1.theirs:9094" }
    }
  }
  assert {
    condition     = length(module.msk) == 0 && length(module.aws_network) == 0
    error_message = "nothing of the brokers is made"
  }
  assert {
    condition     = strcontains(module.job["image-metrics"].environment, "KAFKA_BROKERS=b-1.theirs:9094\n")
    error_message = "the job is given the brokers that are there"
  }
}

run "gke_instead_of_dataproc" {
  command = plan
  variables {
    machines = null
    gke      = { control_plane_clients = { office = "203.0.113.0/24" }, pods = ["aqueduct/image-metrics"] }
  }
  assert {
    condition     = length(module.gke) == 1 && length(module.dataproc) == 0 && output.job_ids == {}
    error_message = "a GKE cluster and no Dataproc"
  }
}

run "brokers_both_made_and_there_is_refused" {
  command = plan
  variables {
    aws_network = null
  }
  expect_failures = [var.existing_msk]
}

run "a_wrong_way_of_authentication_is_refused" {
  command = plan
  variables {
    authentication = "plain"
  }
  expect_failures = [var.authentication]
}
