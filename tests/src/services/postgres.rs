//! A PostgreSQL server of our own in a temporary folder: TLS with a throw-away CA, SCRAM passwords over TCP.
//!
//! Uses the binaries of the system's package, never its cluster.

use super::daemon::{Daemon, Scratch, free_port, run};
use super::tls::TlsFiles;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Where a server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PostgresAddress {
    /// On `localhost`.
    pub port: u16,
    /// A superuser.
    pub user: String,
    /// Its password.
    pub password: String,
    /// `ca` signed the server's certificate.
    pub tls: TlsFiles,
}

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    address: PostgresAddress,
    process: Option<Mutex<Process>>,
}

#[derive(Debug)]
struct Process {
    // Before the folder: fields are dropped in order.
    daemon: Option<Daemon>,
    scratch: Scratch,
}

impl Postgres {
    /// The server of this test run.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match super::Addresses::of_this_run() {
            Some(addresses) => Postgres::attach(addresses.postgres),
            None => Postgres::start(),
        })
    }

    /// One that another process has started.
    pub fn attach(address: PostgresAddress) -> Postgres {
        Postgres { address, process: None }
    }

    /// One for this test alone.
    pub fn start() -> Postgres {
        let scratch = Scratch::new("postgres");
        let tls = TlsFiles::make(&scratch.path().join("tls"));
        let address =
            PostgresAddress { port: free_port(), user: "aqueduct".into(), password: "p@ss word/'1".into(), tls };
        initialise(scratch.path(), &address);
        let postgres = Postgres { address, process: Some(Mutex::new(Process { daemon: None, scratch })) };
        postgres.restart();
        postgres
    }

    /// `postgres://localhost:PORT/DATABASE`, without user and password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://localhost:{}/{database}", self.address.port)
    }

    /// Where it is, for another process.
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// The port on `localhost`.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// A superuser.
    pub fn user(&self) -> &str {
        &self.address.user
    }

    /// Its password. Holds characters that break careless quoting.
    pub fn password(&self) -> &str {
        &self.address.password
    }

    /// The authority behind the server's certificate.
    pub fn ca(&self) -> &Path {
        &self.address.tls.ca
    }

    /// An authority that has nothing to do with it.
    pub fn foreign_ca(&self) -> &Path {
        &self.address.tls.foreign_ca
    }

    /// How to connect, with full verification; `postgres` is a database that always exists.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .port(self.address.port)
            .username(self.user())
            .password(self.password())
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(self.ca())
            .disable_statement_logging()
    }

    /// A connection.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(database)).await.unwrap_or_else(|e| panic!("postgres/{database}: {e}"))
    }

    /// A new database with a name of its own that begins with `prefix`; returns the name.
    pub async fn create_database(&self, prefix: &str) -> String {
        let name = super::unique(prefix).replace('-', "_");
        let mut connection = self.connect("postgres").await;
        let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap_or_else(|e| panic!("create database {name}: {e}"));
        name
    }

    /// Makes the user that the server runs as the owner of a folder.
    pub fn give(&self, folder: &Path) {
        if let Some((user, group)) = unprivileged() {
            chown(folder, Some(user), Some(group)).expect("root may");
        }
    }

    /// SIGKILL to the server and all its sessions; data stays. Only after `start`.
    pub fn kill(&self) {
        self.process().stop();
    }

    /// An immediate shutdown, as by `pg_ctl -m immediate`: sessions are cut off, and the next start recovers from the log. Only
    /// after `start`.
    pub fn stop_immediately(&self) {
        let mut process = self.process();
        if let Some(daemon) = &mut process.daemon {
            daemon.signal(libc::SIGQUIT);
            daemon.wait(Duration::from_secs(20));
        }
        process.stop();
    }

    /// Starts the server again after [`Postgres::kill`], or kills and starts it, on the same port with the same data.
    pub fn restart(&self) {
        let mut process = self.process();
        process.stop();
        let dir = process.scratch.path().to_owned();
        let mut daemon = Daemon::spawn("postgres", server(&dir, &self.address), &dir.join("postgres.log"));
        let ready = || ask_ready(&dir, self.address.port);
        daemon.wait_until(Duration::from_secs(60), ready);
        process.daemon = Some(daemon);
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        let process = self.process.as_ref().expect("a shared server must not be killed: use Postgres::start()");
        process.lock().expect("nobody panics with it")
    }
}

impl Process {
    /// Sessions are process groups of their own: they get the signal too, and a server does not start while one lives.
    fn stop(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        let pid = daemon.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        drop(daemon);
        for child in children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()) {
            // SAFETY: plain system call.
            unsafe { libc::kill(child, libc::SIGKILL) };
            let start = std::time::Instant::now();
            while is_alive(child) && start.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// False for a process that is gone, and for one that only waits to be collected by its parent.
fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The folder of the newest server binaries.
fn binaries() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("PostgreSQL is installed (apt-get install postgresql; ./dev test does it)").1
}

/// PostgreSQL refuses to run as root: then it runs as the package's own user, or as nobody.
fn unprivileged() -> Option<(u32, u32)> {
    // SAFETY: reads this process's id.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("a user postgres or nobody exists"))
}

fn as_server(program: &str) -> Command {
    let mut command = Command::new(binaries().join(program));
    command.env_remove("PGHOST").env_remove("PGPORT").env("LC_ALL", "C").current_dir("/");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

fn initialise(dir: &Path, address: &PostgresAddress) {
    let pg = dir.join("pg");
    std::fs::create_dir(&pg).expect("the scratch folder can be written");
    let (password, key) = (pg.join("password"), pg.join("server.key"));
    std::fs::write(&password, &address.password).expect("the scratch folder can be written");
    std::fs::copy(&address.tls.server_key, &key).expect("the key was just made");
    std::fs::copy(&address.tls.server_cert, pg.join("server.pem")).expect("the certificate was just made");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
    if let Some((user, group)) = unprivileged() {
        for path in [&pg, &password, &key, &pg.join("server.pem")] {
            chown(path, Some(user), Some(group)).expect("root may");
        }
    }
    let mut initdb = as_server("initdb");
    initdb.arg("-D").arg(pg.join("data")).arg("--pwfile").arg(&password).args(["-U", &address.user]);
    initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"]);
    run(&mut initdb);
}

fn server(dir: &Path, address: &PostgresAddress) -> Command {
    let pg = dir.join("pg");
    let mut command = as_server("postgres");
    command.arg("-D").arg(pg.join("data"));
    for setting in [
        "listen_addresses=localhost".to_owned(),
        format!("port={}", address.port),
        format!("unix_socket_directories={}", pg.display()),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", pg.join("server.pem").display()),
        format!("ssl_key_file={}", pg.join("server.key").display()),
        "max_connections=200".to_owned(),
        // The machine does not lose power in a test; a killed server loses nothing without fsync.
        "fsync=off".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "timezone=UTC".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    command
}

fn ask_ready(dir: &Path, port: u16) -> bool {
    let mut command = as_server("pg_isready");
    command.arg("-q").arg("-h").arg(dir.join("pg")).args(["-p", &port.to_string()]);
    command.status().is_ok_and(|status| status.success())
}
