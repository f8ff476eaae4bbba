mock_provider "google" {
  override_during = plan
}

variables {
  project         = "acme-streams"
  region          = "europe-west1"
  name            = "aq-test"
  subnet_id       = "projects/acme-streams/regions/europe-west1/subnetworks/aq-test-nodes"
  service_account = "aq-test-dataproc@acme-streams.iam.gserviceaccount.com"
  key             = "projects/acme-streams/locations/europe-west1/keyRings/r/cryptoKeys/machines"
  buckets         = { artifacts = "acme-artifacts", staging = "acme-staging" }
  artifact        = { uri = "gs://acme-artifacts/aqueduct-1.tar.gz", sha256 = "0123456789012345678901234567890123456789012345678901234567890123" }
  program_uri     = "gs://acme-artifacts/1/aqueduct"
  jobs = {
    image-metrics = {
      files       = { "job.sql" = "../../../jobs/image-metrics/job.sql", "job.toml" = "../../../jobs/image-metrics/job.toml" }
      environment = "KAFKA_BROKERS=b-1:9094\nPOSTGRES_PASSWORD=$${secret:gcp:projects/p/secrets/s}\n"
      arguments   = "--checkpoint-dir\ngs://acme-checkpoints/aqueduct\n"
    }
  }
}

run "the_submission" {
  command = plan

  assert {
    condition     = google_dataproc_job.yarn["image-metrics"].hadoop_config[0].main_class == "org.apache.hadoop.yarn.applications.distributedshell.Client"
    error_message = "YARN's distributed shell"
  }
  # Each option with its value: an option that lost its value would swallow the next one.
  assert {
    condition = alltrue([
      for option, value in {
        "-timeout"                     = "0"
        "-jar"                         = "/usr/lib/hadoop-yarn/hadoop-yarn-applications-distributedshell.jar"
        "-num_containers"              = "1"
        "-container_memory"            = "4096"
        "-container_vcores"            = "2"
        "-container_retry_policy"      = "2"
        "-container_retry_error_codes" = "1,4,75"
        "-container_max_retries"       = "30"
        "-shell_command"               = "exec bash ./aqueduct-yarn ."
        "-localize_files"              = "aqueduct-yarn,deployment.args,deployment.env,job.sql,job.toml,aqueduct"
      } : google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args[index(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, option) + 1] == value
    ])
    error_message = jsonencode(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args)
  }
  assert {
    condition     = contains(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, "-keep_containers_across_application_attempts") && !contains(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, "-node_label_expression")
    error_message = "containers outlive the application master; without secondary workers no label is asked for"
  }
  # Every file that the container is to get must be handed to the launcher under that name.
  assert {
    condition = length(setsubtract(
      split(",", google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args[index(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, "-localize_files") + 1]),
      [for uri in google_dataproc_job.yarn["image-metrics"].hadoop_config[0].file_uris : basename(uri)]
    )) == 0
    error_message = "a localized file is not handed in"
  }
  # Exit code 5 (fenced) becomes 0 in the wrapper; 2 and 3 are for people.
  assert {
    condition = length(setintersection(
      split(",", google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args[index(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, "-container_retry_error_codes") + 1]),
      ["0", "2", "3", "5"]
    )) == 0
    error_message = "YARN must not start again what a new start cannot mend"
  }
  assert {
    condition     = google_dataproc_job.yarn["image-metrics"].scheduling[0].max_failures_per_hour == 10
    error_message = "Dataproc submits again as well"
  }
}

run "private_and_encrypted" {
  command = plan

  assert {
    condition = (
      google_dataproc_cluster.this.cluster_config[0].gce_cluster_config[0].internal_ip_only &&
      google_dataproc_cluster.this.cluster_config[0].gce_cluster_config[0].shielded_instance_config[0].enable_secure_boot &&
      google_dataproc_cluster.this.cluster_config[0].encryption_config[0].kms_key_name == var.key &&
      !google_dataproc_cluster.this.cluster_config[0].endpoint_config[0].enable_http_port_access
    )
    error_message = "no public address, no open web page, our key"
  }
  assert {
    condition = (
      google_dataproc_cluster.this.cluster_config[0].software_config[0].override_properties["dataproc:dataproc.logging.stackdriver.job.yarn.container.enable"] == "true" &&
      tonumber(google_dataproc_cluster.this.cluster_config[0].software_config[0].override_properties["yarn:yarn.nodemanager.sleep-delay-before-sigkill.ms"]) >= 30000
    )
    error_message = "containers' logs reach Cloud Logging, and a stopped program may seal"
  }
}

run "another_setting_is_another_job" {
  command = plan
  variables {
    jobs = {
      image-metrics = {
        files       = { "job.sql" = "../../../jobs/image-metrics/job.sql", "job.toml" = "../../../jobs/image-metrics/job.toml" }
        environment = "KAFKA_BROKERS=b-2:9094\n"
        arguments   = "--checkpoint-dir\ngs://acme-checkpoints/aqueduct\n"
      }
    }
  }
  assert {
    condition     = output.job_ids["image-metrics"] != run.the_submission.job_ids["image-metrics"]
    error_message = "a change of deployment.env must submit anew"
  }
}

run "off_the_machines_that_may_vanish" {
  command = plan
  variables {
    machines = { secondary_workers = 2 }
  }
  assert {
    condition     = google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args[index(google_dataproc_job.yarn["image-metrics"].hadoop_config[0].args, "-node_label_expression") + 1] == "stable"
    error_message = "with secondary workers the job asks for the stable ones"
  }
  assert {
    condition     = google_dataproc_cluster.this.cluster_config[0].gce_cluster_config[0].metadata["aqueduct-node-label"] == "stable" && google_dataproc_cluster.this.cluster_config[0].software_config[0].override_properties["yarn:yarn.node-labels.enabled"] == "true"
    error_message = "and the machines are labelled"
  }
  assert {
    condition = alltrue([
      for queue in ["root", "root.default"] :
      google_dataproc_cluster.this.cluster_config[0].software_config[0].override_properties["capacity-scheduler:yarn.scheduler.capacity.${queue}.accessible-node-labels.stable.capacity"] == "100"
    ])
    error_message = "and the queue may use them: without a share its jobs wait for ever"
  }
}

run "as_a_unit" {
  command = plan
  variables {
    jobs = {
      payments = {
        files       = { "job.sql" = "../../../jobs/payments/job.sql" }
        environment = "KAFKA_BROKERS=b-1:9094\n"
        arguments   = ""
        run_as      = "unit"
      }
    }
  }
  assert {
    condition     = length(google_dataproc_job.yarn) == 0 && google_dataproc_cluster.this.cluster_config[0].gce_cluster_config[0].metadata["aqueduct-unit-job"] == "payments"
    error_message = "a unit is no Hadoop job as well: it would fence itself"
  }
  assert {
    condition     = startswith(output.job_files["payments"], google_dataproc_cluster.this.cluster_config[0].gce_cluster_config[0].metadata["aqueduct-unit-files"])
    error_message = "the machines look where the files are"
  }
}

run "a_secret_in_the_clear_is_refused" {
  command = plan
  variables {
    jobs = {
      image-metrics = {
        files       = { "job.sql" = "../../../jobs/image-metrics/job.sql" }
        environment = "POSTGRES_PASSWORD=hunter2\n"
        arguments   = ""
      }
    }
  }
  expect_failures = [google_dataproc_cluster.this]
}

run "too_little_memory_is_refused" {
  command = plan
  variables {
    jobs = {
      image-metrics = {
        files       = { "job.sql" = "../../../jobs/image-metrics/job.sql" }
        environment = ""
        arguments   = ""
        memory_mib  = 10
      }
    }
  }
  expect_failures = [var.jobs]
}
