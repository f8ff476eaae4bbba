# Against the jobs of this repository: a renamed variable, topic or table there must be noticed here.

variables {
  checkpoint_dir = "gs://checkpoints/aqueduct"
}

run "image_metrics" {
  variables {
    folder      = "../../jobs/image-metrics"
    variables   = { KAFKA_BROKERS = "b-1:9094", POSTGRES_PASSWORD = "$${secret:gcp:projects/p/secrets/s}" }
    arguments   = ["--http", ":8080"]
    environment = { AWS_REGION = "eu-west-1" }
  }

  assert {
    condition     = output.name == "image-metrics"
    error_message = "the job's name is not read from job.sql: ${output.name}"
  }
  assert {
    condition     = jsonencode(output.source_topics) == jsonencode(["product-images.processed"]) && jsonencode(output.sink_topics) == jsonencode(["results"])
    error_message = "topics: ${jsonencode([output.source_topics, output.sink_topics])}"
  }
  assert {
    condition     = jsonencode(output.kafka_groups) == jsonencode(["flink-analytics-group", "aqueduct.image-metrics.0.results_topic"])
    error_message = "groups: ${jsonencode(output.kafka_groups)}"
  }
  assert {
    condition     = jsonencode(output.transactional_ids) == jsonencode(["image-metrics-0-results_topic"])
    error_message = "transactional ids: ${jsonencode(output.transactional_ids)}"
  }
  assert {
    condition     = output.environment == "AWS_REGION=eu-west-1\nKAFKA_BROKERS=b-1:9094\nPOSTGRES_PASSWORD=$${secret:gcp:projects/p/secrets/s}\n"
    error_message = "deployment.env must hold exactly what was handed in, defaults stay in the job: ${output.environment}"
  }
  assert {
    condition     = output.arguments == "--checkpoint-dir\ngs://checkpoints/aqueduct\n--http\n:8080\n"
    error_message = "deployment.args: ${output.arguments}"
  }
  assert {
    condition     = jsonencode(keys(output.files)) == jsonencode(["job.sql", "job.toml"])
    error_message = "files: ${jsonencode(output.files)}"
  }
  # What the old job's arguments were called must still be there under the new names.
  assert {
    condition = length(setsubtract(
      ["KAFKA_BROKERS", "KAFKA_TOPIC", "KAFKA_GROUP", "RESULTS_BUCKET", "FIRESTORE_PROJECT", "FIRESTORE_COLLECTION", "POSTGRES_URL", "POSTGRES_USER", "POSTGRES_PASSWORD", "WINDOW_MINUTES"],
      output.variables_known
    )) == 0
    error_message = "job.sql no longer reads a variable that the deployment hands in"
  }
}

run "payments" {
  variables {
    folder    = "../../jobs/payments"
    variables = { KAFKA_GROUP = "payments-eu" }
  }

  assert {
    condition     = toset(output.source_topics) == toset(["payment.requested", "payment.succeeded"]) && length(output.sink_topics) == 0
    error_message = "topics: ${jsonencode([output.source_topics, output.sink_topics])}"
  }
  assert {
    condition     = jsonencode(output.kafka_groups) == jsonencode(["payments-eu"])
    error_message = "a handed-in group must win over the default: ${jsonencode(output.kafka_groups)}"
  }
}

run "an_unknown_variable_is_refused" {
  command = plan
  variables {
    folder    = "../../jobs/image-metrics"
    variables = { KAFKA_BROKER = "b-1:9094" }
  }
  expect_failures = [terraform_data.names]
}

run "a_password_in_the_clear_is_refused" {
  command = plan
  variables {
    folder    = "../../jobs/image-metrics"
    variables = { POSTGRES_PASSWORD = "hunter2" }
  }
  expect_failures = [var.variables]
}

run "a_checkpoint_folder_without_a_folder_is_refused" {
  command = plan
  variables {
    folder         = "../../jobs/image-metrics"
    checkpoint_dir = "gs://checkpoints"
  }
  expect_failures = [var.checkpoint_dir]
}

run "a_key_of_aws_is_refused" {
  command = plan
  variables {
    folder      = "../../jobs/image-metrics"
    environment = { AWS_SECRET_ACCESS_KEY = "x" }
  }
  expect_failures = [var.environment]
}

run "addresses_go_to_those_who_read_them" {
  command = plan
  variables {
    folder    = "../../jobs/payments"
    addresses = { POSTGRES_URL = "postgres://10.0.0.3/analytics", FIRESTORE_PROJECT = "acme", KAFKA_GROUP = "shared" }
    variables = { KAFKA_GROUP = "own" }
  }
  assert {
    condition     = output.environment == "KAFKA_GROUP=own\nPOSTGRES_URL=postgres://10.0.0.3/analytics\n"
    error_message = output.environment
  }
}

run "a_job_without_a_needed_variable_is_refused" {
  command = plan
  variables {
    folder = "../../jobs/payments"
    needed = ["KAFKA_NO_SUCH_VARIABLE"]
  }
  expect_failures = [terraform_data.names]
}
