//! Throw-away certificates, made by the `openssl` program: a CA, a server and a client that it vouches for, and a foreign CA.
//!
//! Good for `localhost` and 127.0.0.1 and for a few days only.

use super::daemon::run;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The common name in `cert`.
pub const CLIENT: &str = "aqueduct-client";

/// PEM files. Keys are PKCS#8 without a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The authority that signed `cert` and the servers' certificates.
    pub ca: PathBuf,
    /// A client's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// An authority that no server trusts and that signed no server.
    pub foreign_ca: PathBuf,
    /// A client's certificate from the foreign authority.
    pub foreign_cert: PathBuf,
    /// Its key.
    pub foreign_key: PathBuf,
    /// The servers' certificate: `localhost`, 127.0.0.1.
    pub server_cert: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
}

impl TlsFiles {
    /// Makes all of them in `dir`.
    pub fn make(dir: &Path) -> TlsFiles {
        std::fs::create_dir_all(dir).expect("the scratch folder can be written");
        let config = dir.join("openssl.cnf");
        std::fs::write(&config, OPENSSL_CONFIG).expect("the scratch folder can be written");
        let (ca, foreign_ca) = (authority(dir, "ca"), authority(dir, "foreign-ca"));
        let (server_cert, server_key) = signed(dir, "server", "localhost", "ca");
        let (cert, key) = signed(dir, "client", CLIENT, "ca");
        let (foreign_cert, foreign_key) = signed(dir, "foreign-client", "stranger", "foreign-ca");
        TlsFiles { ca, cert, key, foreign_ca, foreign_cert, foreign_key, server_cert, server_key }
    }
}

impl TlsFiles {
    /// A certificate and key of the right authority that were good until two days ago; `None` without `faketime`.
    pub fn expired(&self) -> Option<(PathBuf, PathBuf)> {
        let (dir, library) = (self.ca.parent().expect("files lie in a folder"), crate::host::faketime()?);
        let pair = signed_by_clock(dir, "expired", "localhost", "ca", Some((&library, "-3d")));
        Some(pair)
    }
}

const OPENSSL_CONFIG: &str = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
    [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n\
    [leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n\
    extendedKeyUsage = serverAuth, clientAuth\nauthorityKeyIdentifier = keyid\n";

fn openssl(dir: &Path, arguments: &str) {
    openssl_at(dir, arguments, None);
}

/// At another time than now, by a library that lies about it.
fn openssl_at(dir: &Path, arguments: &str, clock: Option<(&Path, &str)>) {
    let mut command = Command::new("openssl");
    if let Some((library, time)) = clock {
        command.env("LD_PRELOAD", library).env("FAKETIME", time);
    }
    run(command.current_dir(dir).args(arguments.split(' ')));
}

fn authority(dir: &Path, name: &str) -> PathBuf {
    openssl(
        dir,
        &format!(
            "req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -config openssl.cnf -extensions ca \
             -subj /CN=aqueduct-{name} -keyout {name}.key -out {name}.pem"
        ),
    );
    dir.join(format!("{name}.pem"))
}

fn signed(dir: &Path, name: &str, common_name: &str, by: &str) -> (PathBuf, PathBuf) {
    signed_by_clock(dir, name, common_name, by, None)
}

/// Good for 30 days; or, at another time than now, for one.
fn signed_by_clock(
    dir: &Path,
    name: &str,
    common_name: &str,
    by: &str,
    clock: Option<(&Path, &str)>,
) -> (PathBuf, PathBuf) {
    let days = if clock.is_some() { 1 } else { 30 };
    openssl(
        dir,
        &format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf -subj /CN={common_name} \
             -keyout {name}.key -out {name}.csr"
        ),
    );
    let sign = format!(
        "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile openssl.cnf \
         -extensions leaf -out {name}.pem"
    );
    openssl_at(dir, &sign, clock);
    (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")))
}
