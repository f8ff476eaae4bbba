mock_provider "google" {
  override_during = plan

  mock_resource "google_compute_ha_vpn_gateway" {
    defaults = { self_link = "projects/acme-streams/regions/europe-west1/vpnGateways/aq-test" }
  }
  mock_data "google_compute_ha_vpn_gateway" {
    defaults = {
      vpn_interfaces = [
        { id = 0, ip_address = "35.242.0.10", interconnect_attachment = "" },
        { id = 1, ip_address = "35.220.0.10", interconnect_attachment = "" },
      ]
    }
  }
}

mock_provider "aws" {
  override_during = plan

  mock_resource "aws_vpn_connection" {
    defaults = { tunnel1_address = "52.0.0.1", tunnel2_address = "52.0.0.2", tunnel1_preshared_key = "one", tunnel2_preshared_key = "two" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:vpn" }
  }
  mock_resource "aws_customer_gateway" {
    defaults = { id = "cgw-1" }
  }
  mock_resource "aws_vpn_gateway" {
    defaults = { id = "vgw-1" }
  }
}

variables {
  name = "aq-test"
  google = {
    project       = "acme-streams"
    region        = "europe-west1"
    network_id    = "projects/acme-streams/global/networks/aq-test"
    client_ranges = ["10.40.0.0/20", "10.44.0.0/16"]
  }
  aws = {
    vpc_id                   = "vpc-1"
    cidr                     = "10.20.0.0/20"
    subnet_ids               = ["subnet-a", "subnet-b"]
    route_table_ids          = ["rtb-1"]
    broker_security_group_id = "sg-brokers"
    logs_key_arn             = "arn:aws:kms:eu-west-1:111122223333:key/logs"
  }
  ports             = { scram = 9096, iam = 9098 }
  forwarded_domains = { brokers = "kafka.eu-west-1.amazonaws.com.", sts = "sts.eu-west-1.amazonaws.com." }
}

run "tunnels_names_doors" {
  command = plan
  assert {
    condition     = length(google_compute_vpn_tunnel.this) == 4 && length(aws_vpn_connection.google) == 2 && google_compute_external_vpn_gateway.aws.redundancy_type == "FOUR_IPS_REDUNDANCY"
    error_message = "four tunnels over two connections"
  }
  # Each tunnel joins the right ends: interface, peer interface, addresses and key must agree.
  assert {
    condition = jsonencode({ for key, tunnel in google_compute_vpn_tunnel.this : key => [
      tunnel.vpn_gateway_interface, tunnel.peer_external_gateway_interface, tunnel.shared_secret, google_compute_router_interface.this[key].ip_range, google_compute_router_peer.this[key].peer_ip_address
      ] }) == jsonencode({
      c0-t1 = [0, 0, "one", "169.254.10.2/30", "169.254.10.1"]
      c0-t2 = [0, 1, "two", "169.254.10.6/30", "169.254.10.5"]
      c1-t1 = [1, 2, "one", "169.254.11.2/30", "169.254.11.1"]
      c1-t2 = [1, 3, "two", "169.254.11.6/30", "169.254.11.5"]
    })
    error_message = jsonencode({ for key, tunnel in google_compute_vpn_tunnel.this : key => [tunnel.vpn_gateway_interface, tunnel.peer_external_gateway_interface] })
  }
  assert {
    condition     = jsonencode([for connection in aws_vpn_connection.google : [connection.tunnel1_inside_cidr, connection.tunnel2_inside_cidr]]) == jsonencode([["169.254.10.0/30", "169.254.10.4/30"], ["169.254.11.0/30", "169.254.11.4/30"]])
    error_message = "both sides must speak of the same ranges"
  }
  assert {
    condition     = length(aws_customer_gateway.google) == 2 && alltrue([for gateway in aws_customer_gateway.google : gateway.bgp_asn == "64514"])
    error_message = "one customer gateway per Google address"
  }
  assert {
    condition     = alltrue([for peer in google_compute_router_peer.this : peer.peer_asn == 64512]) && aws_vpn_gateway.this[0].amazon_side_asn == "64512" && google_compute_router.this.bgp[0].asn == 64514
    error_message = "AS numbers must agree"
  }
  assert {
    condition     = alltrue([for connection in aws_vpn_connection.google : connection.static_routes_only == false && connection.tunnel1_ike_versions == toset(["ikev2"]) && connection.tunnel2_ike_versions == toset(["ikev2"])])
    error_message = "IKEv2, routes by BGP"
  }

  # Names of brokers.
  assert {
    condition     = toset([for range in google_compute_router.this.bgp[0].advertised_ip_ranges : range.range]) == toset(["10.40.0.0/20", "10.44.0.0/16", "35.199.192.0/19"])
    error_message = "AWS must learn the way back to the jobs and to Google's DNS, and nothing else"
  }
  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.resolver : rule.from_port == 53 && rule.to_port == 53 && rule.cidr_ipv4 == "35.199.192.0/19"
    ]) && length(aws_vpc_security_group_ingress_rule.resolver) == 2
    error_message = "the resolver answers Google's DNS, over udp and tcp"
  }
  assert {
    condition     = aws_route53_resolver_endpoint.inbound.direction == "INBOUND"
    error_message = "an inbound resolver"
  }
  assert {
    condition = alltrue([
      for zone in google_dns_managed_zone.aws : zone.visibility == "private" && length(zone.forwarding_config[0].target_name_servers) > 0 && alltrue([for server in zone.forwarding_config[0].target_name_servers : server.forwarding_path == "private"])
    ]) && google_dns_managed_zone.aws["brokers"].dns_name == "kafka.eu-west-1.amazonaws.com."
    error_message = "the brokers' domain is forwarded through the VPN"
  }

  # Only the brokers' ports.
  assert {
    condition     = jsonencode(sort([for rule in aws_vpc_security_group_ingress_rule.brokers : "${rule.cidr_ipv4}:${rule.from_port}-${rule.to_port}"])) == jsonencode(["10.40.0.0/20:9096-9096", "10.40.0.0/20:9098-9098", "10.44.0.0/16:9096-9096", "10.44.0.0/16:9098-9098"])
    error_message = "AWS: each range, each port"
  }
  assert {
    condition     = jsonencode(flatten([for allow in google_compute_firewall.brokers.allow : allow.ports])) == jsonencode(["9096", "9098"]) && google_compute_firewall.brokers.destination_ranges == toset(["10.20.0.0/20"])
    error_message = "Google: the same ports, to the brokers' VPC only"
  }
}

run "through_a_transit_gateway" {
  command = plan
  variables {
    transit_gateway_id = "tgw-1"
  }
  assert {
    condition     = length(aws_vpn_gateway.this) == 0 && alltrue([for connection in aws_vpn_connection.google : connection.transit_gateway_id == "tgw-1"])
    error_message = "no gateway of the VPC beside a transit gateway"
  }
}

run "plaintext_all_of_amazon_and_kept_ranges_are_refused" {
  command = plan
  variables {
    ports             = { plain = 9092 }
    forwarded_domains = { all = "amazonaws.com." }
    inside_ranges     = ["169.254.0.0/30", "169.254.10.4/30", "169.254.11.0/30", "169.254.11.4/30"]
  }
  expect_failures = [var.ports, var.forwarded_domains, var.inside_ranges]
}
