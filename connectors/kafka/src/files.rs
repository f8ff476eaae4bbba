//! TLS by files: Java's truststore and keystore options, where they mean PEM, and librdkafka's own.
//!
//! It looks whether the files can be read, so that the error names the option; it does not judge what is in them.

use aqueduct_core::{Error, Options, Result};
use std::collections::BTreeMap;

/// Options that name a file.
const FILES: &[&str] =
    &["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location"];

/// Adds librdkafka's `ssl.*` values.
pub(crate) fn tls(options: &Options, values: &mut BTreeMap<String, String>) -> Result<()> {
    if let Some(path) = options.get("properties.ssl.truststore.location") {
        pem(options, "truststore", path)?;
        values.entry("ssl.ca.location".into()).or_insert(path.to_owned());
    }
    if let Some(path) = options.get("properties.ssl.keystore.location") {
        let kind = options.get("properties.ssl.keystore.type").unwrap_or_default();
        if kind.eq_ignore_ascii_case("PKCS12") || [".p12", ".pfx"].iter().any(|end| path.ends_with(end)) {
            values.insert("ssl.keystore.location".into(), path.to_owned());
        } else {
            pem(options, "keystore", path)?;
            values.entry("ssl.certificate.location".into()).or_insert(path.to_owned());
            values.entry("ssl.key.location".into()).or_insert(path.to_owned());
        }
    }
    if values.contains_key("ssl.certificate.location") != values.contains_key("ssl.key.location") {
        return Err(Error::config(format!(
            "table '{}': properties.ssl.certificate.location and properties.ssl.key.location belong together: one of them is missing",
            options.table()
        )));
    }
    let algorithm = options.one_of("properties.ssl.endpoint.identification.algorithm", "https", &["https", "none"])?;
    values.insert("ssl.endpoint.identification.algorithm".into(), algorithm.to_owned());
    for key in FILES {
        if let Some(path) = values.get(*key) {
            // A folder of authorities is allowed too, and cannot be opened as a file.
            std::fs::metadata(path)
                .and_then(|meta| if meta.is_dir() { Ok(()) } else { std::fs::File::open(path).map(drop) })
                .map_err(|error| {
                    Error::config(format!(
                        "table '{}': option 'properties.{key}': cannot read '{path}': {error}",
                        options.table()
                    ))
                })?;
        }
    }
    Ok(())
}

fn pem(options: &Options, store: &str, path: &str) -> Result<()> {
    let kind = options.get(&format!("properties.ssl.{store}.type")).unwrap_or_default();
    let java = [".jks", ".p12", ".pfx"].iter().any(|end| path.ends_with(end));
    if kind.eq_ignore_ascii_case("PEM") || (kind.is_empty() && !java) {
        return Ok(());
    }
    Err(Error::config(format!(
        "table '{}': option 'properties.ssl.{store}.location' = '{path}' is not a PEM file: convert it (keytool -exportcert -rfc, openssl pkcs12) \
         and set properties.ssl.{store}.type = 'PEM'",
        options.table()
    )))
}
