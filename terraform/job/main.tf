# Reads a job's own files, so that the deployment takes names and defaults from there and never repeats them.
# It has no provider and makes nothing.

locals {
  sql = file("${var.folder}/job.sql")

  # SET 'pipeline.name' = '...': the name under which the job keeps checkpoints, fences and cursors.
  name = regex("(?m)^SET 'pipeline\\.name' = '([a-z0-9-]+)'", local.sql)[0]

  # ${NAME} and ${NAME:-default}, outside comments.
  statements = join("\n", [for line in split("\n", local.sql) : line if !startswith(trimspace(line), "--")])
  uses       = regexall("\\$\\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\\}", local.statements)
  known      = distinct([for use in local.uses : use[0]])
  defaults   = { for use in local.uses : use[0] => use[1] == null ? "" : use[1]... }
  values     = merge({ for name, of in local.defaults : name => of[0] }, local.given)
  given      = merge({ for name, value in var.addresses : name => value if contains(local.known, name) }, var.variables)
  missing    = sort(tolist(setsubtract(var.needed, local.known)))
  unknown    = sort(tolist(setsubtract(keys(var.variables), local.known)))

  # Tables that write to Kafka: each has a private group and a transactional id of its own.
  options       = { for table in regexall("(?s)CREATE TABLE (\\w+) \\(.*?\\n\\) WITH \\((.*?)\\n\\);", local.statements) : table[0] => table[1] }
  kafka         = { for table, options in local.options : table => options if strcontains(options, "'connector' = 'kafka'") }
  written       = regexall("INSERT INTO (\\w+)", local.statements)[*][0]
  kafka_sinks   = [for table in keys(local.kafka) : table if contains(local.written, table)]
  kafka_sources = [for table in keys(local.kafka) : table if !contains(local.written, table)]
  topics = {
    for table, options in local.kafka : table => [
      for topic in regexall("'topic' = '(?:\\$\\{([A-Z_]+)(?::-[^}]*)?\\}|([^']+))'", options) :
      topic[0] != null && topic[0] != "" ? local.values[topic[0]] : topic[1]
    ][0]
  }
  groups = distinct([
    for table in local.kafka_sources : [
      for group in regexall("'properties\\.group\\.id' = '(?:\\$\\{([A-Z_]+)(?::-[^}]*)?\\}|([^']+))'", local.kafka[table]) :
      group[0] != null && group[0] != "" ? local.values[group[0]] : group[1]
    ][0]
  ])
}

# A name that the job does not read would be lost in silence.
resource "terraform_data" "names" {
  lifecycle {
    precondition {
      condition     = length(local.missing) == 0
      error_message = "job '${local.name}' reads no variable ${join(", ", local.missing)}, which this way of authentication needs: give its Kafka tables options such as 'properties.sasl.mechanism' = '$${KAFKA_SASL_MECHANISM:-}', or choose certificates (tls)."
    }
    precondition {
      condition     = length(local.unknown) == 0
      error_message = "job '${local.name}' reads no variable ${join(", ", local.unknown)}; it reads ${join(", ", sort(local.known))}."
    }
  }
}
