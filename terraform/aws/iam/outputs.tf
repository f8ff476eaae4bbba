output "role_arn" {
  description = "For AWS_ROLE_ARN."
  value       = aws_iam_role.job.arn
}

output "google_audience" {
  description = "The audience for which the job asks Google's token."
  value       = var.google_audience
}
