output "keys" {
  description = "Key ids by purpose. They are known only after the services' agents may use them."
  value       = { for purpose in keys(var.keys) : purpose => google_kms_crypto_key.this[purpose].id }
  depends_on  = [google_kms_crypto_key_iam_member.this]
}
