# The policies are made by the provider itself where it is real; here their statements are read before that.
mock_provider "aws" {
  override_during = plan

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name              = "aq-test"
  cluster_arn       = "arn:aws:kafka:eu-west-1:111122223333:cluster/aq-test/11111111-2222-3333-4444-555555555555-1"
  google_identities = { job = "123456789012345678901" }
  read_topics       = ["product-images.processed"]
  write_topics      = ["results"]
  groups            = ["flink-analytics-group", "aqueduct.image-metrics.0.results_topic"]
  transactional_ids = ["image-metrics-0-results_topic"]
  checkpoints = {
    bucket_arn = "arn:aws:s3:::acme-checkpoints"
    root       = "aqueduct"
    key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/k"
  }
}

run "google_must_prove_account_and_audience" {
  command = plan

  assert {
    condition = jsonencode({
      for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.variable => condition.values
      }) == jsonencode({
      "accounts.google.com:aud"  = ["123456789012345678901"]
      "accounts.google.com:oaud" = ["sts.amazonaws.com/aqueduct"]
      "accounts.google.com:sub"  = ["123456789012345678901"]
    })
    error_message = "the trust must compare aud, oaud and sub"
  }
  assert {
    condition     = alltrue([for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.test == "StringEquals"])
    error_message = "no pattern in the trust"
  }
  assert {
    condition     = length(data.aws_iam_policy_document.trust.statement) == 1 && aws_iam_role.job.max_session_duration == 3600
    error_message = "nobody else, and for an hour"
  }
}

run "a_pod_must_prove_its_account" {
  command = plan
  variables {
    google_identities = {}
    kubernetes_identities = {
      eks = {
        provider_arn    = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        issuer          = "oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        namespace       = "streams"
        service_account = "image-metrics"
      }
    }
  }

  assert {
    condition = jsonencode({
      for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.variable => condition.values
      }) == jsonencode({
      "oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud" = ["sts.amazonaws.com"]
      "oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub" = ["system:serviceaccount:streams:image-metrics"]
    })
    error_message = "the trust must compare audience and service account"
  }
}

run "least_privilege" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for document in [data.aws_iam_policy_document.kafka, data.aws_iam_policy_document.checkpoints[0]] : [
        for statement in document.statement : concat(
          [for action in statement.actions : !strcontains(action, "*")],
          # A wildcard may stand only below the checkpoints' folder.
          [for resource in statement.resources : !strcontains(replace(resource, "arn:aws:s3:::acme-checkpoints/aqueduct/*", ""), "*")],
          [statement.effect == null || statement.effect == "Allow", length(statement.resources) > 0],
        )
      ]
    ]))
    error_message = "a policy holds a wildcard"
  }
  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.kafka.statement : statement.sid => sort(statement.resources) }) == jsonencode({
      Connect      = ["arn:aws:kafka:eu-west-1:111122223333:cluster/aq-test/11111111-2222-3333-4444-555555555555-1"]
      Groups       = ["arn:aws:kafka:eu-west-1:111122223333:group/aq-test/11111111-2222-3333-4444-555555555555-1/aqueduct.image-metrics.0.results_topic", "arn:aws:kafka:eu-west-1:111122223333:group/aq-test/11111111-2222-3333-4444-555555555555-1/flink-analytics-group"]
      Read         = ["arn:aws:kafka:eu-west-1:111122223333:topic/aq-test/11111111-2222-3333-4444-555555555555-1/product-images.processed", "arn:aws:kafka:eu-west-1:111122223333:topic/aq-test/11111111-2222-3333-4444-555555555555-1/results"]
      Transactions = ["arn:aws:kafka:eu-west-1:111122223333:transactional-id/aq-test/11111111-2222-3333-4444-555555555555-1/image-metrics-0-results_topic"]
      Write        = ["arn:aws:kafka:eu-west-1:111122223333:topic/aq-test/11111111-2222-3333-4444-555555555555-1/results"]
    })
    error_message = "each permission names what it is for"
  }
  assert {
    condition     = !anytrue(flatten([for statement in data.aws_iam_policy_document.checkpoints[0].statement : [for action in statement.actions : contains(["s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration", "s3:DeleteBucket"], action)]]))
    error_message = "a job removes no last copies"
  }
}

run "a_job_that_only_reads_may_not_write" {
  command = plan
  variables {
    write_topics      = []
    transactional_ids = []
    checkpoints       = null
  }

  assert {
    condition     = !anytrue(flatten([for statement in data.aws_iam_policy_document.kafka.statement : [for action in statement.actions : strcontains(action, "Write") || strcontains(action, "Transactional")]]))
    error_message = "without a topic to write there is no right to write"
  }
  assert {
    condition     = length(aws_iam_role_policy.checkpoints) == 0
    error_message = "without S3 there is no right to S3"
  }
}

run "a_wildcard_topic_is_refused" {
  command = plan
  variables {
    read_topics = ["*"]
  }
  expect_failures = [aws_iam_role.job]
}

run "a_role_for_nobody_is_refused" {
  command = plan
  variables {
    google_identities = {}
  }
  expect_failures = [aws_iam_role.job]
}

run "an_address_instead_of_an_id_is_refused" {
  command = plan
  variables {
    google_identities = { job = "job@project.iam.gserviceaccount.com" }
  }
  expect_failures = [var.google_identities]
}
