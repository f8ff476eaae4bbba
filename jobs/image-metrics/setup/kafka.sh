#!/usr/bin/env bash
# Topics and rights of jobs/image-metrics, once, by someone who administers the brokers. It takes nothing away; run again it
# changes nothing. Kafka's own tools (kafka-topics.sh, kafka-acls.sh) must be on the path.
#
# Usage: kafka.sh PRINCIPAL --bootstrap-server HOST:PORT [--command-config FILE]
#   PRINCIPAL   whom the brokers see: User:<name> with SCRAM, User:<the certificate's subject> with client certificates
#   the rest    goes to Kafka's tools as it stands; on MSK FILE says sasl.mechanism=AWS_MSK_IAM, with which ACLs are made first
# The names are those of job.sql, from the same variables: KAFKA_TOPIC, KAFKA_GROUP, RESULTS_TOPIC, and pipeline.name as JOB.
# PARTITIONS (4) and REPLICATION (3) are for topics that do not exist yet.
# With IAM instead of ACLs: terraform/aws/iam.
set -euo pipefail

[ "$#" -ge 3 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
principal="$1"
shift
source_topic="${KAFKA_TOPIC:-product-images.processed}"
results_topic="${RESULTS_TOPIC:-results}"
group="${KAFKA_GROUP:-flink-analytics-group}"
job="${JOB:-image-metrics}"
# Both are made of the job's name, the shard and the table.
transactional_id="$job-0-results_topic"
cursor_group="aqueduct.$job.0.results_topic"

topic() {
  kafka-topics.sh "${server[@]}" --create --if-not-exists --topic "$1" --partitions "${PARTITIONS:-4}" --replication-factor "${REPLICATION:-3}"
}

allow() {
  kafka-acls.sh "${server[@]}" --add --allow-principal "$principal" "$@"
}

server=("$@")
topic "$source_topic"
topic "$results_topic"
allow --operation Read --operation Describe --topic "$source_topic"
# Progress is shown in the group; positions are the checkpoints'.
allow --operation Read --operation Describe --group "$group"
# Read: the cursor of the sink is an offset of this topic.
allow --operation Write --operation Read --operation Describe --topic "$results_topic"
allow --operation Write --operation Describe --transactional-id "$transactional_id"
allow --operation Read --operation Describe --group "$cursor_group"
