mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/k" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:g" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/r" }
  }
}

variables {
  name                  = "aq-test"
  cidr                  = "10.20.0.0/20"
  availability_zones    = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
  endpoint_client_cidrs = ["10.40.0.0/20"]
}

run "private_only" {
  assert {
    condition     = length(aws_subnet.private) == 3 && alltrue([for subnet in aws_subnet.private : !subnet.map_public_ip_on_launch])
    error_message = "every broker subnet must be private"
  }
  assert {
    condition     = length(distinct([for subnet in aws_subnet.private : subnet.cidr_block])) == 3 && aws_subnet.private["eu-west-1b"].cidr_block == "10.20.2.0/23"
    error_message = "subnets must not overlap: ${jsonencode([for subnet in aws_subnet.private : subnet.cidr_block])}"
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "the default security group must have no rules"
  }
  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "brokers are found by name: DNS must be on"
  }
}

run "endpoints_answer_only_named_ranges" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.cidr_ipv4]) == toset(["10.20.0.0/20", "10.40.0.0/20"])
    error_message = "only the VPC and the named clients"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.from_port == 443 && rule.to_port == 443])
    error_message = "only HTTPS"
  }
  assert {
    condition     = keys(aws_vpc_endpoint.interface)[0] == "sts" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "sts and s3 are needed without internet"
  }
}

run "logs_are_kept_and_encrypted" {
  assert {
    condition     = aws_cloudwatch_log_group.flow.retention_in_days == 365 && aws_cloudwatch_log_group.flow.kms_key_id == aws_kms_key.logs.arn
    error_message = "flow logs: a year, encrypted with our key"
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_kms_key.logs.enable_key_rotation
    error_message = "all traffic is logged; keys rotate"
  }
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.flow.statement : !contains(statement.resources, "*")])
    error_message = "the flow log role may write to its own group only"
  }
}

run "a_public_range_is_refused" {
  command = plan
  variables {
    cidr = "8.8.0.0/16"
  }
  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    availability_zones = ["eu-west-1a"]
  }
  expect_failures = [var.availability_zones]
}
