//! A small YARN on this machine: a resource manager and node managers, each a process of its own that can be killed, from Hadoop's own jars.
//!
//! It runs where `AQUEDUCT_YARN` names the folder of the jars (`./dev yarn`); elsewhere its tests say that they are passed over. What
//! `terraform/gcp/dataproc` sets for YARN on Dataproc is set here too, read from there. Files lie in the local file system, not in HDFS.
//! How a job is submitted is in [`submission`], what runs in containers in [`containers`].

mod containers;
mod submission;

pub use containers::Program;
pub use submission::{Application, Submission};

use crate::main_job::workspace;
use crate::services::daemon::{Daemon, Scratch, free_port};
use crate::services::{http, skipped};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The version of the jars that `./dev yarn` fetches into the cache folder: Dataproc's.
pub const HADOOP_VERSION: &str = "3.3.6";

/// Names the folder of the jars.
pub const YARN_JARS: &str = "AQUEDUCT_YARN";

/// Memory of a node, MiB: two containers and their application masters, so that one node can take over from another.
const NODE_MIB: u32 = 4096;

/// A resource manager and its nodes.
#[derive(Debug)]
pub struct Yarn {
    // Before the folder: fields are dropped in order.
    nodes: Mutex<Vec<Option<Daemon>>>,
    _manager: Daemon,
    folder: Scratch,
    jars: PathBuf,
    web: u16,
}

impl Yarn {
    /// The cluster of this test program, of two nodes, or `None` after saying loudly that its tests are passed over.
    pub fn try_shared() -> Option<&'static Yarn> {
        static SHARED: OnceLock<Option<Yarn>> = OnceLock::new();
        SHARED.get_or_init(|| Yarn::try_start(2)).as_ref()
    }

    /// One for this test alone, or `None` after saying so.
    pub fn try_start(nodes: usize) -> Option<Yarn> {
        Yarn::try_start_with(nodes, dataproc_settings(|name| !name.contains("node-labels")))
    }

    /// The same on a cluster whose machines can be labelled, as Terraform sets it up where some of them may vanish.
    pub fn try_start_labelled(nodes: usize) -> Option<Yarn> {
        Yarn::try_start_with(nodes, dataproc_settings(|_| true))
    }

    fn try_start_with(nodes: usize, settings: Vec<(String, String)>) -> Option<Yarn> {
        let Some(jars) = std::env::var_os(YARN_JARS).map(PathBuf::from) else {
            skipped("YARN", "./dev yarn brings it and runs its tests");
            return None;
        };
        let (folder, web) = (Scratch::new("yarn"), free_port());
        let base = base_settings(settings, folder.path(), &jars, web);
        for name in ["home", "logs", "conf"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("the scratch folder can be written");
        }
        write_settings(&folder.path().join("conf"), &base);
        let log = folder.path().join("manager.log");
        let manager = java(&jars, &folder.path().join("conf"), folder.path(), &[MANAGER]);
        let mut manager = Daemon::spawn("the resource manager", manager, &log);
        let daemons = (0..nodes).map(|number| start_node(number, folder.path(), &jars, &base)).map(Some).collect();
        let running = || running_nodes(web) == nodes;
        manager.wait_until(Duration::from_secs(120), running);
        Some(Yarn { nodes: Mutex::new(daemons), _manager: manager, folder, jars, web })
    }

    /// SIGKILL to the node manager under which a program runs. Its containers are nobody's children and run on.
    pub fn kill_node_of(&self, program: &Program) {
        let node = program.node();
        let killed = self.nodes.lock().expect("nobody panics with it")[node].take();
        assert!(killed.is_some(), "node {node} was killed before");
    }

    /// Labels a node, with the commands that `install-node` runs on Dataproc's machines.
    pub fn label_node(&self, node: usize, label: &str) {
        let admin = "org.apache.hadoop.yarn.client.cli.RMAdminCLI";
        self.command(&[admin, "-addToClusterNodeLabels", &format!("{label}(exclusive=false)")]);
        let settings = self.folder.path().join(format!("node-{node}/conf/yarn-site.xml"));
        let text = std::fs::read_to_string(settings).expect("the node was started");
        let (_, rest) =
            text.split_once("<name>yarn.nodemanager.address</name><value>127.0.0.1:").expect("it was written");
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // Nodes of one machine differ by their ports only.
        self.command(&[admin, "-replaceLabelsOnNode", &format!("localhost:{port}={label}")]);
    }

    /// What the resource manager says of an application.
    pub fn application(&self, id: &str) -> Value {
        let reply = http::get(&format!("http://127.0.0.1:{}/ws/v1/cluster/apps/{id}", self.web));
        reply.unwrap_or_else(|e| panic!("the resource manager: {e}")).json()["app"].take()
    }

    /// `yarn application -kill`, as an operator calls it; returns when the command does.
    pub fn kill_application(&self, id: &str) {
        self.command(&[APPLICATIONS, "application", "-kill", id]);
    }

    /// Ends an application whatever becomes of it.
    fn forget(&self, id: &str) {
        let words = [APPLICATIONS, "application", "-kill", id];
        let _ = java(&self.jars, &self.conf(), self.folder.path(), &words).output();
    }

    /// `yarn logs -applicationId`: what was collected from the nodes after the application's end.
    pub fn collected_logs(&self, id: &str) -> String {
        self.command(&["org.apache.hadoop.yarn.client.cli.LogsCLI", "-applicationId", id])
    }

    /// A program of Hadoop's, to its end; what it printed.
    fn command(&self, words: &[&str]) -> String {
        let mut command = java(&self.jars, &self.conf(), self.folder.path(), words);
        String::from_utf8_lossy(&crate::services::daemon::run(&mut command)).into_owned()
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("conf")
    }
}

impl Drop for Yarn {
    fn drop(&mut self) {
        self.nodes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        // Containers are in sessions of their own and outlive their nodes.
        containers::kill_below(self.folder.path());
    }
}

const MANAGER: &str = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager";
const APPLICATIONS: &str = "org.apache.hadoop.yarn.client.cli.ApplicationCLI";
const NODE: &str = "org.apache.hadoop.yarn.server.nodemanager.NodeManager";

fn start_node(number: usize, folder: &Path, jars: &Path, base: &[(String, String)]) -> Daemon {
    let own = folder.join(format!("node-{number}"));
    let conf = own.join("conf");
    std::fs::create_dir_all(&conf).expect("the scratch folder can be written");
    let address = || format!("127.0.0.1:{}", free_port());
    let mut settings = base.to_vec();
    settings.extend(
        [
            ("yarn.nodemanager.address", address()),
            ("yarn.nodemanager.localizer.address", address()),
            ("yarn.nodemanager.webapp.address", address()),
            ("yarn.nodemanager.local-dirs", own.join("local").display().to_string()),
            ("yarn.nodemanager.log-dirs", own.join("logs").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    write_settings(&conf, &settings);
    Daemon::spawn("a node manager", java(jars, &conf, folder, &[NODE]), &folder.join(format!("node-{number}.log")))
}

fn running_nodes(web: u16) -> usize {
    let reply = http::get(&format!("http://127.0.0.1:{web}/ws/v1/cluster/nodes"));
    let Ok(reply) = reply else { return 0 };
    let nodes: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let nodes = nodes["nodes"]["node"].as_array().cloned().unwrap_or_default();
    nodes.iter().filter(|node| node["state"] == "RUNNING").count()
}

/// `java` with the jars; `home` is where Hadoop keeps what applications hand in.
fn java(jars: &Path, conf: &Path, home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]);
    // Without it the web pages' library cannot start on today's Java.
    command.arg("--add-opens=java.base/java.lang=ALL-UNNAMED");
    command.arg(format!("-Duser.home={}", home.join("home").display()));
    command.arg("-cp").arg(format!("{}:{}/*", conf.display(), jars.display())).args(words);
    command.current_dir(home).env("JAVA_HOME", java_home());
    command
}

/// Containers find Java by this variable.
fn java_home() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path).map(|folder| folder.join("java")).find(|java| java.exists());
    let java = java.and_then(|java| java.canonicalize().ok()).expect("./dev yarn brings Java");
    java.ancestors().nth(2).expect("java lies in a folder bin").to_owned()
}

/// What all processes of the cluster are told.
fn base_settings(mut settings: Vec<(String, String)>, folder: &Path, jars: &Path, web: u16) -> Vec<(String, String)> {
    let address = || format!("127.0.0.1:{}", free_port());
    let at = |name: &str| folder.join(name).display().to_string();
    let (home, conf) = (at("home"), at("conf"));
    let ours = [
        ("fs.defaultFS", "file:///".to_owned()),
        ("hadoop.tmp.dir", at("tmp")),
        ("yarn.resourcemanager.hostname", "127.0.0.1".to_owned()),
        ("yarn.resourcemanager.address", address()),
        ("yarn.resourcemanager.scheduler.address", address()),
        ("yarn.resourcemanager.resource-tracker.address", address()),
        ("yarn.resourcemanager.admin.address", address()),
        ("yarn.resourcemanager.webapp.address", format!("127.0.0.1:{web}")),
        ("yarn.nodemanager.hostname", "127.0.0.1".to_owned()),
        ("yarn.nodemanager.resource.memory-mb", NODE_MIB.to_string()),
        ("yarn.nodemanager.resource.cpu-vcores", "8".to_owned()),
        // A node that is gone is noticed after seconds, not after ten minutes.
        ("yarn.nm.liveness-monitor.expiry-interval-ms", "6000".to_owned()),
        ("yarn.scheduler.minimum-allocation-mb", "256".to_owned()),
        ("yarn.scheduler.capacity.root.queues", "default".to_owned()),
        ("yarn.scheduler.capacity.root.default.capacity", "100".to_owned()),
        ("yarn.scheduler.capacity.maximum-am-resource-percent", "0.5".to_owned()),
        // The disk of a test machine may be nearly full.
        ("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "100".to_owned()),
        ("yarn.nodemanager.remote-app-log-dir", at("collected")),
        ("yarn.node-labels.fs-store.root-dir", at("labels")),
        ("yarn.application.classpath", format!("{conf},{}/*", jars.display())),
        // Application masters look for handed-in files below their home.
        ("yarn.nodemanager.admin-env", format!("MALLOC_ARENA_MAX=4,JAVA_TOOL_OPTIONS=-Duser.home={home}")),
    ];
    settings.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    settings
}

/// The settings of the Terraform module for YARN and its scheduler whose names are `wanted`.
fn dataproc_settings(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let main = workspace().join("terraform/gcp/dataproc/main.tf");
    let text = std::fs::read_to_string(&main).unwrap_or_else(|e| panic!("{}: {e}", main.display()));
    let pairs = text.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix('"')?.split_once('=')?;
        let name = name.trim().trim_end_matches('"');
        let name = name.strip_prefix("yarn:").or_else(|| name.strip_prefix("capacity-scheduler:"))?;
        Some((name.to_owned(), value.trim().trim_matches('"').to_owned()))
    });
    let settings: Vec<_> = pairs.filter(|(name, _)| wanted(name)).collect();
    assert!(settings.len() >= 4, "{} no longer sets YARN's properties: {settings:?}", main.display());
    settings
}

/// The same in every file that some part of Hadoop reads.
fn write_settings(conf: &Path, settings: &[(String, String)]) {
    let put = |name: &str, text: &str| {
        std::fs::write(conf.join(name), text).unwrap_or_else(|e| panic!("{}: {e}", conf.display()));
    };
    let properties: String = settings
        .iter()
        .map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>\n"))
        .collect();
    for name in ["core-site.xml", "yarn-site.xml", "capacity-scheduler.xml"] {
        put(name, &format!("<?xml version=\"1.0\"?>\n<configuration>\n{properties}</configuration>\n"));
    }
    put("log4j.properties", LOGGING);
}

/// The client prints the application's id among its log's lines; standard output is for what commands are asked.
const LOGGING: &str = "log4j.rootLogger=INFO,out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.out.target=System.err\nlog4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n";
