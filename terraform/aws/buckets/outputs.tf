output "checkpoints_bucket" {
  description = "Name of the bucket for checkpoints."
  value       = aws_s3_bucket.this["checkpoints"].bucket
}

output "checkpoints_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this["checkpoints"].arn
}

output "checkpoint_dir" {
  description = "For --checkpoint-dir."
  value       = "s3://${aws_s3_bucket.this["checkpoints"].bucket}/${var.checkpoint_root}"
}

output "key_arn" {
  description = "The key of the checkpoints."
  value       = aws_kms_key.this.arn
}
