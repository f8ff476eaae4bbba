# The way between the clouds: HA VPN with four tunnels and BGP. Two connections on the AWS side, one to each address of the
# Google gateway, two tunnels in each: what Google calls highly available. `names.tf` has DNS, `doors.tf` the firewalls.
#
# Known and accepted: the tunnels' pre-shared keys are in the state. Neither provider takes them as write-only arguments. Keep
# the state in an encrypted bucket that only the platform's administrators read (see the README), or replace the keys by hand.

locals {
  # Google's connectors for DNS; answers must find their way back there.
  google_dns_range = "35.199.192.0/19"

  # Tunnel t of connection c: interface c on the Google side, peer interface 2c + t.
  tunnels = {
    for index, range in var.inside_ranges : "c${floor(index / 2)}-t${index % 2 + 1}" => {
      connection = floor(index / 2)
      tunnel     = index % 2 + 1
      peer       = index
      # AWS takes the first address, its customer (Google) the second.
      aws_inside    = cidrhost(range, 1)
      google_inside = cidrhost(range, 2)
    }
  }
}

# --- AWS --------------------------------------------------------------------------------------------------------------

resource "aws_vpn_gateway" "this" {
  count = var.transit_gateway_id == null ? 1 : 0

  vpc_id          = var.aws.vpc_id
  amazon_side_asn = var.aws_asn
  tags            = merge(var.tags, { Name = var.name })
}

resource "aws_vpn_gateway_route_propagation" "this" {
  count = var.transit_gateway_id == null ? length(var.aws.route_table_ids) : 0

  vpn_gateway_id = aws_vpn_gateway.this[0].id
  route_table_id = var.aws.route_table_ids[count.index]
}

resource "aws_customer_gateway" "google" {
  count = 2

  type       = "ipsec.1"
  bgp_asn    = var.google_asn
  ip_address = data.google_compute_ha_vpn_gateway.this.vpn_interfaces[count.index].ip_address
  tags       = merge(var.tags, { Name = "${var.name}-google-${count.index}" })
}

resource "aws_cloudwatch_log_group" "vpn" {
  name              = "/aqueduct/${var.name}/vpn"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.aws.logs_key_arn
  tags              = var.tags
}

resource "aws_vpn_connection" "google" {
  count = 2

  type                = "ipsec.1"
  customer_gateway_id = aws_customer_gateway.google[count.index].id
  vpn_gateway_id      = one(aws_vpn_gateway.this[*].id)
  transit_gateway_id  = var.transit_gateway_id
  static_routes_only  = false
  tags                = merge(var.tags, { Name = "${var.name}-google-${count.index}" })

  tunnel1_inside_cidr                  = var.inside_ranges[2 * count.index]
  tunnel1_ike_versions                 = ["ikev2"]
  tunnel1_phase1_encryption_algorithms = ["AES256-GCM-16"]
  tunnel1_phase1_integrity_algorithms  = ["SHA2-256", "SHA2-384", "SHA2-512"]
  tunnel1_phase1_dh_group_numbers      = [19, 20, 21]
  tunnel1_phase2_encryption_algorithms = ["AES256-GCM-16"]
  tunnel1_phase2_integrity_algorithms  = ["SHA2-256", "SHA2-384", "SHA2-512"]
  tunnel1_phase2_dh_group_numbers      = [19, 20, 21]
  tunnel1_dpd_timeout_action           = "restart"

  tunnel2_inside_cidr                  = var.inside_ranges[2 * count.index + 1]
  tunnel2_ike_versions                 = ["ikev2"]
  tunnel2_phase1_encryption_algorithms = ["AES256-GCM-16"]
  tunnel2_phase1_integrity_algorithms  = ["SHA2-256", "SHA2-384", "SHA2-512"]
  tunnel2_phase1_dh_group_numbers      = [19, 20, 21]
  tunnel2_phase2_encryption_algorithms = ["AES256-GCM-16"]
  tunnel2_phase2_integrity_algorithms  = ["SHA2-256", "SHA2-384", "SHA2-512"]
  tunnel2_phase2_dh_group_numbers      = [19, 20, 21]
  tunnel2_dpd_timeout_action           = "restart"

  tunnel1_log_options {
    cloudwatch_log_options {
      log_enabled       = true
      log_group_arn     = aws_cloudwatch_log_group.vpn.arn
      log_output_format = "json"
    }
  }
  tunnel2_log_options {
    cloudwatch_log_options {
      log_enabled       = true
      log_group_arn     = aws_cloudwatch_log_group.vpn.arn
      log_output_format = "json"
    }
  }
}

# --- Google -----------------------------------------------------------------------------------------------------------

resource "google_compute_ha_vpn_gateway" "this" {
  project    = var.google.project
  region     = var.google.region
  name       = var.name
  network    = var.google.network_id
  stack_type = "IPV4_ONLY"
}

# The gateway's addresses. The name comes from self_link, which is known only once the gateway exists: the plain name is known
# before, and the addresses would be asked for too early.
data "google_compute_ha_vpn_gateway" "this" {
  project = var.google.project
  region  = var.google.region
  name    = basename(google_compute_ha_vpn_gateway.this.self_link)
}

resource "google_compute_external_vpn_gateway" "aws" {
  project         = var.google.project
  name            = "${var.name}-aws"
  redundancy_type = "FOUR_IPS_REDUNDANCY"

  dynamic "interface" {
    for_each = { for tunnel in values(local.tunnels) : tostring(tunnel.peer) => tunnel }
    content {
      id         = interface.value.peer
      ip_address = interface.value.tunnel == 1 ? aws_vpn_connection.google[interface.value.connection].tunnel1_address : aws_vpn_connection.google[interface.value.connection].tunnel2_address
    }
  }
}

resource "google_compute_router" "this" {
  project = var.google.project
  region  = var.google.region
  name    = var.name
  network = var.google.network_id

  bgp {
    asn               = var.google_asn
    advertise_mode    = "CUSTOM"
    advertised_groups = []

    # Only what connects, and the range from which DNS asks: without it the answers do not come back.
    dynamic "advertised_ip_ranges" {
      for_each = concat(var.google.client_ranges, [local.google_dns_range])
      content {
        range = advertised_ip_ranges.value
      }
    }
  }
}

resource "google_compute_vpn_tunnel" "this" {
  for_each = local.tunnels

  project                         = var.google.project
  region                          = var.google.region
  name                            = "${var.name}-${each.key}"
  vpn_gateway                     = google_compute_ha_vpn_gateway.this.id
  vpn_gateway_interface           = each.value.connection
  peer_external_gateway           = google_compute_external_vpn_gateway.aws.id
  peer_external_gateway_interface = each.value.peer
  router                          = google_compute_router.this.id
  ike_version                     = 2
  shared_secret                   = each.value.tunnel == 1 ? aws_vpn_connection.google[each.value.connection].tunnel1_preshared_key : aws_vpn_connection.google[each.value.connection].tunnel2_preshared_key
}

resource "google_compute_router_interface" "this" {
  for_each = local.tunnels

  project    = var.google.project
  region     = var.google.region
  name       = "${var.name}-${each.key}"
  router     = google_compute_router.this.name
  ip_range   = "${each.value.google_inside}/30"
  vpn_tunnel = google_compute_vpn_tunnel.this[each.key].name
}

resource "google_compute_router_peer" "this" {
  for_each = local.tunnels

  project         = var.google.project
  region          = var.google.region
  name            = "${var.name}-${each.key}"
  router          = google_compute_router.this.name
  interface       = google_compute_router_interface.this[each.key].name
  peer_ip_address = each.value.aws_inside
  peer_asn        = var.aws_asn
}
