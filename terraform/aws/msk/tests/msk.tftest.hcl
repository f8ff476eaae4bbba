# Plans only: the cluster may not be destroyed, not even by a test. Computed values are mocked in the plan.
mock_provider "aws" {
  override_during = plan

  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/k" }
  }
  mock_resource "aws_msk_cluster" {
    defaults = { arn = "arn:aws:kafka:eu-west-1:111122223333:cluster/aq-test/11111111-2222-3333-4444-555555555555-1" }
  }
  mock_resource "aws_msk_configuration" {
    defaults = { arn = "arn:aws:kafka:eu-west-1:111122223333:configuration/c/1", latest_revision = 1 }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s", id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s" }
  }
}

variables {
  name         = "aq-test"
  vpc_id       = "vpc-1"
  subnet_ids   = ["subnet-a", "subnet-b", "subnet-c"]
  logs_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/logs"
}

run "no_way_in_without_tls_and_authentication" {
  command = plan

  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS" && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].in_cluster
    error_message = "clients and brokers speak TLS only"
  }
  assert {
    condition     = aws_msk_cluster.this.client_authentication[0].unauthenticated == false
    error_message = "nobody connects without authentication"
  }
  assert {
    condition     = aws_msk_cluster.this.client_authentication[0].sasl[0].iam && aws_msk_cluster.this.client_authentication[0].sasl[0].scram
    error_message = "SCRAM and IAM are on"
  }
  assert {
    condition     = aws_msk_cluster.this.broker_node_group_info[0].connectivity_info[0].public_access[0].type == "DISABLED"
    error_message = "brokers have no public address"
  }
  assert {
    condition     = output.ports == { scram = 9096, iam = 9098 } && length(aws_msk_cluster.this.client_authentication[0].tls) == 0
    error_message = "without an authority 9094 is closed: ${jsonencode(output.ports)}"
  }
}

run "certificates_open_9094" {
  command = plan
  variables {
    tls_client_authorities = ["arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/a"]
    scram                  = false
  }

  assert {
    condition     = output.ports == { tls = 9094, iam = 9098 } && length(aws_secretsmanager_secret.scram) == 0
    error_message = "certificates instead of SCRAM: ${jsonencode(output.ports)}"
  }
  assert {
    condition     = tolist(aws_msk_cluster.this.client_authentication[0].tls[0].certificate_authority_arns) == tolist(var.tls_client_authorities)
    error_message = "the authorities are handed on"
  }
}

run "records_and_cursors_are_safe" {
  command = plan

  assert {
    condition = length(setsubtract([
      "auto.create.topics.enable=false", "default.replication.factor=3", "min.insync.replicas=2", "unclean.leader.election.enable=false",
      "offsets.retention.minutes=43200", "transactional.id.expiration.ms=2592000000", "allow.everyone.if.no.acl.found=false",
    ], split("\n", aws_msk_configuration.this.server_properties))) == 0
    error_message = "broker settings: ${aws_msk_configuration.this.server_properties}"
  }
  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 3 && endswith(aws_msk_cluster.this.kafka_version, ".kraft")
    error_message = "a broker per zone, in KRaft mode"
  }
}

run "encrypted_and_logged" {
  command = plan
  variables {
    brokers_per_zone = 2
  }

  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_at_rest_kms_key_arn == aws_kms_key.this.arn && aws_kms_key.this.enable_key_rotation
    error_message = "volumes are encrypted with our key, which rotates"
  }
  assert {
    condition     = aws_secretsmanager_secret.scram[0].kms_key_id == aws_kms_key.this.arn && startswith(aws_secretsmanager_secret.scram[0].name, "AmazonMSK_")
    error_message = "MSK takes only AmazonMSK_ secrets under a key of ours"
  }
  assert {
    condition     = aws_cloudwatch_log_group.brokers.retention_in_days == 365 && aws_cloudwatch_log_group.brokers.kms_key_id == var.logs_key_arn
    error_message = "brokers' logs: a year, encrypted"
  }
  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 6
    error_message = "two per zone"
  }
  assert {
    condition     = length(aws_msk_scram_secret_association.this) == 0 && length(aws_secretsmanager_secret_version.scram) == 0
    error_message = "a secret without a value is not attached"
  }
}

run "a_password_is_written_only" {
  command = plan
  variables {
    scram_password         = "never stored"
    scram_password_version = 1
  }

  assert {
    condition     = aws_secretsmanager_secret_version.scram[0].secret_string_wo_version == 1 && aws_secretsmanager_secret_version.scram[0].secret_string_wo == null
    error_message = "the password must not be in the state"
  }
  assert {
    condition     = !strcontains(coalesce(aws_secretsmanager_secret_version.scram[0].secret_string, "nothing"), "never stored")
    error_message = "nor under its old name"
  }
  assert {
    condition     = length(aws_msk_scram_secret_association.this) == 1
    error_message = "a secret with a value is attached"
  }
}

run "zookeeper_is_refused" {
  command = plan
  variables {
    kafka_version = "3.6.0"
  }
  expect_failures = [var.kafka_version]
}

run "opening_topics_is_refused" {
  command = plan
  variables {
    server_properties = { "allow.everyone.if.no.acl.found" = "true" }
  }
  expect_failures = [var.server_properties]
}
