# Postgres for the results: a private address only, TLS only, encrypted with our key, with backups and point-in-time recovery.
# After a restore to an earlier moment the sink's cursor is older than the checkpoint: the engine delivers again from there, as
# far back as its outbox reaches.

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV_GCP_6:ssl_mode ENCRYPTED_ONLY (below) demands TLS; the scanner looks for the attribute that the provider has removed
  #checkov:skip=CKV_GCP_55:Which statements are slow is shown by query insights; logging at a level for errors is set below
  #checkov:skip=CKV_GCP_79:The users' tables live on PostgreSQL 15; a newer major version is database_version, when they have moved
  #checkov:skip=CKV2_GCP_13:log_duration would write a line per statement; query insights holds durations
  project             = var.project
  region              = var.region
  name                = var.name
  database_version    = var.database_version
  encryption_key_name = var.key
  deletion_protection = true

  settings {
    tier                        = var.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.high_availability ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.disk_gib
    disk_autoresize             = true
    deletion_protection_enabled = true
    retain_backups_on_delete    = true
    user_labels                 = var.labels

    ip_configuration {
      ipv4_enabled    = false
      private_network = var.network_id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = var.log_days
      backup_retention_settings {
        retained_backups = var.backups_kept
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    # One block each: the policy scanner does not follow a dynamic block through a module.
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_temp_files"
      value = "0"
    }
    database_flags {
      name  = "log_hostname"
      value = "on"
    }
    database_flags {
      name  = "log_min_messages"
      value = "warning"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }
    # A stalled process must give the cursor's row free even if it did not set this for itself.
    database_flags {
      name  = "idle_in_transaction_session_timeout"
      value = "60000"
    }
  }

  lifecycle {
    prevent_destroy = true
    # The disk grows by itself.
    ignore_changes = [settings[0].disk_size]
    precondition {
      condition     = var.managed_connection != ""
      error_message = "The private services connection comes first."
    }
  }
}

resource "google_sql_database" "results" {
  project         = var.project
  instance        = google_sql_database_instance.this.name
  name            = var.database
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "job" {
  count = var.user_password_version > 0 ? 1 : 0

  project             = var.project
  instance            = google_sql_database_instance.this.name
  name                = var.user
  type                = "BUILT_IN"
  password_wo         = var.user_password
  password_wo_version = var.user_password_version
  deletion_policy     = "ABANDON"
}
