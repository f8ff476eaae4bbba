mock_provider "google" {
  override_during = plan

  mock_resource "google_service_account" {
    defaults = { email = "x@acme-streams.iam.gserviceaccount.com", unique_id = "123456789012345678901", name = "projects/acme-streams/serviceAccounts/x" }
  }
  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/1/locations/global/workloadIdentityPools/aq-test-clusters" }
  }
}

override_resource {
  target          = google_project_iam_custom_role.objects
  override_during = plan
  values          = { id = "objects" }
}

override_resource {
  target          = google_project_iam_custom_role.append
  override_during = plan
  values          = { id = "append" }
}

variables {
  project            = "acme-streams"
  region             = "europe-west1"
  name               = "aq-test"
  buckets            = { checkpoints = "acme-checkpoints", results = "acme-results", artifacts = "acme-artifacts", staging = "acme-staging" }
  firestore_database = "(default)"
}

run "rights_on_buckets_not_on_the_project" {
  command = plan

  assert {
    condition = jsonencode({ for key, grant in google_storage_bucket_iam_member.job : key => [grant.bucket, grant.role] }) == jsonencode({
      "dataproc artifacts"   = ["acme-artifacts", "roles/storage.objectViewer"]
      "dataproc checkpoints" = ["acme-checkpoints", "objects"]
      "dataproc results"     = ["acme-results", "append"]
      "dataproc staging"     = ["acme-staging", "objects"]
    })
    error_message = jsonencode({ for key, grant in google_storage_bucket_iam_member.job : key => [grant.bucket, grant.role] })
  }
  assert {
    condition     = jsonencode([for grant in google_project_iam_member.machines : grant.role]) == jsonencode(["roles/dataproc.worker"])
    error_message = "the only right on the project is the one that Dataproc asks for"
  }
}

run "no_role_reaches_rules_or_everything" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for role in [google_project_iam_custom_role.objects, google_project_iam_custom_role.append] : [
        for permission in role.permissions : !strcontains(permission, "*") && !startswith(permission, "storage.buckets.") && !strcontains(permission, "setIamPolicy")
      ]
    ]))
    error_message = "a job may not change a bucket"
  }
  assert {
    condition     = !contains(google_project_iam_custom_role.append.permissions, "storage.objects.delete")
    error_message = "who appends cannot delete"
  }
  assert {
    condition     = strcontains(google_project_iam_member.firestore["dataproc"].condition[0].expression, "resource.name == \"projects/acme-streams/databases/(default)\"")
    error_message = "Firestore is limited to one database"
  }
  assert {
    condition     = length(google_project_iam_audit_config.data) == 4
    error_message = "accesses are recorded"
  }
}

run "pods_without_keys" {
  command = plan
  variables {
    dataproc = false
    gke      = true
    pods     = ["streams/image-metrics"]
    foreign_clusters = {
      eks-prod = { issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", pods = ["streams/payments"] }
    }
  }
  assert {
    condition     = google_service_account_iam_member.pods["streams/image-metrics"].member == "serviceAccount:acme-streams.svc.id.goog[streams/image-metrics]"
    error_message = "one pod's account, not the cluster"
  }
  assert {
    condition     = google_service_account_iam_member.foreign["eks-prod streams/payments"].member == "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/aq-test-clusters/subject/eks-prod:system:serviceaccount:streams:payments"
    error_message = "one subject of one cluster"
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.foreign["eks-prod"].attribute_condition == "assertion.sub in [\"system:serviceaccount:streams:payments\"]"
    error_message = google_iam_workload_identity_pool_provider.foreign["eks-prod"].attribute_condition
  }
  assert {
    condition     = !anytrue([for grant in google_project_iam_member.machines : strcontains(grant.role, "storage") || strcontains(grant.role, "editor")])
    error_message = "GKE's machines have no right to data"
  }
  assert {
    condition     = output.dataproc_email == null && jsonencode(keys(output.job_unique_ids)) == jsonencode(["pods"])
    error_message = "only what was asked for"
  }
}

run "a_whole_namespace_is_refused" {
  command = plan
  variables {
    gke  = true
    pods = ["streams/*"]
  }
  expect_failures = [var.pods]
}
