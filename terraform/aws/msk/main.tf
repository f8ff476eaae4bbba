# The brokers: KRaft, three ways in (certificates 9094, SCRAM 9096, IAM 9098), none without authentication, none in plaintext,
# no public address. The security group opens nothing by itself: `bridge` and the caller add the ranges that may connect.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  tags  = merge(var.tags, { Name = var.name })
  zones = length(var.subnet_ids)
  ports = merge(
    length(var.tls_client_authorities) > 0 ? { tls = 9094 } : {},
    var.scram ? { scram = 9096 } : {},
    # IAM stays on: it is how the first ACLs are made.
    { iam = 9098 },
  )

  server_properties = merge({
    "auto.create.topics.enable"      = "false"
    "default.replication.factor"     = tostring(local.zones)
    "min.insync.replicas"            = "2"
    "unclean.leader.election.enable" = "false"
    # The sinks' cursors are offsets of groups that may be silent while a job is stopped: 30 days, not 7.
    "offsets.retention.minutes"        = "43200"
    "transactional.id.expiration.ms"   = "2592000000"
    "transaction.max.timeout.ms"       = "900000"
    "log.retention.hours"              = "168"
    "allow.everyone.if.no.acl.found"   = "false"
    "group.initial.rebalance.delay.ms" = "3000"
  }, var.server_properties)
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: brokers' volumes and SCRAM secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = local.tags
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
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
  # Whoever in this account may use Kafka's volumes or the secret may use the key through that service only.
  statement {
    sid       = "UseThroughServices"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values = [
        "kafka.${data.aws_region.current.name}.amazonaws.com",
        "secretsmanager.${data.aws_region.current.name}.amazonaws.com",
      ]
    }
  }
}

resource "aws_security_group" "brokers" {
  name_prefix = "${var.name}-brokers-"
  description = "Brokers of ${var.name}; rules are added beside it"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "brokers" {
  name              = "/aqueduct/${var.name}/brokers"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
  tags              = local.tags
}

resource "aws_msk_configuration" "this" {
  name              = var.name
  kafka_versions    = [var.kafka_version]
  server_properties = join("", [for key, value in local.server_properties : "${key}=${value}\n"])

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = local.zones * var.brokers_per_zone
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"
  tags                   = local.tags

  broker_node_group_info {
    instance_type   = var.broker_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.brokers.id]

    connectivity_info {
      public_access {
        type = "DISABLED"
      }
    }
    storage_info {
      ebs_storage_info {
        volume_size = var.volume_gib
      }
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.this.arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  client_authentication {
    unauthenticated = false
    sasl {
      iam   = true
      scram = var.scram
    }
    dynamic "tls" {
      for_each = length(var.tls_client_authorities) > 0 ? [1] : []
      content {
        certificate_authority_arns = var.tls_client_authorities
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }
      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.brokers.name
      }
    }
  }

  lifecycle {
    # The volumes grow by themselves.
    ignore_changes  = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
    prevent_destroy = true
  }
}

resource "aws_appautoscaling_target" "volume" {
  max_capacity       = var.volume_max_gib
  min_capacity       = 1
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  service_namespace  = "kafka"
}

resource "aws_appautoscaling_policy" "volume" {
  name               = "${var.name}-volume"
  policy_type        = "TargetTrackingScaling"
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = aws_appautoscaling_target.volume.scalable_dimension
  service_namespace  = aws_appautoscaling_target.volume.service_namespace

  target_tracking_scaling_policy_configuration {
    target_value = 60
    # MSK cannot make a volume smaller.
    disable_scale_in = true
    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

# --- SCRAM ------------------------------------------------------------------------------------------------------------

# MSK takes only secrets whose name begins with AmazonMSK_ and whose key is not the account's default one.
resource "aws_secretsmanager_secret" "scram" {
  #checkov:skip=CKV2_AWS_57:Rotation has two halves (the secret here, its copy on the Google side): the runbook does both, a function could do one only
  count = var.scram ? 1 : 0

  name                    = "AmazonMSK_${var.name}_${var.scram_user}"
  description             = "SCRAM user ${var.scram_user} of ${var.name}: {\"username\", \"password\"}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
  tags                    = local.tags
}

resource "aws_secretsmanager_secret_version" "scram" {
  count = var.scram && var.scram_password_version > 0 ? 1 : 0

  secret_id                = aws_secretsmanager_secret.scram[0].id
  secret_string_wo         = jsonencode({ username = var.scram_user, password = var.scram_password })
  secret_string_wo_version = var.scram_password_version
}

# Only a secret that has a value can be attached.
resource "aws_msk_scram_secret_association" "this" {
  count = var.scram && var.scram_password_version > 0 ? 1 : 0

  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [aws_secretsmanager_secret.scram[0].arn]
  depends_on      = [aws_secretsmanager_secret_version.scram]
}

data "aws_iam_policy_document" "scram" {
  count = var.scram ? 1 : 0

  statement {
    sid       = "KafkaReads"
    actions   = ["secretsmanager:getSecretValue"]
    resources = [aws_secretsmanager_secret.scram[0].arn]
    principals {
      type        = "Service"
      identifiers = ["kafka.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_secretsmanager_secret_policy" "scram" {
  count = var.scram ? 1 : 0

  secret_arn = aws_secretsmanager_secret.scram[0].arn
  policy     = data.aws_iam_policy_document.scram[0].json
}
