# Identities without keys, and what each may do. A right is given on a bucket, a secret (gcp/secrets) or a database, not on the
# project, wherever Google offers it. Nothing here may change a bucket's rules.

locals {
  # What runs jobs: Dataproc's machines (YARN's containers have their identity), and pods.
  jobs = merge(
    var.dataproc ? { dataproc = google_service_account.dataproc[0] } : {},
    var.gke || length(var.foreign_clusters) > 0 ? { pods = google_service_account.pods[0] } : {},
  )
}

resource "google_service_account" "dataproc" {
  count = var.dataproc ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-dataproc"
  display_name = "Aqueduct: Dataproc's machines and the jobs on them"
}

resource "google_service_account" "nodes" {
  count = var.gke ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-gke"
  display_name = "Aqueduct: GKE's machines"
}

resource "google_service_account" "pods" {
  count = var.gke || length(var.foreign_clusters) > 0 ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-pods"
  display_name = "Aqueduct: the jobs' pods"
}

# --- buckets ----------------------------------------------------------------------------------------------------------

resource "google_project_iam_custom_role" "objects" {
  project     = var.project
  role_id     = replace("${var.name}_objects", "-", "_")
  title       = "Aqueduct: objects"
  description = "Create, read, list and delete objects; nothing about buckets"
  permissions = [
    "storage.objects.create", "storage.objects.get", "storage.objects.list", "storage.objects.delete",
    "storage.multipartUploads.create", "storage.multipartUploads.abort", "storage.multipartUploads.listParts",
  ]
}

# The results' sink creates and looks; what it cannot remove is harmless.
resource "google_project_iam_custom_role" "append" {
  project     = var.project
  role_id     = replace("${var.name}_append", "-", "_")
  title       = "Aqueduct: append objects"
  description = "Create, read and list objects; never replace or delete"
  permissions = [
    "storage.objects.create", "storage.objects.get", "storage.objects.list",
    "storage.multipartUploads.create", "storage.multipartUploads.abort", "storage.multipartUploads.listParts",
  ]
}

locals {
  bucket_grants = merge(
    { for job in keys(local.jobs) : "${job} checkpoints" => { account = job, bucket = var.buckets.checkpoints, role = google_project_iam_custom_role.objects.id } },
    { for job in keys(local.jobs) : "${job} results" => { account = job, bucket = var.buckets.results, role = var.results_replaceable ? google_project_iam_custom_role.objects.id : google_project_iam_custom_role.append.id } },
    var.dataproc ? {
      "dataproc artifacts" = { account = "dataproc", bucket = var.buckets.artifacts, role = "roles/storage.objectViewer" }
      "dataproc staging"   = { account = "dataproc", bucket = var.buckets.staging, role = google_project_iam_custom_role.objects.id }
    } : {},
  )
}

resource "google_storage_bucket_iam_member" "job" {
  for_each = local.bucket_grants

  bucket = each.value.bucket
  role   = each.value.role
  member = "serviceAccount:${local.jobs[each.value.account].email}"
}

# --- Firestore --------------------------------------------------------------------------------------------------------

# Firestore has rights on projects only; the condition limits them to one database.
resource "google_project_iam_member" "firestore" {
  for_each = var.firestore_database == null ? {} : local.jobs

  project = var.project
  role    = "roles/datastore.user"
  member  = "serviceAccount:${each.value.email}"

  condition {
    title       = "one-database"
    description = "Only ${var.firestore_database}"
    expression  = "resource.name == \"projects/${var.project}/databases/${var.firestore_database}\" || resource.name.startsWith(\"projects/${var.project}/databases/${var.firestore_database}/\")"
  }
}

# --- machines ---------------------------------------------------------------------------------------------------------

locals {
  machine_roles = merge(
    # Google asks for this role on a cluster's machines; it can read and write all buckets of the project. Therefore the
    # README advises a project for the jobs alone.
    var.dataproc ? { "dataproc worker" = { email = google_service_account.dataproc[0].email, role = "roles/dataproc.worker" } } : {},
    var.gke ? {
      for role in ["roles/logging.logWriter", "roles/monitoring.metricWriter", "roles/monitoring.viewer", "roles/artifactregistry.reader"] :
      "gke ${role}" => { email = google_service_account.nodes[0].email, role = role }
    } : {},
  )
}

resource "google_project_iam_member" "machines" {
  for_each = local.machine_roles

  project = var.project
  role    = each.value.role
  member  = "serviceAccount:${each.value.email}"
}

# --- pods -------------------------------------------------------------------------------------------------------------

resource "google_service_account_iam_member" "pods" {
  for_each = var.gke ? var.pods : toset([])

  service_account_id = google_service_account.pods[0].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${each.value}]"
}

resource "google_iam_workload_identity_pool" "foreign" {
  count = length(var.foreign_clusters) > 0 ? 1 : 0

  project                   = var.project
  workload_identity_pool_id = "${var.name}-clusters"
  display_name              = "Clusters outside Google"
}

resource "google_iam_workload_identity_pool_provider" "foreign" {
  for_each = var.foreign_clusters

  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.foreign[0].workload_identity_pool_id
  workload_identity_pool_provider_id = each.key
  # Only the named service accounts, although each is bound to an account below as well.
  attribute_condition = "assertion.sub in ${jsonencode([for pod in sort(tolist(each.value.pods)) : "system:serviceaccount:${replace(pod, "/", ":")}"])}"
  # The cluster is part of the subject: two clusters may have a service account of the same name.
  attribute_mapping = {
    "google.subject" = "\"${each.key}:\" + assertion.sub"
  }

  oidc {
    issuer_uri = each.value.issuer
  }
}

locals {
  foreign_pods = merge([
    for cluster, of in var.foreign_clusters : { for pod in of.pods : "${cluster} ${pod}" => "${cluster}:system:serviceaccount:${replace(pod, "/", ":")}" }
  ]...)
}

resource "google_service_account_iam_member" "foreign" {
  for_each = local.foreign_pods

  service_account_id = google_service_account.pods[0].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.foreign[0].name}/subject/${each.value}"
}

# --- records ----------------------------------------------------------------------------------------------------------

resource "google_project_iam_audit_config" "data" {
  for_each = var.audit ? toset(["storage.googleapis.com", "secretmanager.googleapis.com", "datastore.googleapis.com", "cloudsql.googleapis.com"]) : toset([])

  project = var.project
  service = each.value

  audit_log_config {
    log_type = "DATA_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
}
