output "network_id" {
  description = "The VPC."
  value       = google_compute_network.this.id
}

output "network_name" {
  description = "Its name."
  value       = google_compute_network.this.name
}

output "subnet_id" {
  description = "The subnet of machines, with the secondary ranges pods and services."
  value       = google_compute_subnetwork.nodes.id
}

output "client_ranges" {
  description = "Where connections to the brokers come from."
  value       = local.inside
}

output "ranges" {
  description = "Handed through."
  value       = var.ranges
}

output "managed_connection" {
  description = "Cloud SQL waits for it."
  value       = google_service_networking_connection.managed.id
}
