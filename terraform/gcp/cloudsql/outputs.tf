output "instance" {
  description = "Name of the instance."
  value       = google_sql_database_instance.this.name
}

output "url" {
  description = "For POSTGRES_URL: the private address."
  value       = "postgres://${google_sql_database_instance.this.private_ip_address}:5432/${google_sql_database.results.name}"
}

output "user" {
  description = "For POSTGRES_USER."
  value       = var.user
}

output "server_ca" {
  description = "The instance's authority (public), for POSTGRES_CA with POSTGRES_SSLMODE=verify-ca: the certificate names the instance, not the address."
  value       = google_sql_database_instance.this.server_ca_cert[0].cert
}
