//! The services that one test of the main job talks to: those of the test run, or a set of its own with a front before each of
//! them, which goes wrong on demand.
//!
//! A job goes through the fronts; a test looks behind them, so that what it reads does not depend on its own faults.

use crate::services::{Firestore, Gcs, GrpcFront, Kafka, Listener, Postgres, Proxy, S3};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The services of a job.
#[derive(Debug)]
pub struct Stage {
    // Before the services: fields are dropped in order.
    /// What the job goes through; `None`: it talks to the services themselves, encrypted.
    pub fronts: Option<Fronts>,
    /// The broker.
    pub kafka: Kafka,
    /// The database server.
    pub postgres: Postgres,
    /// The stand-in for Google's storage.
    pub gcs: Gcs,
    /// The emulator, where the machine has it.
    pub firestore: Option<Firestore>,
}

/// One front per service. Connections through them are plain, so that a rule can tell a COMMIT from a SELECT.
#[derive(Debug)]
pub struct Fronts {
    /// Before [`Listener::Proxied`].
    pub kafka: Proxy,
    /// Before the database server.
    pub postgres: Proxy,
    /// Before the storage.
    pub gcs: Proxy,
    /// Before the emulator.
    pub firestore: Option<GrpcFront>,
}

impl Fronts {
    /// Ends every fault.
    pub fn heal(&self) {
        self.kafka.heal();
        self.postgres.heal();
        self.gcs.heal();
        self.firestore.iter().for_each(GrpcFront::heal);
    }

    /// The fronts that are plain proxies.
    pub fn proxies(&self) -> [&Proxy; 3] {
        [&self.kafka, &self.postgres, &self.gcs]
    }
}

impl Stage {
    /// The services of this test run, without fronts.
    pub fn shared() -> Arc<Stage> {
        static SHARED: OnceLock<Arc<Stage>> = OnceLock::new();
        let stage = SHARED.get_or_init(|| Arc::new(Stage::around(Kafka::attach(Kafka::shared().address().clone()))));
        Arc::clone(stage)
    }

    /// The services of this test run, without fronts, but for the broker.
    pub fn around(kafka: Kafka) -> Stage {
        Stage {
            fronts: None,
            kafka,
            postgres: Postgres::attach(Postgres::shared().address().clone()),
            gcs: Gcs::attach(Gcs::shared().address().clone()),
            firestore: Firestore::try_shared().map(|shared| Firestore::attach(shared.address().clone())),
        }
    }

    /// A broker, a database server and a storage of this test alone, to be stopped, killed and cut off; the emulator is the
    /// test run's, behind a front of this test. Takes 10 to 20 seconds.
    pub fn start() -> Arc<Stage> {
        let kafka = std::thread::spawn(Kafka::start);
        let (postgres, gcs) = (Postgres::start(), Gcs::start());
        let firestore = Firestore::try_shared().map(|shared| Firestore::attach(shared.address().clone()));
        let kafka = kafka.join().expect("the broker starts");
        let fronts = Fronts {
            kafka: kafka.behind_proxy(),
            postgres: Proxy::start(&format!("127.0.0.1:{}", postgres.port())),
            gcs: Proxy::start(gcs.endpoint().trim_start_matches("http://")),
            firestore: firestore.as_ref().map(|emulator| GrpcFront::start(emulator.host())),
        };
        Arc::new(Stage { fronts: Some(fronts), kafka, postgres, gcs, firestore })
    }

    /// The fronts of a stage that was started.
    pub fn fronts(&self) -> &Fronts {
        self.fronts.as_ref().expect("the shared stage has no fronts: use Stage::start()")
    }

    /// The variables of `jobs/image-metrics` for these services: Kafka over TLS with a client certificate and Postgres with
    /// full verification, or both plain through their fronts; the bucket's folder is `COLLECTION/analytics`.
    pub fn variables(
        &self,
        topic: &str,
        results: &str,
        collection: &str,
        database: &str,
    ) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("KAFKA_TOPIC", topic.into()),
            ("KAFKA_GROUP", format!("{topic}-group")),
            ("RESULTS_TOPIC", results.into()),
            ("POSTGRES_USER", self.postgres.user().into()),
            ("POSTGRES_PASSWORD", self.postgres.password().into()),
            ("RESULTS_BUCKET", self.gcs.url(&format!("{collection}/analytics"))),
        ];
        match &self.fronts {
            None => variables.extend(self.encrypted(database)),
            Some(fronts) => variables.extend([
                ("KAFKA_BROKERS", self.kafka.bootstrap(Listener::Proxied)),
                ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT".into()),
                ("POSTGRES_URL", format!("postgres://127.0.0.1:{}/{database}", fronts.postgres.port())),
                ("POSTGRES_SSLMODE", "disable".into()),
            ]),
        }
        if let Some(firestore) = &self.firestore {
            let front = self.fronts.as_ref().and_then(|fronts| fronts.firestore.as_ref());
            variables.push(("FIRESTORE_PROJECT", firestore.project().into()));
            variables.push(("FIRESTORE_COLLECTION", collection.into()));
            variables.push(("FIRESTORE_EMULATOR", front.map_or_else(|| firestore.host().into(), GrpcFront::host)));
        }
        variables
    }

    fn encrypted(&self, database: &str) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.display().to_string();
        let tls = self.kafka.tls();
        vec![
            ("KAFKA_BROKERS", self.kafka.bootstrap(Listener::Ssl)),
            ("KAFKA_SECURITY_PROTOCOL", "SSL".into()),
            ("KAFKA_CA", path(&tls.ca)),
            ("KAFKA_CERT", path(&tls.cert)),
            ("KAFKA_KEY", path(&tls.key)),
            ("POSTGRES_URL", self.postgres.url(database)),
            ("POSTGRES_SSLMODE", "verify-full".into()),
            ("POSTGRES_CA", path(self.postgres.ca())),
        ]
    }

    /// The environment of a job on these services: where the stores are.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = match &self.fronts {
            None => self.gcs.env(),
            Some(fronts) => Gcs::env_of(&format!("http://{}", fronts.gcs.host())),
        };
        env.extend(S3::try_shared().map(S3::env).unwrap_or_default());
        env
    }
}
