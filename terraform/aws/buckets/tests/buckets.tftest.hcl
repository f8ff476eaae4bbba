# Plans only: the buckets may not be destroyed, not even by a test. Computed values are mocked in the plan.
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
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::bucket" }
  }
}

variables {
  name           = "acme-aqueduct"
  jobs           = ["image-metrics", "payments"]
  lineages       = 3
  administrators = ["arn:aws:iam::111122223333:role/platform"]
}

run "no_rule_touches_the_claim_log" {
  command = plan

  # A rule without a prefix, or with one that a record's name begins with, would reach it.
  assert {
    condition = alltrue(flatten([
      for rule in aws_s3_bucket_lifecycle_configuration.checkpoints.rule : [
        for job in var.jobs : [
          for lineage in range(20) : [
            for folder in ["log", "boundary"] :
            try(rule.filter[0].prefix, "") != "" && !startswith("aqueduct/${job}/L${lineage}/s0/${folder}/00000000000000000042", rule.filter[0].prefix)
          ]
        ]
      ]
    ]))
    error_message = "a lifecycle rule reaches the claim log"
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.checkpoints.rule :
      length(rule.expiration) == 0 && length(rule.transition) == 0 && rule.noncurrent_version_expiration[0].noncurrent_days == 30
    ])
    error_message = "rules may remove deleted versions only, after 30 days"
  }
  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.checkpoints.rule) == 6
    error_message = "one rule per job and lineage"
  }
}

run "private_versioned_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == 2
    error_message = "no bucket may be public"
  }
  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "every bucket keeps versions"
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.this["checkpoints"].rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.this.arn
    ])
    error_message = "checkpoints are under our key"
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy == false])
    error_message = "a bucket with objects is never destroyed"
  }
  assert {
    condition     = output.checkpoint_dir == "s3://acme-aqueduct-checkpoints/aqueduct"
    error_message = output.checkpoint_dir
  }
}

run "last_copies_are_for_administrators" {
  command = plan

  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.checkpoints.statement :
      statement.effect == "Deny" && contains(statement.actions, "s3:DeleteObjectVersion") && contains(statement.actions, "s3:PutLifecycleConfiguration") &&
      [for condition in statement.condition : condition.values] == [tolist(["arn:aws:iam::111122223333:role/platform"])]
    ])
    error_message = "only administrators remove versions and write rules"
  }
  # "*" as a principal may only refuse, never allow.
  assert {
    condition = alltrue(flatten([
      for document in [data.aws_iam_policy_document.checkpoints, data.aws_iam_policy_document.access_log] : [
        for statement in document.statement : statement.effect == "Deny" || alltrue([for principal in statement.principals : !contains(principal.identifiers, "*")])
      ]
    ]))
    error_message = "a policy allows everyone"
  }
}

run "a_wildcard_administrator_is_refused" {
  command = plan
  variables {
    administrators = ["arn:aws:iam::111122223333:role/*"]
  }
  expect_failures = [var.administrators]
}

run "short_memory_is_refused" {
  command = plan
  variables {
    deleted_blobs_days = 1
  }
  expect_failures = [var.deleted_blobs_days]
}
