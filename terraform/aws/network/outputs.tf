output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its address range."
  value       = aws_vpc.this.cidr_block
}

output "subnet_ids" {
  description = "Private subnets, one per zone, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "route_table_ids" {
  description = "Route tables to which the VPN adds its routes."
  value       = [aws_route_table.private.id]
}

output "logs_key_arn" {
  description = "Key for log groups under /aqueduct/<name>/."
  value       = aws_kms_key.logs.arn
}
