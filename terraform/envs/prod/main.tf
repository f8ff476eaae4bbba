# Three zones, standbys, three masters. Sizes are a beginning: measure, then change them here.

module "platform" {
  source = "../../platform"

  name           = "aq-prod"
  project        = var.project
  project_number = var.project_number
  google_region  = var.google_region
  aws_region     = var.aws_region
  bucket_prefix  = "${var.organisation}-aqueduct-prod"
  artifact       = var.artifact
  labels         = { environment = "prod", component = "aqueduct" }

  ranges = {
    nodes         = "10.60.0.0/20"
    pods          = "10.64.0.0/16"
    services      = "10.65.0.0/20"
    managed       = "10.66.0.0/20"
    control_plane = "10.67.0.0/28"
  }
  aws_network = {
    cidr               = "10.24.0.0/20"
    availability_zones = ["${var.aws_region}a", "${var.aws_region}b", "${var.aws_region}c"]
  }

  brokers  = { type = "kafka.m7g.large", volume_gib = 250, tls_client_authorities = var.tls_client_authorities }
  sql      = { tier = "db-custom-4-15360", high_availability = true, disk_gib = 100 }
  machines = { masters = 3, master_type = "n2-standard-2", worker_type = "n2-standard-8", workers = 3, disk_gib = 200 }

  firestore_location = var.google_region

  jobs = {
    image-metrics = { folder = "${path.module}/../../../jobs/image-metrics", arguments = ["-p", "4"], memory_mib = 8192, cores = 4 }
    payments      = { folder = "${path.module}/../../../jobs/payments", arguments = ["-p", "2"], memory_mib = 4096, cores = 2 }
  }
}
