# A small Dataproc cluster, and the jobs on it: each as a Hadoop job that starts YARN's distributed shell, which starts the wrapper
# scripts/aqueduct-yarn, which starts the program. Or as a systemd unit on the master.
#
# Three layers start a job again: YARN in the same container (the wrapper's exit code), YARN with a new application master, Dataproc
# with a new submission. Two copies at once are possible in all of them; the claim log lets only the newest write.

locals {
  artifacts = "gs://${var.buckets.artifacts}"
  label     = var.machines.secondary_workers > 0 ? "stable" : ""
  unit      = one([for name, job in var.jobs : name if job.run_as == "unit"])

  # What the launcher hands to each job's folder, named by its contents: a running job keeps its own files.
  texts = {
    for name, job in var.jobs : name => merge(
      { for file, place in job.files : file => file(place) },
      { "deployment.env" = join("", [job.environment, "AQUEDUCT_LOG_COPY=gs://${var.buckets.staging}/logs/${name}\n"]) },
      { "deployment.args" = job.arguments },
      job.secrets == "" ? {} : { "deployment.secrets" = job.secrets },
      job.texts,
      { "aqueduct-yarn" = file("${path.module}/scripts/aqueduct-yarn") },
    )
  }
  versions = { for name, texts in local.texts : name => substr(sha256(jsonencode(merge(texts, { program = var.program_uri }))), 0, 12) }
  objects  = merge([for name, texts in local.texts : { for file in keys(texts) : "${name}/${file}" => { job = name, file = file } }]...)

  # Without its comments.
  submissions = {
    for name, job in var.jobs : name => [
      for line in split("\n", templatefile("${path.module}/submission.args", {
        jar               = local.jar
        name              = name
        files             = join(",", concat(sort(keys(local.texts[name])), ["aqueduct"]))
        memory_mib        = job.memory_mib
        cores             = job.cores
        retries           = job.retries
        retry_interval_ms = job.retry_interval_ms
        retry_window_ms   = job.retry_window_ms
      })) : line if line != "" && !startswith(line, "#")
    ]
  }

  jar = startswith(var.distributed_shell_jar, "file://") ? trimprefix(var.distributed_shell_jar, "file://") : basename(var.distributed_shell_jar)
}

resource "google_storage_bucket_object" "job" {
  for_each = local.objects

  bucket  = var.buckets.artifacts
  name    = "jobs/${each.value.job}/${local.versions[each.value.job]}/${each.value.file}"
  content = local.texts[each.value.job][each.value.file]
}

resource "google_storage_bucket_object" "install" {
  bucket  = var.buckets.artifacts
  name    = "scripts/${substr(filesha256("${path.module}/scripts/install-node"), 0, 12)}/install-node"
  content = file("${path.module}/scripts/install-node")
}

resource "google_dataproc_cluster" "this" {
  project                       = var.project
  region                        = var.region
  name                          = var.name
  graceful_decommission_timeout = "3600s"
  labels                        = var.labels

  cluster_config {
    staging_bucket = var.buckets.staging
    temp_bucket    = var.buckets.staging

    gce_cluster_config {
      subnetwork             = var.subnet_id
      service_account        = var.service_account
      service_account_scopes = ["cloud-platform"]
      internal_ip_only       = true
      metadata = merge({
        "aqueduct-artifact"        = var.artifact.uri
        "aqueduct-artifact-sha256" = var.artifact.sha256
        "aqueduct-node-label"      = local.label
        "block-project-ssh-keys"   = "true"
        "enable-oslogin"           = "true"
        }, local.unit == null ? {} : {
        "aqueduct-unit-job"   = local.unit
        "aqueduct-unit-files" = "${local.artifacts}/jobs/${local.unit}/${local.versions[local.unit]}"
      })
      shielded_instance_config {
        enable_secure_boot          = true
        enable_vtpm                 = true
        enable_integrity_monitoring = true
      }
    }

    encryption_config {
      kms_key_name = var.key
    }

    master_config {
      num_instances = var.machines.masters
      machine_type  = var.machines.master_type
      disk_config {
        boot_disk_type    = "pd-ssd"
        boot_disk_size_gb = var.machines.disk_gib
      }
    }

    worker_config {
      num_instances = var.machines.workers
      machine_type  = var.machines.worker_type
      disk_config {
        boot_disk_type    = "pd-ssd"
        boot_disk_size_gb = var.machines.disk_gib
      }
    }

    preemptible_worker_config {
      num_instances  = var.machines.secondary_workers
      preemptibility = "SPOT"
      disk_config {
        boot_disk_type    = "pd-ssd"
        boot_disk_size_gb = var.machines.disk_gib
      }
    }

    software_config {
      image_version = var.image_version
      override_properties = merge({
        # Logs and exit codes where people look for them.
        "dataproc:dataproc.logging.stackdriver.enable"                    = "true"
        "dataproc:dataproc.logging.stackdriver.job.driver.enable"         = "true"
        "dataproc:dataproc.logging.stackdriver.job.yarn.container.enable" = "true"
        "dataproc:dataproc.monitoring.stackdriver.enable"                 = "true"
        "yarn:yarn.log-aggregation-enable"                                = "true"
        # A program that is told to stop seals a checkpoint and delivers; YARN's own 250 ms are not enough.
        "yarn:yarn.nodemanager.sleep-delay-before-sigkill.ms" = "60000"
        # An application master that dies is started again; the job goes on meanwhile.
        "yarn:yarn.resourcemanager.am.max-attempts" = "10"
        # Threads and mapped files are address space, not memory; where YARN looks at memory itself, it kills at 2.1 times the container.
        "yarn:yarn.nodemanager.vmem-check-enabled" = "false"
        }, local.label == "" ? {} : {
        "yarn:yarn.node-labels.enabled"           = "true"
        "yarn:yarn.node-labels.fs-store.root-dir" = "/yarn/node-labels"
        # Without a share of the labelled machines the queue never gets one, and the jobs wait for ever.
        "capacity-scheduler:yarn.scheduler.capacity.root.accessible-node-labels.stable.capacity"         = "100"
        "capacity-scheduler:yarn.scheduler.capacity.root.default.accessible-node-labels.stable.capacity" = "100"
      })
    }

    initialization_action {
      script      = "${local.artifacts}/${google_storage_bucket_object.install.name}"
      timeout_sec = 600
    }

    endpoint_config {
      enable_http_port_access = false
    }
  }

  lifecycle {
    precondition {
      condition = alltrue([
        for name, job in var.jobs : !can(regex("(?m)^[A-Z_]*(PASSWORD|SECRET|TOKEN)[A-Z_]*=[^$\\n]", job.environment))
      ])
      error_message = "A job's deployment.env holds a secret in the clear; hand in a reference (the module `job` checks this)."
    }
  }

  depends_on = [google_storage_bucket_object.job]
}

resource "google_dataproc_job" "yarn" {
  for_each = { for name, job in var.jobs : name => job if job.run_as == "yarn" }

  project = var.project
  region  = var.region
  # Another version is another job: the old one is cancelled first, and what is left of it is fenced by the new one.
  force_delete = true
  labels       = var.labels

  reference {
    job_id = "${each.key}-${local.versions[each.key]}-${substr(var.artifact.sha256, 0, 8)}"
  }

  placement {
    cluster_name = google_dataproc_cluster.this.name
  }

  # Dataproc's own limits are 10 in an hour and 240 in all; YARN starts the program again long before.
  scheduling {
    max_failures_per_hour = 10
    max_failures_total    = 240
  }

  hadoop_config {
    main_class    = "org.apache.hadoop.yarn.applications.distributedshell.Client"
    jar_file_uris = [var.distributed_shell_jar]
    file_uris = concat(
      [for file in sort(keys(local.texts[each.key])) : "${local.artifacts}/${google_storage_bucket_object.job["${each.key}/${file}"].name}"],
      [var.program_uri],
    )

    args = concat(
      local.submissions[each.key],
      each.value.survive_master_restart ? ["-keep_containers_across_application_attempts"] : [],
      local.label == "" ? [] : ["-node_label_expression", local.label],
    )
  }
}
