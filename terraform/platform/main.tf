# Both clouds and the way between them, for one environment. envs/ gives it sizes. What a job is called, reads and writes comes
# from its own files (the module `job`).

locals {
  root      = "aqueduct"
  buckets   = { checkpoints = "${var.bucket_prefix}-checkpoints", results = "${var.bucket_prefix}-results" }
  agents    = "service-${var.project_number}"
  members   = { for agent in ["compute-system", "dataproc-accounts", "gs-project-accounts", "container-engine-robot"] : agent => "serviceAccount:${local.agents}@${agent}.iam.gserviceaccount.com" }
  gcp_sa    = { for agent in ["cloud-sql", "secretmanager", "firestore"] : agent => "serviceAccount:${local.agents}@gcp-sa-${agent}.iam.gserviceaccount.com" }
  job_names = toset([for job in module.job_names : job.name])
  msk       = var.existing_msk != null ? var.existing_msk : local.made_msk
  made_msk = var.existing_msk != null ? null : {
    cluster_arn       = module.msk[0].cluster_arn
    vpc_id            = module.aws_network[0].vpc_id
    cidr              = module.aws_network[0].cidr
    subnet_ids        = module.aws_network[0].subnet_ids
    route_table_ids   = module.aws_network[0].route_table_ids
    security_group_id = module.msk[0].security_group_id
    logs_key_arn      = module.aws_network[0].logs_key_arn
    ports             = module.msk[0].ports
    bootstrap         = module.msk[0].bootstrap
  }

  # Every secret that the chosen way of authentication needs; values are put in by hand.
  secrets = merge(
    { postgres-password = { name = "POSTGRES_PASSWORD", kind = "value" } },
    var.authentication == "tls" ? { kafka-cert = { name = "KAFKA_CERT", kind = "path" }, kafka-key = { name = "KAFKA_KEY", kind = "path" } } : {},
    var.authentication == "scram" ? { kafka-password = { name = "KAFKA_PASSWORD", kind = "value" } } : {},
  )
  authentication = {
    tls   = { KAFKA_SECURITY_PROTOCOL = "SSL" }
    scram = { KAFKA_SECURITY_PROTOCOL = "SASL_SSL", KAFKA_SASL_MECHANISM = "SCRAM-SHA-512", KAFKA_USER = "aqueduct" }
    iam   = { KAFKA_SECURITY_PROTOCOL = "SASL_SSL", KAFKA_SASL_MECHANISM = "AWS_MSK_IAM" }
  }
}

module "job" {
  source   = "../job"
  for_each = var.jobs

  folder         = each.value.folder
  checkpoint_dir = "gs://${local.buckets.checkpoints}/${local.root}"
  arguments      = each.value.arguments
  variables      = each.value.variables
  needed         = var.authentication == "tls" ? ["KAFKA_CERT", "KAFKA_KEY"] : ["KAFKA_SASL_MECHANISM"]
  # The machine's Google identity takes the role: no keys.
  environment = var.authentication != "iam" ? {} : {
    AWS_REGION                = var.aws_region
    AWS_ROLE_ARN              = module.aws_iam.role_arn
    AQUEDUCT_AWS_WEB_IDENTITY = "google"
    AQUEDUCT_AWS_AUDIENCE     = module.aws_iam.google_audience
  }
  addresses = merge(local.authentication[var.authentication], {
    KAFKA_BROKERS     = local.msk.bootstrap[var.authentication]
    POSTGRES_URL      = module.cloudsql.url
    POSTGRES_USER     = module.cloudsql.user
    POSTGRES_SSLMODE  = "verify-ca"
    POSTGRES_CA       = "server-ca.pem"
    FIRESTORE_PROJECT = var.project
    RESULTS_BUCKET    = "gs://${local.buckets.results}/analytics"
    RESULTS_DIR       = "gs://${local.buckets.results}/files/${each.key}"
  })
}

# --- Google -----------------------------------------------------------------------------------------------------------

module "kms" {
  source = "../gcp/kms"

  project = var.project
  region  = var.google_region
  name    = var.name
  labels  = var.labels
  keys = {
    buckets     = [local.members["gs-project-accounts"]]
    sql         = [local.gcp_sa["cloud-sql"]]
    secrets     = [local.gcp_sa["secretmanager"]]
    machines    = [local.members["compute-system"], local.members["dataproc-accounts"]]
    gke-secrets = [local.members["container-engine-robot"]]
  }
}

module "gcp_network" {
  source = "../gcp/network"

  project = var.project
  region  = var.google_region
  name    = var.name
  labels  = var.labels
  ranges  = var.ranges
}

module "gcp_buckets" {
  source = "../gcp/buckets"

  project         = var.project
  region          = var.google_region
  name            = var.name
  labels          = var.labels
  bucket_prefix   = var.bucket_prefix
  location        = var.google_region
  key             = module.kms.keys["buckets"]
  checkpoint_root = local.root
  jobs            = local.job_names
}

module "gcp_iam" {
  source = "../gcp/iam"

  project            = var.project
  region             = var.google_region
  name               = var.name
  buckets            = module.gcp_buckets.names
  firestore_database = "(default)"
  dataproc           = var.machines != null
  gke                = var.gke != null
  pods               = var.gke == null ? [] : var.gke.pods
}

module "secrets" {
  source = "../gcp/secrets"

  project = var.project
  region  = var.google_region
  name    = var.name
  labels  = var.labels
  key     = module.kms.keys["secrets"]
  secrets = { for secret in keys(local.secrets) : secret => toset(module.gcp_iam.job_members) }
}

module "cloudsql" {
  source = "../gcp/cloudsql"

  project            = var.project
  region             = var.google_region
  name               = var.name
  labels             = var.labels
  network_id         = module.gcp_network.network_id
  managed_connection = module.gcp_network.managed_connection
  key                = module.kms.keys["sql"]
  tier               = var.sql.tier
  high_availability  = var.sql.high_availability
  disk_gib           = var.sql.disk_gib
}

module "firestore" {
  source = "../gcp/firestore"
  count  = var.firestore_location == null ? 0 : 1

  project  = var.project
  region   = var.google_region
  name     = var.name
  location = var.firestore_location
  collections = {
    for collection in distinct(compact([for job in module.job_names : lookup(job.values, "FIRESTORE_COLLECTION", "")])) : collection => {
      exempt  = ["window_start", "latest_event", "processed_at"]
      indexes = { by_label = [{ field = "size_label", order = "ASCENDING" }, { field = "window_start", order = "DESCENDING" }] }
    }
  }
}

module "dataproc" {
  source = "../gcp/dataproc"
  count  = var.machines == null ? 0 : 1

  project         = var.project
  region          = var.google_region
  name            = var.name
  labels          = var.labels
  subnet_id       = module.gcp_network.subnet_id
  service_account = module.gcp_iam.dataproc_email
  key             = module.kms.keys["machines"]
  buckets         = { artifacts = module.gcp_buckets.names.artifacts, staging = module.gcp_buckets.names.staging }
  artifact        = { uri = var.artifact.uri, sha256 = var.artifact.sha256 }
  program_uri     = var.artifact.program_uri
  machines        = var.machines
  jobs = {
    for key, job in var.jobs : module.job[key].name => {
      files       = module.job[key].files
      environment = module.job[key].environment
      arguments   = module.job[key].arguments
      # Only the secrets whose variables the job reads.
      secrets = join("", [
        for secret, of in local.secrets : "${of.name} ${of.kind} projects/${var.project}/secrets/${module.secrets.ids[secret]}\n"
        if contains(module.job[key].variables_known, of.name)
      ])
      texts      = { "server-ca.pem" = module.cloudsql.server_ca }
      run_as     = job.run_as
      memory_mib = job.memory_mib
      cores      = job.cores
    }
  }
}

module "gke" {
  source = "../gcp/gke"
  count  = var.gke == null ? 0 : 1

  project               = var.project
  region                = var.google_region
  name                  = var.name
  labels                = var.labels
  network_id            = module.gcp_network.network_id
  subnet_id             = module.gcp_network.subnet_id
  control_plane_range   = var.ranges.control_plane
  control_plane_clients = var.gke.control_plane_clients
  service_account       = module.gcp_iam.nodes_email
  keys                  = { machines = module.kms.keys["machines"], secrets = module.kms.keys["gke-secrets"] }
}

# --- AWS --------------------------------------------------------------------------------------------------------------

module "aws_network" {
  source = "../aws/network"
  count  = var.existing_msk == null ? 1 : 0

  name                  = var.name
  cidr                  = var.aws_network.cidr
  availability_zones    = var.aws_network.availability_zones
  endpoint_client_cidrs = [var.ranges.nodes, var.ranges.pods]
  tags                  = var.labels
}

module "msk" {
  source = "../aws/msk"
  count  = var.existing_msk == null ? 1 : 0

  name                   = var.name
  vpc_id                 = module.aws_network[0].vpc_id
  subnet_ids             = module.aws_network[0].subnet_ids
  logs_key_arn           = module.aws_network[0].logs_key_arn
  kafka_version          = var.brokers.kafka_version
  broker_type            = var.brokers.type
  brokers_per_zone       = var.brokers.per_zone
  volume_gib             = var.brokers.volume_gib
  tls_client_authorities = var.brokers.tls_client_authorities
  tags                   = var.labels
}

# What the jobs read and write, from their files alone: no address is needed for it.
module "job_names" {
  source   = "../job"
  for_each = var.jobs

  folder         = each.value.folder
  variables      = each.value.variables
  checkpoint_dir = "gs://${local.buckets.checkpoints}/${local.root}"
}

module "aws_iam" {
  source = "../aws/iam"

  name              = var.name
  google_identities = module.gcp_iam.job_unique_ids
  cluster_arn       = local.msk.cluster_arn
  read_topics       = toset(flatten([for job in module.job_names : job.source_topics]))
  write_topics      = toset(flatten([for job in module.job_names : job.sink_topics]))
  groups            = toset(flatten([for job in module.job_names : job.kafka_groups]))
  transactional_ids = toset(flatten([for job in module.job_names : job.transactional_ids]))
  tags              = var.labels
}

# --- the way between --------------------------------------------------------------------------------------------------

module "bridge" {
  source = "../bridge"

  name = var.name
  google = {
    project       = var.project
    region        = var.google_region
    network_id    = module.gcp_network.network_id
    client_ranges = [var.ranges.nodes, var.ranges.pods]
  }
  aws = {
    vpc_id                   = local.msk.vpc_id
    cidr                     = local.msk.cidr
    subnet_ids               = local.msk.subnet_ids
    route_table_ids          = local.msk.route_table_ids
    broker_security_group_id = local.msk.security_group_id
    logs_key_arn             = local.msk.logs_key_arn
  }
  ports             = local.msk.ports
  forwarded_domains = { brokers = "kafka.${var.aws_region}.amazonaws.com.", sts = "sts.${var.aws_region}.amazonaws.com." }
  tags              = var.labels
}
