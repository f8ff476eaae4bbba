# What Google would answer, for tests of whole environments: only values whose form is checked or that others take apart.
mock_resource "google_service_account" {
  defaults = { email = "x@acme-streams.iam.gserviceaccount.com", unique_id = "123456789012345678901", name = "projects/acme-streams/serviceAccounts/x" }
}
mock_resource "google_sql_database_instance" {
  defaults = {
    private_ip_address = "10.46.0.3"
    server_ca_cert     = [{ cert = "PEM", common_name = "", create_time = "", expiration_time = "", sha1_fingerprint = "" }]
  }
}
mock_resource "google_compute_ha_vpn_gateway" {
  defaults = { self_link = "projects/acme-streams/regions/europe-west1/vpnGateways/aq" }
}
mock_data "google_compute_ha_vpn_gateway" {
  defaults = {
    vpn_interfaces = [
      { id = 0, ip_address = "35.242.0.10", interconnect_attachment = "" },
      { id = 1, ip_address = "35.220.0.10", interconnect_attachment = "" },
    ]
  }
}
