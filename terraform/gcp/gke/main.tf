# A private GKE cluster for the chart under k8s/: no public address on machines or control plane, workload identity, network
# policies enforced, and machines whose own identity may read no data.

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12:Dataplane V2 (datapath_provider) enforces network policies; the older add-on excludes it
  #checkov:skip=CKV_GCP_13:GKE has issued no client certificates since 1.12 unless asked
  #checkov:skip=CKV_GCP_65:Groups for RBAC need a group of the organisation; bind it where it exists
  #checkov:skip=CKV_GCP_66:Binary Authorization needs attestors of the organisation; the chart takes images by digest
  #checkov:skip=CKV_GCP_69:Set on the pool (node_config of google_container_node_pool); the default pool is removed
  project             = var.project
  location            = var.region
  node_locations      = length(var.zones) > 0 ? var.zones : null
  name                = var.name
  deletion_protection = true
  resource_labels     = merge({ component = "aqueduct" }, var.labels)

  network                     = var.network_id
  subnetwork                  = var.subnet_id
  networking_mode             = "VPC_NATIVE"
  datapath_provider           = "ADVANCED_DATAPATH"
  enable_intranode_visibility = true
  enable_shielded_nodes       = true

  # The pool below replaces it.
  remove_default_node_pool = true
  initial_node_count       = 1
  node_config {
    service_account   = var.service_account
    boot_disk_kms_key = var.keys.machines
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }

  release_channel {
    channel = var.release_channel
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
    master_ipv4_cidr_block  = var.control_plane_range
  }

  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false
    dynamic "cidr_blocks" {
      for_each = var.control_plane_clients
      content {
        cidr_block   = cidr_blocks.value
        display_name = cidr_blocks.key
      }
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  database_encryption {
    state    = "ENCRYPTED"
    key_name = var.keys.secrets
  }

  dns_config {
    cluster_dns       = "CLOUD_DNS"
    cluster_dns_scope = "CLUSTER_SCOPE"
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]
    managed_prometheus {
      enabled = true
    }
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_BASIC"
  }

  maintenance_policy {
    recurring_window {
      start_time = var.maintenance.start
      end_time   = var.maintenance.end
      recurrence = var.maintenance.recurrence
    }
  }

  lifecycle {
    prevent_destroy = true
    # It belongs to the pool that is removed.
    ignore_changes = [node_config]
  }
}

resource "google_container_node_pool" "jobs" {
  project            = var.project
  location           = var.region
  cluster            = google_container_cluster.this.name
  name               = "jobs"
  initial_node_count = var.nodes_per_zone.min

  autoscaling {
    min_node_count = var.nodes_per_zone.min
    max_node_count = var.nodes_per_zone.max
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  # A new machine before an old one goes: a job moves once.
  upgrade_settings {
    strategy        = "SURGE"
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type      = var.machine_type
    image_type        = "COS_CONTAINERD"
    service_account   = var.service_account
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    disk_type         = "pd-ssd"
    disk_size_gb      = 50
    boot_disk_kms_key = var.keys.machines
    spot              = false
    labels            = { "aqueduct/jobs" = "true" }

    dynamic "ephemeral_storage_local_ssd_config" {
      for_each = var.local_ssds > 0 ? [var.local_ssds] : []
      content {
        local_ssd_count = ephemeral_storage_local_ssd_config.value
      }
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
    metadata = {
      disable-legacy-endpoints = "true"
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}
