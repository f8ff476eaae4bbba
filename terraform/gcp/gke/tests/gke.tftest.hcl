# Plans only: the cluster may not be destroyed, not even by a test.
mock_provider "google" {
  override_during = plan
}

variables {
  project               = "acme-streams"
  region                = "europe-west1"
  name                  = "aq-test"
  network_id            = "projects/acme-streams/global/networks/aq-test"
  subnet_id             = "projects/acme-streams/regions/europe-west1/subnetworks/aq-test-nodes"
  control_plane_range   = "10.47.0.0/28"
  control_plane_clients = { office = "10.1.0.0/24" }
  service_account       = "aq-test-gke@acme-streams.iam.gserviceaccount.com"
  keys                  = { machines = "projects/p/locations/l/keyRings/r/cryptoKeys/m", secrets = "projects/p/locations/l/keyRings/r/cryptoKeys/s" }
}

run "private" {
  command = plan

  assert {
    condition     = google_container_cluster.this.private_cluster_config[0].enable_private_nodes && google_container_cluster.this.private_cluster_config[0].enable_private_endpoint
    error_message = "neither machines nor control plane have a public address"
  }
  assert {
    condition     = jsonencode([for block in google_container_cluster.this.master_authorized_networks_config[0].cidr_blocks : block.cidr_block]) == jsonencode(["10.1.0.0/24"]) && !google_container_cluster.this.master_authorized_networks_config[0].gcp_public_cidrs_access_enabled
    error_message = "only named ranges reach the control plane"
  }
}

run "identities_and_keys" {
  command = plan

  assert {
    condition = (
      google_container_cluster.this.workload_identity_config[0].workload_pool == "acme-streams.svc.id.goog" &&
      google_container_node_pool.jobs.node_config[0].workload_metadata_config[0].mode == "GKE_METADATA" &&
      google_container_node_pool.jobs.node_config[0].service_account == var.service_account
    )
    error_message = "pods have their own identity and cannot take the machine's"
  }
  assert {
    condition     = google_container_cluster.this.database_encryption[0].state == "ENCRYPTED" && google_container_cluster.this.database_encryption[0].key_name == var.keys.secrets && google_container_node_pool.jobs.node_config[0].boot_disk_kms_key == var.keys.machines
    error_message = "secrets and disks are under our keys"
  }
  assert {
    condition     = google_container_cluster.this.datapath_provider == "ADVANCED_DATAPATH" && google_container_node_pool.jobs.node_config[0].shielded_instance_config[0].enable_secure_boot
    error_message = "network policies are enforced, machines boot securely"
  }
}

run "a_job_moves_once" {
  command = plan

  assert {
    condition     = google_container_node_pool.jobs.upgrade_settings[0].max_surge == 1 && google_container_node_pool.jobs.upgrade_settings[0].max_unavailable == 0 && !google_container_node_pool.jobs.node_config[0].spot
    error_message = "a new machine comes before an old one goes, and none vanishes"
  }
}

run "a_public_control_plane_is_refused" {
  command = plan
  variables {
    control_plane_clients = { everyone = "0.0.0.0/0" }
  }
  expect_failures = [var.control_plane_clients]
}
