//! Throw-away certificates, made by the `openssl` program: a CA, a server and a client that it vouches for, and a foreign CA.
//!
//! Good for `localhost` and 127.0.0.1 and for a few days only.

use super::daemon::run;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

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
        let (cert, key) = signed(dir, "client", "aqueduct-client", "ca");
        let (foreign_cert, foreign_key) = signed(dir, "foreign-client", "stranger", "foreign-ca");
        TlsFiles { ca, cert, key, foreign_ca, foreign_cert, foreign_key, server_cert, server_key }
    }
}

const OPENSSL_CONFIG: &str = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
    [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n\
    [leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n\
    extendedKeyUsage = serverAuth, clientAuth\nauthorityKeyIdentifier = keyid\n";

fn openssl(dir: &Path, arguments: &str) {
    run(Command::new("openssl").current_dir(dir).args(arguments.split(' ')));
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
    openssl(
        dir,
        &format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf -subj /CN={common_name} \
             -keyout {name}.key -out {name}.csr"
        ),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30 -extfile openssl.cnf -extensions leaf \
             -out {name}.pem"
        ),
    );
    (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")))
}
