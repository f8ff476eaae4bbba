mock_provider "google" {}

variables {
  project = "acme-streams"
  region  = "europe-west1"
  name    = "aq-test"
  ranges = {
    nodes         = "10.40.0.0/20"
    pods          = "10.44.0.0/16"
    services      = "10.45.0.0/20"
    managed       = "10.46.0.0/20"
    control_plane = "10.47.0.0/28"
  }
}

run "closed_by_default" {
  assert {
    condition = alltrue([
      for rule in google_compute_firewall.closed :
      rule.priority == 65000 && alltrue([for deny in rule.deny : deny.protocol == "all"]) && length(rule.deny) == 1 && length(rule.allow) == 0
    ]) && length(google_compute_firewall.closed) == 2
    error_message = "both directions are closed, below all other rules"
  }
  assert {
    condition = !anytrue([
      for rule in concat(values(google_compute_firewall.inside), values(google_compute_firewall.out), [google_compute_firewall.control_plane]) :
      contains(setunion(coalesce(rule.source_ranges, []), coalesce(rule.destination_ranges, [])), "0.0.0.0/0")
    ])
    error_message = "no rule opens to everywhere"
  }
  assert {
    condition     = length(google_compute_firewall.internet) == 0 && length(google_compute_route.internet) == 0 && length(google_compute_router_nat.this) == 0
    error_message = "there is no way to the internet unless it is asked for"
  }
  assert {
    condition     = google_compute_network.this.delete_default_routes_on_create && !google_compute_network.this.auto_create_subnetworks
    error_message = "no route and no subnet that nobody named"
  }
}

run "private_ways_to_what_is_needed" {
  assert {
    condition     = jsonencode({ for name, rule in google_compute_firewall.out : name => flatten([for allow in rule.allow : allow.ports]) }) == jsonencode({ apis = ["443"], control-plane = ["443", "8132", "10250"], postgres = ["5432"] })
    error_message = "ways out: APIs, control plane, Postgres"
  }
  assert {
    condition     = google_compute_subnetwork.nodes.private_ip_google_access && google_compute_route.apis.dest_range == "199.36.153.4/30"
    error_message = "Google's APIs are reached privately"
  }
  assert {
    condition     = google_compute_global_address.managed.address == "10.46.0.0" && google_compute_global_address.managed.prefix_length == 20 && google_compute_global_address.managed.address_type == "INTERNAL"
    error_message = "Cloud SQL gets an inside address"
  }
  assert {
    condition     = alltrue([for zone in google_dns_managed_zone.apis : zone.visibility == "private"]) && google_dns_record_set.any_api["googleapis"].rrdatas == tolist(["restricted.googleapis.com."])
    error_message = "names of Google's APIs lead to the restricted addresses"
  }
  assert {
    condition     = length(google_compute_subnetwork.nodes.log_config) == 1
    error_message = "flows are logged"
  }
}

run "the_internet_only_by_https" {
  variables {
    internet = true
  }
  assert {
    condition     = jsonencode(flatten([for allow in google_compute_firewall.internet[0].allow : allow.ports])) == jsonencode(["443"]) && google_compute_firewall.internet[0].direction == "EGRESS"
    error_message = "outwards, HTTPS only"
  }
}

run "public_ranges_are_refused" {
  command = plan
  variables {
    ranges = {
      nodes         = "8.8.0.0/20"
      pods          = "10.44.0.0/16"
      services      = "10.45.0.0/20"
      managed       = "10.46.0.0/20"
      control_plane = "10.47.0.0/28"
    }
  }
  expect_failures = [var.ranges]
}
