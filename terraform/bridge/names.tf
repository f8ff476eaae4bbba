# Brokers are known by name only: the bootstrap answers with one name per broker, and each must resolve and be reached from the
# Google side. Cloud DNS hands these domains to a Route 53 inbound resolver in the brokers' VPC.

resource "aws_security_group" "resolver" {
  name_prefix = "${var.name}-resolver-"
  description = "DNS from Google"
  vpc_id      = var.aws.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-resolver" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "resolver" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.resolver.id
  description       = "DNS (${each.value}) from Cloud DNS"
  ip_protocol       = each.value
  from_port         = 53
  to_port           = 53
  cidr_ipv4         = local.google_dns_range
}

resource "aws_route53_resolver_endpoint" "inbound" {
  name               = var.name
  direction          = "INBOUND"
  security_group_ids = [aws_security_group.resolver.id]
  protocols          = ["Do53"]
  tags               = var.tags

  dynamic "ip_address" {
    for_each = toset(var.aws.subnet_ids)
    content {
      subnet_id = ip_address.value
    }
  }
}

resource "google_dns_managed_zone" "aws" {
  for_each = var.forwarded_domains

  project     = var.google.project
  name        = "${var.name}-${each.key}"
  dns_name    = each.value
  description = "Asked from the resolver in the brokers' VPC"
  visibility  = "private"
  labels      = var.tags

  private_visibility_config {
    networks {
      network_url = var.google.network_id
    }
  }

  forwarding_config {
    dynamic "target_name_servers" {
      for_each = aws_route53_resolver_endpoint.inbound.ip_address
      content {
        ipv4_address = target_name_servers.value.ip
        # Through the VPN, also where the address would be public.
        forwarding_path = "private"
      }
    }
  }
}
