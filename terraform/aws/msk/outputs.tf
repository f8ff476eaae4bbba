output "cluster_arn" {
  description = "The cluster."
  value       = aws_msk_cluster.this.arn
}

output "cluster_name" {
  description = "Its name."
  value       = aws_msk_cluster.this.cluster_name
}

output "cluster_uuid" {
  description = "Last part of its ARN, which topics' and groups' ARNs repeat."
  value       = aws_msk_cluster.this.cluster_uuid
}

output "security_group_id" {
  description = "The brokers' security group, to which ranges are added."
  value       = aws_security_group.brokers.id
}

output "ports" {
  description = "Open ports by way of authentication: tls, scram, iam."
  value       = local.ports
}

output "bootstrap" {
  description = "Addresses for KAFKA_BROKERS by way of authentication. All are private names."
  value = {
    tls   = aws_msk_cluster.this.bootstrap_brokers_tls
    scram = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
    iam   = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
  }
}

output "scram_secret_name" {
  description = "Where the SCRAM user's password belongs; null without SCRAM."
  value       = one(aws_secretsmanager_secret.scram[*].name)
}
