# The doors on both sides: the brokers' ports and HTTPS to the AWS endpoints (credentials), from the jobs' ranges, nothing else.

locals {
  doors = merge([
    for range in var.google.client_ranges : { for name, port in var.ports : "${name} ${range}" => { range = range, port = port, name = name } }
  ]...)
}

resource "aws_vpc_security_group_ingress_rule" "brokers" {
  for_each = local.doors

  security_group_id = var.aws.broker_security_group_id
  description       = "Kafka (${each.value.name}) from Google"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.range
}

# The jobs' network closes everything that is not named (gcp/network).
resource "google_compute_firewall" "brokers" {
  project            = var.google.project
  name               = "${var.name}-to-brokers"
  network            = var.google.network_id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [var.aws.cidr]

  allow {
    protocol = "tcp"
    ports    = [for port in sort([for port in values(var.ports) : tostring(port)]) : port]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "endpoints" {
  project            = var.google.project
  name               = "${var.name}-to-aws-endpoints"
  network            = var.google.network_id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [var.aws.cidr]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}
