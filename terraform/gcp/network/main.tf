# A VPC in which nothing has a public address and, by default, nothing reaches the internet: Google's APIs through the
# restricted addresses, Cloud SQL through private services access, the brokers through the module `bridge`.
# Everything that is not opened here, by name, is closed in both directions.

locals {
  # Google's addresses for APIs under VPC Service Controls. They are not announced on the internet.
  restricted_range = "199.36.153.4/30"
  restricted       = ["199.36.153.4", "199.36.153.5", "199.36.153.6", "199.36.153.7"]
  # Zones in which names of Google's services lie.
  api_zones = { googleapis = "googleapis.com.", registry = "pkg.dev.", old-registry = "gcr.io." }
}

resource "google_compute_network" "this" {
  project                         = var.project
  name                            = var.name
  auto_create_subnetworks         = false
  delete_default_routes_on_create = true
  routing_mode                    = "REGIONAL"
}

resource "google_compute_subnetwork" "nodes" {
  project                  = var.project
  region                   = var.region
  name                     = "${var.name}-nodes"
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.ranges.nodes
  private_ip_google_access = true
  stack_type               = "IPV4_ONLY"

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = var.ranges.pods
  }
  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = var.ranges.services
  }

  log_config {
    aggregation_interval = "INTERVAL_5_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# --- ways out ---------------------------------------------------------------------------------------------------------

resource "google_compute_route" "apis" {
  project          = var.project
  name             = "${var.name}-apis"
  network          = google_compute_network.this.id
  dest_range       = local.restricted_range
  next_hop_gateway = "default-internet-gateway"
}

resource "google_compute_route" "internet" {
  count = var.internet ? 1 : 0

  project          = var.project
  name             = "${var.name}-internet"
  network          = google_compute_network.this.id
  dest_range       = "0.0.0.0/0"
  next_hop_gateway = "default-internet-gateway"
}

resource "google_compute_router" "nat" {
  count = var.internet ? 1 : 0

  project = var.project
  region  = var.region
  name    = "${var.name}-nat"
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  count = var.internet ? 1 : 0

  project                            = var.project
  region                             = var.region
  name                               = var.name
  router                             = google_compute_router.nat[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.nodes.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Cloud SQL gets an address of this range.
resource "google_compute_global_address" "managed" {
  project       = var.project
  name          = "${var.name}-managed"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  network       = google_compute_network.this.id
  address       = cidrhost(var.ranges.managed, 0)
  prefix_length = tonumber(split("/", var.ranges.managed)[1])
}

resource "google_service_networking_connection" "managed" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.managed.name]
}

# --- names ------------------------------------------------------------------------------------------------------------

resource "google_dns_managed_zone" "apis" {
  for_each = local.api_zones

  project     = var.project
  name        = "${var.name}-${each.key}"
  dns_name    = each.value
  description = "Google's services by their restricted addresses"
  visibility  = "private"
  labels      = var.labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "apis" {
  for_each = local.api_zones

  project      = var.project
  managed_zone = google_dns_managed_zone.apis[each.key].name
  name         = each.key == "googleapis" ? "restricted.googleapis.com." : each.value
  type         = "A"
  ttl          = 300
  rrdatas      = local.restricted
}

resource "google_dns_record_set" "any_api" {
  for_each = local.api_zones

  project      = var.project
  managed_zone = google_dns_managed_zone.apis[each.key].name
  name         = "*.${each.value}"
  type         = "CNAME"
  ttl          = 300
  rrdatas      = [each.key == "googleapis" ? "restricted.googleapis.com." : each.value]
}

resource "google_dns_policy" "logging" {
  project        = var.project
  name           = var.name
  enable_logging = true

  networks {
    network_url = google_compute_network.this.id
  }
}

# --- firewall ---------------------------------------------------------------------------------------------------------

# Below every rule that opens something. Its order number is the last before the implied rules.
resource "google_compute_firewall" "closed" {
  for_each = toset(["INGRESS", "EGRESS"])

  project            = var.project
  name               = "${var.name}-closed-${lower(each.key)}"
  network            = google_compute_network.this.id
  direction          = each.key
  priority           = 65000
  source_ranges      = each.key == "INGRESS" ? ["0.0.0.0/0"] : null
  destination_ranges = each.key == "EGRESS" ? ["0.0.0.0/0"] : null

  deny {
    protocol = "all"
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

locals {
  inside = [var.ranges.nodes, var.ranges.pods]
  ways_out = {
    apis          = { to = [local.restricted_range], ports = ["443"] }
    postgres      = { to = [var.ranges.managed], ports = ["5432"] }
    control-plane = { to = [var.ranges.control_plane], ports = ["443", "8132", "10250"] }
  }
}

# Machines of one cluster talk to each other.
resource "google_compute_firewall" "inside" {
  for_each = toset(["INGRESS", "EGRESS"])

  project            = var.project
  name               = "${var.name}-inside-${lower(each.key)}"
  network            = google_compute_network.this.id
  direction          = each.key
  priority           = 1000
  source_ranges      = each.key == "INGRESS" ? local.inside : null
  destination_ranges = each.key == "EGRESS" ? local.inside : null

  allow {
    protocol = "tcp"
  }
  allow {
    protocol = "udp"
  }
  allow {
    protocol = "icmp"
  }
}

resource "google_compute_firewall" "control_plane" {
  project       = var.project
  name          = "${var.name}-from-control-plane"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = [var.ranges.control_plane]

  allow {
    protocol = "tcp"
    ports    = ["443", "8443", "9443", "10250"]
  }
}

resource "google_compute_firewall" "out" {
  for_each = local.ways_out

  project            = var.project
  name               = "${var.name}-to-${each.key}"
  network            = google_compute_network.this.id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = each.value.to

  allow {
    protocol = "tcp"
    ports    = each.value.ports
  }
}

resource "google_compute_firewall" "internet" {
  count = var.internet ? 1 : 0

  project            = var.project
  name               = "${var.name}-to-internet"
  network            = google_compute_network.this.id
  direction          = "EGRESS"
  priority           = 2000
  destination_ranges = ["0.0.0.0/0"]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
