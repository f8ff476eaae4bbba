# The bucket for checkpoints on AWS (jobs on EKS, or the second copy of jobs on Google), and the bucket for its access log.
#
# No rule touches the claim log (<root>/<job>/L<n>/s<m>/log/): a record that disappears could be created again by an owner
# that was asleep, and the job's fence would be gone. Rules name the blobs' folders, and only versions that are already deleted.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  names = { checkpoints = "${var.name}-checkpoints", access-log = "${var.name}-access-log" }
  blobs = merge([
    for job in var.jobs : {
      for lineage in range(var.lineages) : "${job}-L${lineage}" => "${var.checkpoint_root}/${job}/L${lineage}/s0/blobs/"
    }
  ]...)
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: checkpoints"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = var.tags
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-checkpoints"
  target_key_id = aws_kms_key.this.key_id
}

# In a key's policy the resource "*" means this key.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:A key's policy; its resource can only be this key
  #checkov:skip=CKV_AWS_111:A key's policy; its resource can only be this key
  #checkov:skip=CKV_AWS_356:A key's policy; its resource can only be this key
  statement {
    sid = "Administration"
    actions = [
      "kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*", "kms:Disable*",
      "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
    ]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
  # Only through S3, and only for those whose own policy says so.
  statement {
    sid       = "UseThroughS3"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:Nothing reacts to checkpoints; the engine lists what it needs
  #checkov:skip=CKV_AWS_144:A copy by S3 is not in commit order; the engine's mirror is, and this bucket may be that mirror
  #checkov:skip=CKV_AWS_145:The access log's bucket: S3 delivers there with SSE-S3 only; checkpoints are under our key
  #checkov:skip=CKV2_AWS_61:Both have one (below); the scanner does not follow for_each
  #checkov:skip=CKV_AWS_18:The bucket of the access log does not log itself
  for_each = local.names

  bucket        = each.value
  force_destroy = false
  tags          = merge(var.tags, { Name = each.value })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  rule {
    bucket_key_enabled = each.key == "checkpoints"
    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "checkpoints" ? "aws:kms" : "AES256"
      kms_master_key_id = each.key == "checkpoints" ? aws_kms_key.this.arn : null
    }
  }
}

resource "aws_s3_bucket_logging" "checkpoints" {
  bucket        = aws_s3_bucket.this["checkpoints"].id
  target_bucket = aws_s3_bucket.this["access-log"].id
  target_prefix = "checkpoints/"
}

resource "aws_s3_bucket_lifecycle_configuration" "checkpoints" {
  #checkov:skip=CKV_AWS_300:Uploads in parts go to the blobs' folders only, and every rule there ends them; a rule for the whole bucket would name the claim log
  bucket     = aws_s3_bucket.this["checkpoints"].id
  depends_on = [aws_s3_bucket_versioning.this]

  dynamic "rule" {
    for_each = local.blobs
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = rule.value
      }
      noncurrent_version_expiration {
        noncurrent_days = var.deleted_blobs_days
      }
      abort_incomplete_multipart_upload {
        days_after_initiation = 7
      }
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "access_log" {
  bucket     = aws_s3_bucket.this["access-log"].id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "a-year"
    status = "Enabled"
    filter {}
    expiration {
      days = 365
    }
    noncurrent_version_expiration {
      noncurrent_days = 30
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# --- policies ---------------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "checkpoints" {
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this["checkpoints"].arn, "${aws_s3_bucket.this["checkpoints"].arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
  # A job deletes blobs, never their last copies; and nobody but the administrators may write a rule that would.
  statement {
    sid    = "VersionsAndRulesAreForAdministrators"
    effect = "Deny"
    actions = [
      "s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning", "s3:DeleteBucket",
      "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
    ]
    resources = [aws_s3_bucket.this["checkpoints"].arn, "${aws_s3_bucket.this["checkpoints"].arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "ArnNotLike"
      variable = "aws:PrincipalArn"
      values   = var.administrators
    }
  }
}

resource "aws_s3_bucket_policy" "checkpoints" {
  bucket     = aws_s3_bucket.this["checkpoints"].id
  policy     = data.aws_iam_policy_document.checkpoints.json
  depends_on = [aws_s3_bucket_public_access_block.this, aws_s3_bucket_lifecycle_configuration.checkpoints]
}

data "aws_iam_policy_document" "access_log" {
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this["access-log"].arn, "${aws_s3_bucket.this["access-log"].arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
  statement {
    sid       = "Delivery"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["access-log"].arn}/checkpoints/*"]
    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_s3_bucket_policy" "access_log" {
  bucket     = aws_s3_bucket.this["access-log"].id
  policy     = data.aws_iam_policy_document.access_log.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}
