//! A Kafka broker: one KRaft node from the project's own jars, with plain, TLS and SCRAM listeners.
//!
//! This file starts, stops and describes it; talking to it for the tests is in `client`.

mod client;
mod settings;

pub use client::{Consumed, Record, Writer};

use super::daemon::{Daemon, Scratch, free_port, listens, run};
use super::proxy::Proxy;
use super::tls::{CLIENT, TlsFiles};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The version of the jars that `./dev` fetches into the cache folder.
pub const KAFKA_VERSION: &str = "4.3.1";

/// One of the doors of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// No encryption, no authentication.
    Plain,
    /// TLS; a client certificate of the right CA is demanded.
    Ssl,
    /// TLS; SCRAM-SHA-512 with [`Kafka::user`] and [`Kafka::password`].
    SaslSsl,
    /// As [`Listener::Plain`], through a proxy that a test puts there: see [`Kafka::behind_proxy`].
    Proxied,
}

/// Where a broker is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KafkaAddress {
    /// Port of [`Listener::Plain`].
    pub plain: u16,
    /// Port of [`Listener::Ssl`].
    pub ssl: u16,
    /// Port of [`Listener::SaslSsl`].
    pub sasl_ssl: u16,
    /// Port of [`Listener::Proxied`] on the broker itself.
    pub behind_proxy: u16,
    /// The port that the broker advertises for [`Listener::Proxied`].
    pub proxy: u16,
    /// Port of the controller.
    pub controller: u16,
    /// The SCRAM user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Certificates.
    pub tls: TlsFiles,
}

/// A Kafka broker.
#[derive(Debug)]
pub struct Kafka {
    address: KafkaAddress,
    process: Option<Mutex<Process>>,
}

#[derive(Debug)]
struct Process {
    daemon: Option<Daemon>,
    scratch: Scratch,
}

impl Kafka {
    /// The broker of this test run. Topics need names of their own.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| match super::Addresses::of_this_run() {
            Some(addresses) => Kafka::attach(addresses.kafka),
            None => Kafka::start(),
        })
    }

    /// One that another process has started.
    pub fn attach(address: KafkaAddress) -> Kafka {
        Kafka { address, process: None }
    }

    /// One for this test alone. Takes 5 to 15 seconds.
    pub fn start() -> Kafka {
        let scratch = Scratch::new("kafka");
        let tls = TlsFiles::make(&scratch.path().join("tls"));
        let address = KafkaAddress {
            plain: free_port(),
            ssl: free_port(),
            sasl_ssl: free_port(),
            behind_proxy: free_port(),
            proxy: free_port(),
            controller: free_port(),
            user: "aqueduct".into(),
            password: "scram-secret".into(),
            tls,
        };
        let settings = settings::write(scratch.path(), &address);
        format_storage(&settings, &address);
        let kafka = Kafka { address, process: Some(Mutex::new(Process { daemon: None, scratch })) };
        kafka.restart();
        kafka
    }

    /// `host:port` of a door, the value of `properties.bootstrap.servers`.
    pub fn bootstrap(&self, listener: Listener) -> String {
        let KafkaAddress { plain, ssl, sasl_ssl, proxy, .. } = &self.address;
        match listener {
            Listener::Plain => format!("127.0.0.1:{plain}"),
            Listener::Ssl => format!("localhost:{ssl}"),
            Listener::SaslSsl => format!("localhost:{sasl_ssl}"),
            Listener::Proxied => format!("127.0.0.1:{proxy}"),
        }
    }

    /// A proxy for [`Listener::Proxied`]. There can be one at a time.
    pub fn behind_proxy(&self) -> Proxy {
        Proxy::on(self.address.proxy, &format!("127.0.0.1:{}", self.address.behind_proxy))
    }

    /// Certificates: `ca` for every client, `cert` and `key` for [`Listener::Ssl`].
    pub fn tls(&self) -> &TlsFiles {
        &self.address.tls
    }

    /// The SCRAM user.
    pub fn user(&self) -> &str {
        &self.address.user
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.address.password
    }

    /// Where it is, for another process.
    pub fn address(&self) -> &KafkaAddress {
        &self.address
    }

    /// From now on clients with this `client.id` together read at most so many bytes per second.
    pub fn limit_reading(&self, client_id: &str, bytes_per_second: u64) {
        let mut command = java(&["-Xmx256m"]);
        command.args(["kafka.admin.ConfigCommand", "--bootstrap-server", &self.bootstrap(Listener::Plain), "--alter"]);
        command.args(["--entity-type", "clients", "--entity-name", client_id]);
        command.args(["--add-config", &format!("consumer_byte_rate={bytes_per_second}")]);
        run(&mut command);
    }

    /// The user of [`Kafka::user`] has another password from now on.
    pub fn change_password(&self, password: &str) {
        let mut command = java(&["-Xmx256m"]);
        command.args(["kafka.admin.ConfigCommand", "--bootstrap-server", &self.bootstrap(Listener::Plain), "--alter"]);
        command.args(["--entity-type", "users", "--entity-name", self.user()]);
        command.args(["--add-config", &format!("SCRAM-SHA-512=[password={password}]")]);
        run(&mut command);
    }

    /// From now on the user of [`Kafka::user`] may do nothing else with the topic than this, such as `Describe`. Who needs no password
    /// may still do everything.
    pub fn allow_only(&self, topic: &str, operations: &[&str]) {
        let user = format!("User:{}", self.user());
        let operations: Vec<&str> = operations.iter().flat_map(|operation| ["--operation", operation]).collect();
        self.acl(&["--add", "--allow-principal", &user, "--topic", topic], &operations);
    }

    /// From now on what is not allowed is forbidden, of all topics, groups and transactional ids; but not to who comes without TLS.
    pub fn close(&self) {
        let everything = ["--topic", "*", "--group", "*", "--transactional-id", "*"];
        self.acl(&["--add", "--allow-principal", "User:nobody", "--operation", "All"], &everything);
    }

    /// Whom [`Listener::Ssl`] sees behind the client certificate of [`Kafka::tls`].
    pub fn principal() -> String {
        format!("User:CN={CLIENT}")
    }

    /// Takes a right of [`Kafka::principal`] away, such as `Write` on `["--topic", NAME]`.
    pub fn forbid(&self, operation: &str, resource: &[&str]) {
        self.acl(
            &["--remove", "--force", "--allow-principal", &Kafka::principal(), "--operation", operation],
            resource,
        );
    }

    fn acl(&self, change: &[&str], resource: &[&str]) {
        let mut command = java(&["-Xmx256m"]);
        command.args(["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &self.bootstrap(Listener::Plain)]);
        run(command.args(change).args(resource));
    }

    /// `kafka-topics.sh` and `kafka-acls.sh`, as Kafka's own archive has them, in a folder.
    pub fn write_tools(&self, folder: &Path) {
        for (name, class) in [("kafka-topics.sh", "TopicCommand"), ("kafka-acls.sh", "AclCommand")] {
            let java = format!("exec java -Xmx256m -XX:TieredStopAtLevel=1 -cp '{}/*'", jars().display());
            let script = format!("#!/bin/sh\n{java} org.apache.kafka.tools.{class} \"$@\"\n");
            let path = folder.join(name);
            std::fs::write(&path, script).expect("the folder can be written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it was written");
        }
    }

    /// From the next start on the broker shows this certificate. Only after `start`.
    pub fn show_certificate(&self, certificate: &Path, key: &Path) {
        settings::write_store(self.process().scratch.path(), certificate, key);
    }

    /// Where the partitions' folders lie. Only after `start`.
    pub fn data(&self) -> PathBuf {
        self.process().scratch.path().join("data")
    }

    /// SIGKILL; data stays. Only after `start`.
    pub fn kill(&self) {
        self.process().daemon = None;
    }

    /// SIGTERM, and waits for the broker's orderly end. Only after `start`.
    pub fn stop(&self) {
        if let Some(mut daemon) = self.process().daemon.take() {
            daemon.signal(libc::SIGTERM);
            daemon.wait(Duration::from_secs(30));
        }
    }

    /// SIGSTOP: connections stay open and nothing is answered. Only after `start`.
    pub fn pause(&self) {
        if let Some(daemon) = &self.process().daemon {
            daemon.signal(libc::SIGSTOP);
        }
    }

    /// SIGCONT after [`Kafka::pause`].
    pub fn resume(&self) {
        if let Some(daemon) = &self.process().daemon {
            daemon.signal(libc::SIGCONT);
        }
    }

    /// Starts it (again), on the same ports with the same data, and waits until it serves.
    pub fn restart(&self) {
        let mut process = self.process();
        process.daemon = None;
        let dir = process.scratch.path().to_owned();
        let mut command = java(&["-Xms256m", "-Xmx512m"]);
        command.arg(format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display()));
        command.arg("kafka.Kafka").arg(dir.join("server.properties")).current_dir(&dir);
        let mut daemon = Daemon::spawn("kafka", command, &dir.join("kafka.log"));
        let ports = [self.address.plain, self.address.ssl, self.address.sasl_ssl];
        daemon.wait_until(Duration::from_secs(90), || ports.iter().all(|port| listens(*port)));
        daemon.wait_until(Duration::from_secs(90), || client::answers(&self.bootstrap(Listener::Plain)));
        process.daemon = Some(daemon);
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        let process = self.process.as_ref().expect("a shared broker must not be killed: use Kafka::start()");
        process.lock().expect("nobody panics with it")
    }
}

fn jars() -> PathBuf {
    let jars = super::cache_dir().join(format!("kafka-{KAFKA_VERSION}"));
    assert!(
        jars.is_dir(),
        "Kafka's jars are not in {}: run ./dev services or ./dev test, which fetch them",
        jars.display()
    );
    jars
}

fn java(options: &[&str]) -> Command {
    let mut command = Command::new("java");
    // The quick compiler only: a broker of a few minutes never earns back the time of the thorough one.
    command.args(options).args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]);
    command.arg("-cp").arg(format!("{}/*", jars().display()));
    command
}

fn format_storage(settings: &Path, address: &KafkaAddress) {
    let mut command = java(&["-Xmx256m"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", settings.with_file_name("log4j2.properties").display()));
    command.args([
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        "--cluster-id",
        "QXF1ZWR1Y3QtdGVzdHMtMQ",
        "--config",
    ]);
    command.arg(settings).arg("--add-scram");
    command.arg(format!("SCRAM-SHA-512=[name={},password={}]", address.user, address.password));
    run(&mut command);
}
