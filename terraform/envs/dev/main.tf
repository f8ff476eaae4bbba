# Small and cheap: one standby less, two zones, small brokers. The same modules, ports, keys and rights as prod.

module "platform" {
  source = "../../platform"

  name           = "aq-dev"
  project        = var.project
  project_number = var.project_number
  google_region  = var.google_region
  aws_region     = var.aws_region
  bucket_prefix  = "${var.organisation}-aqueduct-dev"
  artifact       = var.artifact
  labels         = { environment = "dev", component = "aqueduct" }

  ranges = {
    nodes         = "10.40.0.0/20"
    pods          = "10.44.0.0/16"
    services      = "10.45.0.0/20"
    managed       = "10.46.0.0/20"
    control_plane = "10.47.0.0/28"
  }
  aws_network = {
    cidr               = "10.20.0.0/20"
    availability_zones = ["${var.aws_region}a", "${var.aws_region}b", "${var.aws_region}c"]
  }

  brokers  = { type = "kafka.t3.small", volume_gib = 20, tls_client_authorities = var.tls_client_authorities }
  sql      = { tier = "db-custom-1-3840", high_availability = false, disk_gib = 20 }
  machines = { master_type = "n2-standard-2", worker_type = "n2-standard-2", workers = 2, disk_gib = 50 }

  firestore_location = var.google_region

  jobs = {
    image-metrics = { folder = "${path.module}/../../../jobs/image-metrics", arguments = ["-p", "1"], memory_mib = 2048, cores = 1 }
    payments      = { folder = "${path.module}/../../../jobs/payments", arguments = ["-p", "1"], memory_mib = 2048, cores = 1 }
  }
}
