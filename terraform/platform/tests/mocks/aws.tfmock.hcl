# What AWS would answer, for tests of whole environments: only values whose form is checked or that others take apart.
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
mock_resource "aws_msk_cluster" {
  defaults = {
    arn                   = "arn:aws:kafka:eu-west-1:111122223333:cluster/aq/11111111-2222-3333-4444-555555555555-1"
    bootstrap_brokers_tls = "b-1.aq.kafka.eu-west-1.amazonaws.com:9094,b-2.aq.kafka.eu-west-1.amazonaws.com:9094"
  }
}
mock_resource "aws_msk_configuration" {
  defaults = { arn = "arn:aws:kafka:eu-west-1:111122223333:configuration/c/1", latest_revision = 1 }
}
mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s", id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s" }
}
mock_resource "aws_vpn_connection" {
  defaults = { tunnel1_address = "52.0.0.1", tunnel2_address = "52.0.0.2", tunnel1_preshared_key = "one", tunnel2_preshared_key = "two" }
}
