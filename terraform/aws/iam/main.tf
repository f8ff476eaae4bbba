# One role for the jobs: who may take it (Google service accounts and Kubernetes service accounts, without any key), and what
# it may do (the named topics, groups and transactional ids; the checkpoints' folder). Nothing is granted on "*".

locals {
  # arn:aws:kafka:region:account:cluster/name/uuid -> .../topic/name/uuid/<topic>
  topic_prefix         = replace(var.cluster_arn, ":cluster/", ":topic/")
  group_prefix         = replace(var.cluster_arn, ":cluster/", ":group/")
  transactional_prefix = replace(var.cluster_arn, ":cluster/", ":transactional-id/")

  names = concat(tolist(var.read_topics), tolist(var.write_topics), tolist(var.groups), tolist(var.transactional_ids))
}

# --- who --------------------------------------------------------------------------------------------------------------

# Google's tokens: `aud` is the token's authorised party (the service account's id), `oaud` the audience that was asked for,
# `sub` the service account's id again. All three are compared: the audience alone could be asked for by anyone at Google.
data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = var.google_identities
    content {
      sid     = "Google${replace(title(replace(statement.key, "-", " ")), " ", "")}"
      actions = ["sts:AssumeRoleWithWebIdentity"]
      principals {
        type        = "Federated"
        identifiers = ["accounts.google.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "accounts.google.com:aud"
        values   = [statement.value]
      }
      condition {
        test     = "StringEquals"
        variable = "accounts.google.com:oaud"
        values   = [var.google_audience]
      }
      condition {
        test     = "StringEquals"
        variable = "accounts.google.com:sub"
        values   = [statement.value]
      }
    }
  }

  dynamic "statement" {
    for_each = var.kubernetes_identities
    content {
      sid     = "Kubernetes${replace(title(replace(statement.key, "-", " ")), " ", "")}"
      actions = ["sts:AssumeRoleWithWebIdentity"]
      principals {
        type        = "Federated"
        identifiers = [statement.value.provider_arn]
      }
      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:sub"
        values   = ["system:serviceaccount:${statement.value.namespace}:${statement.value.service_account}"]
      }
    }
  }
}

resource "aws_iam_role" "job" {
  name                 = "${var.name}-job"
  description          = "Aqueduct jobs: MSK by IAM, checkpoints in S3"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 3600
  tags                 = var.tags

  lifecycle {
    precondition {
      condition     = length(var.google_identities) + length(var.kubernetes_identities) > 0
      error_message = "A role that nobody may take: name a Google or a Kubernetes identity."
    }
    precondition {
      condition     = alltrue([for name in local.names : can(regex("^[A-Za-z0-9._-]+$", name))])
      error_message = "Topics, groups and transactional ids are whole names, without wildcards."
    }
  }
}

# --- what -------------------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "kafka" {
  statement {
    sid       = "Connect"
    actions   = concat(["kafka-cluster:Connect", "kafka-cluster:DescribeCluster"], length(var.write_topics) > 0 ? ["kafka-cluster:WriteDataIdempotently"] : [])
    resources = [var.cluster_arn]
  }
  statement {
    sid       = "Read"
    actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
    resources = [for topic in setunion(var.read_topics, var.write_topics) : "${local.topic_prefix}/${topic}"]
  }
  statement {
    sid       = "Groups"
    actions   = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
    resources = [for group in var.groups : "${local.group_prefix}/${group}"]
  }
  dynamic "statement" {
    for_each = length(var.write_topics) > 0 ? [1] : []
    content {
      sid       = "Write"
      actions   = ["kafka-cluster:WriteData"]
      resources = [for topic in var.write_topics : "${local.topic_prefix}/${topic}"]
    }
  }
  dynamic "statement" {
    for_each = length(var.transactional_ids) > 0 ? [1] : []
    content {
      sid       = "Transactions"
      actions   = ["kafka-cluster:DescribeTransactionalId", "kafka-cluster:AlterTransactionalId"]
      resources = [for id in var.transactional_ids : "${local.transactional_prefix}/${id}"]
    }
  }
}

resource "aws_iam_role_policy" "kafka" {
  name   = "kafka"
  role   = aws_iam_role.job.id
  policy = data.aws_iam_policy_document.kafka.json
}

data "aws_iam_policy_document" "checkpoints" {
  count = var.checkpoints == null ? 0 : 1

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.checkpoints.bucket_arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [var.checkpoints.root, "${var.checkpoints.root}/*"]
    }
  }
  # Deleting makes a version old; its last copy is for administrators (the bucket's policy).
  statement {
    sid       = "Checkpoints"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${var.checkpoints.bucket_arn}/${var.checkpoints.root}/*"]
  }
  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.checkpoints.key_arn]
  }
}

resource "aws_iam_role_policy" "checkpoints" {
  count = var.checkpoints == null ? 0 : 1

  name   = "checkpoints"
  role   = aws_iam_role.job.id
  policy = data.aws_iam_policy_document.checkpoints[0].json
}
