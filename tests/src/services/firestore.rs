//! Google's Firestore emulator, where the machine has it. It is in no package registry, so it may be missing.
//!
//! Data lives in its memory and dies with it. Reading for the tests goes over its REST door.

use super::daemon::{Daemon, Scratch, free_port};
use super::http;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Where an emulator is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FirestoreAddress {
    /// `127.0.0.1:PORT`
    pub host: String,
}

/// A Firestore emulator.
#[derive(Debug)]
pub struct Firestore {
    address: FirestoreAddress,
    process: Option<Mutex<Process>>,
}

#[derive(Debug)]
struct Process {
    daemon: Option<Daemon>,
    scratch: Scratch,
}

impl Firestore {
    /// The emulator of this test run, or `None` after saying loudly that its tests are passed over.
    pub fn try_shared() -> Option<&'static Firestore> {
        static SHARED: OnceLock<Option<Firestore>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match super::Addresses::of_this_run() {
            Some(addresses) => addresses.firestore.map(Firestore::attach).or_else(missing),
            None => Firestore::try_start(),
        });
        shared.as_ref()
    }

    /// One that another process has started.
    pub fn attach(address: FirestoreAddress) -> Firestore {
        Firestore { address, process: None }
    }

    /// One for this test alone, or `None` after saying so.
    pub fn try_start() -> Option<Firestore> {
        if jar().is_none() {
            return missing();
        }
        let address = FirestoreAddress { host: format!("127.0.0.1:{}", free_port()) };
        let process = Process { daemon: None, scratch: Scratch::new("firestore") };
        let firestore = Firestore { address, process: Some(Mutex::new(process)) };
        firestore.restart();
        Some(firestore)
    }

    /// `127.0.0.1:PORT`, the value of the option `emulator-host`.
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// Where it is, for another process.
    pub fn address(&self) -> &FirestoreAddress {
        &self.address
    }

    /// A project id. The emulator takes any; collections keep tests apart.
    pub fn project(&self) -> &str {
        "aqueduct-test"
    }

    /// Every document of a collection of the default database: id and fields as plain JSON, ascending by id. Timestamps
    /// and references are text, integers are numbers.
    pub fn list_documents(&self, collection: &str) -> Vec<(String, Value)> {
        self.list_documents_of(self.project(), collection)
    }

    /// The same for any project.
    pub fn list_documents_of(&self, project: &str, collection: &str) -> Vec<(String, Value)> {
        let mut documents: Vec<(String, Value)> = self
            .read(project, collection)
            .into_iter()
            .map(|(id, document)| (id, fields(&document["fields"])))
            .collect();
        documents.sort_by(|a, b| a.0.cmp(&b.0));
        documents
    }

    /// When each document of a collection of the default database was last written, by its id.
    pub fn update_times(&self, collection: &str) -> Vec<(String, String)> {
        let documents = self.read(self.project(), collection).into_iter();
        documents.map(|(id, document)| (id, document["updateTime"].to_string())).collect()
    }

    /// Ids and documents as the REST door gives them, by id. A query for each page, because listing costs the emulator several
    /// times as much, which tells at a few hundred thousand documents.
    fn read(&self, project: &str, collection: &str) -> Vec<(String, Value)> {
        const PAGE: usize = 5_000;
        let url = format!("http://{}/v1/projects/{project}/databases/(default)/documents:runQuery", self.host());
        let (mut documents, mut last) = (Vec::new(), None::<String>);
        loop {
            let mut query = json!({
                "from": [{"collectionId": collection}],
                "orderBy": [{"field": {"fieldPath": "__name__"}}],
                "limit": PAGE,
            });
            if let Some(last) = &last {
                query["startAt"] = json!({"values": [{"referenceValue": last}], "before": false});
            }
            let body = json!({"structuredQuery": query}).to_string();
            let reply = http::request("POST", &url, &[("Authorization", "Bearer owner")], body.as_bytes());
            let page = reply.unwrap_or_else(|e| panic!("{url}: {e}")).json();
            let entries = page.as_array().unwrap_or_else(|| panic!("{url} answered {page}"));
            let before = documents.len();
            for document in entries.iter().filter_map(|entry| entry.get("document")) {
                let name = document["name"].as_str().expect("documents have names");
                let id = name.rsplit('/').next().unwrap_or_default();
                documents.push((id.to_owned(), document.clone()));
                last = Some(name.to_owned());
            }
            if documents.len() - before < PAGE {
                return documents;
            }
        }
    }

    /// SIGKILL. The data is gone too. Only after `try_start`.
    pub fn kill(&self) {
        self.process().daemon = None;
    }

    /// SIGSTOP: connections stay open and nothing is answered. Only after `try_start`.
    pub fn pause(&self) {
        if let Some(daemon) = &self.process().daemon {
            daemon.signal(libc::SIGSTOP);
        }
    }

    /// SIGCONT after [`Firestore::pause`].
    pub fn resume(&self) {
        if let Some(daemon) = &self.process().daemon {
            daemon.signal(libc::SIGCONT);
        }
    }

    /// Starts it (again), empty, on the same port.
    pub fn restart(&self) {
        let mut process = self.process();
        process.daemon = None;
        let (host, port) = self.address.host.split_once(':').expect("host and port");
        let mut command = Command::new("java");
        // All documents are in its memory: long runs need more.
        let megabytes = std::env::var("AQUEDUCT_FIRESTORE_MB").unwrap_or_else(|_| "512".to_owned());
        command.arg(format!("-Xmx{megabytes}m"));
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en", "-cp"]);
        command.arg(jar().expect("checked by try_start"));
        command.args(["com.google.cloud.datastore.emulator.firestore.CloudFirestore", "--host", host, "--port", port]);
        command.current_dir(process.scratch.path());
        let mut daemon =
            Daemon::spawn("the Firestore emulator", command, &process.scratch.path().join("firestore.log"));
        let url = format!("http://{}/", self.address.host);
        daemon.wait_until(Duration::from_secs(90), || http::get(&url).is_ok_and(|reply| reply.status == 200));
        process.daemon = Some(daemon);
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        let process = self.process.as_ref().expect("a shared emulator must not be killed: use Firestore::try_start()");
        process.lock().expect("nobody panics with it")
    }
}

fn missing<T>() -> Option<T> {
    super::skipped("the Firestore emulator", "install google-cloud-cli-firestore-emulator");
    None
}

/// The emulator's program: beside `gcloud`, wherever that is.
fn jar() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside =
        std::env::split_paths(&path).map(|dir| dir.join("gcloud")).filter_map(|gcloud| gcloud.canonicalize().ok());
    let mut roots: Vec<PathBuf> = std::env::var_os("AQUEDUCT_CLOUD_SDK").map(PathBuf::from).into_iter().collect();
    roots.extend(beside.filter_map(|gcloud| Some(gcloud.parent()?.parent()?.to_owned())));
    roots.extend(
        ["/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk"].map(PathBuf::from),
    );
    let jars =
        roots.into_iter().map(|root| root.join("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"));
    jars.into_iter().find(|jar| jar.exists())
}

fn fields(fields: &Value) -> Value {
    let members = fields.as_object().into_iter().flatten();
    Value::Object(members.map(|(name, value)| (name.clone(), plain(value))).collect())
}

fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "nullValue" => Value::Null,
        "integerValue" => inner.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(inner.clone(), Value::from),
        "mapValue" => fields(&inner["fields"]),
        "arrayValue" => Value::Array(inner["values"].as_array().into_iter().flatten().map(plain).collect()),
        _ => inner.clone(),
    }
}
