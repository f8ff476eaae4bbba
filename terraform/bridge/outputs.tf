output "tunnels" {
  description = "Names of the four tunnels, for gcloud compute vpn-tunnels describe."
  value       = [for tunnel in google_compute_vpn_tunnel.this : tunnel.name]
}

output "resolver_addresses" {
  description = "Addresses that answer for the brokers' names."
  value       = [for address in aws_route53_resolver_endpoint.inbound.ip_address : address.ip]
}

output "google_addresses" {
  description = "Public addresses of the Google gateway."
  value       = data.google_compute_ha_vpn_gateway.this.vpn_interfaces[*].ip_address
}
