# Plans only: the instance may not be destroyed, not even by a test.
mock_provider "google" {
  override_during = plan

  mock_resource "google_sql_database_instance" {
    defaults = {
      private_ip_address = "10.46.0.3"
      server_ca_cert     = [{ cert = "PEM", common_name = "", create_time = "", expiration_time = "", sha1_fingerprint = "" }]
    }
  }
}

variables {
  project            = "acme-streams"
  region             = "europe-west1"
  name               = "aq-test"
  network_id         = "projects/acme-streams/global/networks/aq-test"
  managed_connection = "c"
  key                = "projects/acme-streams/locations/europe-west1/keyRings/r/cryptoKeys/sql"
}

run "private_and_tls_only" {
  command = plan

  assert {
    condition = (
      google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled == false &&
      google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY" &&
      google_sql_database_instance.this.settings[0].ip_configuration[0].private_network == var.network_id &&
      length(google_sql_database_instance.this.settings[0].ip_configuration[0].authorized_networks) == 0
    )
    error_message = "no public address, no plaintext"
  }
  assert {
    condition     = output.url == "postgres://10.46.0.3:5432/analytics" && output.server_ca == "PEM"
    error_message = output.url
  }
}

run "encrypted_protected_restorable" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.encryption_key_name == var.key && google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
    error_message = "our key, protected twice"
  }
  assert {
    condition = (
      google_sql_database_instance.this.settings[0].backup_configuration[0].enabled &&
      google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled &&
      google_sql_database_instance.this.settings[0].backup_configuration[0].transaction_log_retention_days == 7 &&
      google_sql_database_instance.this.settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups == 30
    )
    error_message = "any moment of 7 days, 30 daily backups"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    error_message = "a standby by default"
  }
  assert {
    condition     = length(google_sql_user.job) == 0
    error_message = "no user without a password"
  }
}

run "a_password_is_written_only" {
  command = plan
  variables {
    user_password         = "never stored"
    user_password_version = 1
  }
  assert {
    condition     = google_sql_user.job[0].password_wo == null && coalesce(google_sql_user.job[0].password, "nothing") == "nothing" && google_sql_user.job[0].password_wo_version == 1
    error_message = "the password must not be in the state"
  }
}

run "an_old_postgres_is_refused" {
  command = plan
  variables {
    database_version = "POSTGRES_12"
  }
  expect_failures = [var.database_version]
}
