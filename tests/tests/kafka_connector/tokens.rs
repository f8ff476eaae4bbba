//! OAUTHBEARER over TLS: the unmodified AWS signer against a broker that checks its signature, and tokens that run out
//! while a reader reads; and a broker that advertises an address where it cannot be reached.
//!
//! The broker is this file's own, since its doors are.

use super::*;
use aqueduct_core::conformance::sink::{apply, batch, claim, spec};
use aqueduct_core::conformance::source::starts;
use aqueduct_tests::main_job::binary;
use aqueduct_tests::services::daemon::{Daemon, Scratch, free_port, listens, run};
use aqueduct_tests::services::kafka::KAFKA_VERSION;
use aqueduct_tests::services::{Clouds, Refusal, TlsFiles, cache_dir, clouds};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::process::Command;

struct Broker {
    plain: u16,
    /// Takes what the AWS signer makes.
    iam: u16,
    /// Takes unsigned tokens; ends a session when its token ends.
    unsecured: u16,
    /// Answers, and tells the address `gone`, behind which there is nobody.
    lost: u16,
    gone: u16,
    tls: TlsFiles,
    _daemon: Daemon,
    _scratch: Scratch,
}

fn java(classes: &std::path::Path) -> Command {
    let jars = cache_dir().join(format!("kafka-{KAFKA_VERSION}"));
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(format!("{}/*:{}", jars.display(), classes.display()));
    command
}

impl Broker {
    fn start() -> Broker {
        let scratch = Scratch::new("kafka-tokens");
        let dir = scratch.path();
        let tls = TlsFiles::make(&dir.join("tls"));
        let (plain, iam, unsecured, controller) = (free_port(), free_port(), free_port(), free_port());
        let (lost, gone) = (free_port(), free_port());
        let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("just made");
        std::fs::write(dir.join("server.pem"), format!("{}{}", read(&tls.server_key), read(&tls.server_cert)))
            .expect("writable");
        std::fs::write(dir.join("IamHandler.java"), include_str!("IamHandler.java")).expect("writable");
        let jars = cache_dir().join(format!("kafka-{KAFKA_VERSION}"));
        run(Command::new("javac")
            .current_dir(dir)
            .arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .arg("IamHandler.java"));
        let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAIN\n\
             listeners=PLAIN://127.0.0.1:{plain},IAM://127.0.0.1:{iam},OPEN://127.0.0.1:{unsecured},LOST://127.0.0.1:{lost},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAIN://127.0.0.1:{plain},IAM://localhost:{iam},OPEN://localhost:{unsecured},LOST://127.0.0.1:{gone},CONTROLLER://127.0.0.1:{controller}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,IAM:SASL_SSL,OPEN:SASL_SSL,LOST:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={dir}/data\nssl.keystore.type=PEM\nssl.keystore.location={dir}/server.pem\nsasl.enabled.mechanisms=OAUTHBEARER\n\
             listener.name.iam.oauthbearer.sasl.jaas.config={login};\n\
             listener.name.iam.oauthbearer.sasl.server.callback.handler.class=IamHandler\n\
             listener.name.iam.oauthbearer.sasl.login.callback.handler.class=IamHandler\n\
             listener.name.open.oauthbearer.sasl.jaas.config={login} unsecuredLoginStringClaim_sub=\"broker\";\n\
             listener.name.open.oauthbearer.connections.max.reauth.ms=60000\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n",
            dir = dir.display()
        );
        std::fs::write(dir.join("server.properties"), settings).expect("writable");
        let format =
            ["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", "QXF1ZWR1Y3QtdGVzdHMtMQ", "--config"];
        run(java(dir).args(format).arg(dir.join("server.properties")));
        let mut command = java(dir);
        command.arg("kafka.Kafka").arg(dir.join("server.properties")).current_dir(dir);
        let mut daemon = Daemon::spawn("kafka with tokens", command, &dir.join("kafka.log"));
        daemon.wait_until(Duration::from_secs(90), || [plain, iam, unsecured].iter().all(|port| listens(*port)));
        let broker = Broker { plain, iam, unsecured, lost, gone, tls, _daemon: daemon, _scratch: scratch };
        broker.create_topic("tokens");
        broker
    }

    fn create_topic(&self, name: &str) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", format!("127.0.0.1:{}", self.plain));
        let admin: AdminClient<DefaultClientContext> = config.create().expect("the settings are ours");
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let topic = NewTopic::new(name, 2, TopicReplication::Fixed(1));
        let made = futures::executor::block_on(admin.create_topics([&topic], &options)).expect("the broker answers");
        made[0].as_ref().expect("the topic is made");
    }

    fn door(&self, port: u16) -> Pairs {
        let (server, ca) = (format!("localhost:{port}"), self.tls.ca.display().to_string());
        pairs(&[
            ("topic", "tokens"),
            ("format", "json"),
            ("properties.bootstrap.servers", &server),
            ("properties.security.protocol", "SASL_SSL"),
            ("properties.ssl.ca.location", &ca),
        ])
    }
}

fn sink(options: &Pairs, table: &str) -> Box<dyn aqueduct_core::Sink> {
    let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    KafkaConnector.sink(&spec(table, &borrowed, false)).expect("the options are right")
}

/// This test binary again, with AWS credentials in its environment, on one test that does nothing without them.
fn with_credentials(secret: &str, options: &Pairs) -> std::process::Output {
    let mut child = Command::new(std::env::current_exe().expect("a running test has a file"));
    child.args(["--exact", "tokens::signs_when_there_are_credentials", "--nocapture"]);
    child
        .env("AWS_ACCESS_KEY_ID", "AKIDTESTS")
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    child.env("AQUEDUCT_IAM_TEST", serde_json::to_string(options).expect("text is JSON"));
    child.output().expect("it runs again")
}

#[test]
fn signs_when_there_are_credentials() {
    let Ok(options) = std::env::var("AQUEDUCT_IAM_TEST") else { return };
    let options: Pairs = serde_json::from_str(&options).expect("the parent wrote it");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut sink = sink(&options, "iam");
    let opened = runtime.block_on(sink.open(&claim(1)));
    if let Err(error) = opened {
        println!("kind {:?}: {error}", error.kind());
        std::process::exit(9);
    }
    runtime.block_on(apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1), ("b", 2)])])).expect("apply");
    runtime.block_on(sink.close()).expect("close");
    let mut source = source(&options);
    let begin = starts(source.as_mut());
    assert_eq!(read_rows(source.reader(begin).expect("a reader opens").as_mut(), 2).len(), 2);
}

fn signed_by_aws(broker: &Broker) {
    let options = with(
        broker.door(broker.iam),
        &[("properties.sasl.mechanism", "AWS_MSK_IAM"), ("properties.aws.region", "eu-west-1")],
    );
    let good = with_credentials("test-secret", &options);
    assert!(
        good.status.success(),
        "{}{}",
        String::from_utf8_lossy(&good.stdout),
        String::from_utf8_lossy(&good.stderr)
    );
    let bad = with_credentials("another-secret", &options);
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(9), "{said}");
    assert!(said.contains("kind FixConfig"), "{said}");
    assert!(!said.contains("another-secret"), "{said}");
}

fn renewed_while_reading(broker: &Broker) {
    let more = [
        ("properties.sasl.mechanism", "OAUTHBEARER"),
        ("properties.enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("properties.sasl.oauthbearer.config", "principal=ann lifeSeconds=12"),
    ];
    broker.create_topic("renewed");
    let options = with(with(broker.door(broker.unsecured), &more), &[("topic", "renewed")]);
    let mut source = source(&options);
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).expect("a reader opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut sink = sink(&options, "renewed");
    runtime.block_on(sink.open(&claim(1))).expect("open");
    // Two lives of a token.
    for epoch in 1..=26 {
        runtime.block_on(apply(sink.as_mut(), &claim(1), epoch - 1, epoch, vec![batch(&[("a", 1)])])).expect("apply");
        assert_eq!(read_rows(reader.as_mut(), 1).len(), 1, "epoch {epoch}");
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert!(matches!(reader.read(BUDGET), Ok(Read::Empty)));
        }
    }
    source.discover().expect("the questions' client renews too");
}

fn named_when_its_address_leads_nowhere(broker: &Broker) {
    let server = format!("127.0.0.1:{}", broker.lost);
    let options = pairs(&[("topic", "tokens"), ("format", "json"), ("properties.bootstrap.servers", &server)]);
    let error = source(&options).discover().expect_err("nobody is at the advertised address");
    assert_error(
        &error,
        ErrorKind::Retry,
        &["broker 1 at", &format!("127.0.0.1:{}", broker.gone), "refused", "advertise"],
    );
}

/// A job that reads the topic through the IAM door, with no AWS keys but the role that its Google identity may take.
struct Keyless<'a> {
    clouds: &'a Clouds,
    folder: Scratch,
}

impl<'a> Keyless<'a> {
    fn new(broker: &Broker, clouds: &'a Clouds) -> Self {
        let folder = Scratch::new("keyless");
        let (iam, ca) = (broker.iam, broker.tls.ca.display());
        let sql = format!(
            "CREATE TABLE s (id STRING) WITH ('connector' = 'kafka', 'topic' = 'tokens', 'format' = 'json', 'properties.bootstrap.servers' = \
             'localhost:{iam}', 'properties.sasl.mechanism' = 'AWS_MSK_IAM', 'properties.aws.region' = 'eu-west-1', \
             'properties.ssl.ca.location' = '{ca}');\nCREATE TABLE o (id STRING) WITH ('connector' = 'print');\nINSERT INTO o SELECT id FROM s;\n"
        );
        std::fs::write(folder.path().join("job.sql"), sql).expect("writable");
        Keyless { clouds, folder }
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(verb).arg(self.folder.path()).current_dir(self.folder.path()).env("TMPDIR", self.folder.path());
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.envs(self.clouds.env_without_keys()).env("AWS_ROLE_ARN", clouds::ROLE);
        command.env("AQUEDUCT_AWS_WEB_IDENTITY", "google").env("AQUEDUCT_AWS_AUDIENCE", "aqueduct-tests");
        command
    }

    /// `check --connect` ends with `code`, and says all `parts`.
    fn checked(&self, more: &[(&str, &str)], code: i32, parts: &[&str]) {
        let mut command = self.command(&["check", "--connect"]);
        let output = command.envs(more.iter().copied()).output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in parts {
            assert!(said.contains(part), "'{part}' is not in\n{said}");
        }
        assert!(!said.contains(clouds::SECRET_KEY) && !said.contains("c2lnbmF0dXJl"), "{said}");
        let left = std::fs::read_dir(self.folder.path()).expect("it is there").flatten();
        assert!(
            left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("identity")),
            "no token is left"
        );
    }
}

fn taken_by_a_google_identity(broker: &Broker) {
    let clouds = Clouds::start();
    let job = Keyless::new(broker, &clouds);
    job.checked(&[], 0, &["aws-identity", "all can be used"]);
    assert!(clouds.asked("/identity") == 1 && clouds.asked("POST /") >= 1, "STS was asked");
    for (refusal, parts) in [
        (Refusal::RoleForbidden, ["AccessDenied", "the role's trust policy does not let this identity take it"]),
        (Refusal::IdentityExpired, ["ExpiredToken", "check its clock (NTP), the audience"]),
        (Refusal::IdentityFromTheFuture, ["InvalidIdentityToken", "check its clock (NTP), the audience"]),
    ] {
        clouds.refuse(refusal);
        job.checked(&[], 2, &["s is broken", parts[0], parts[1]]);
        clouds.heal();
    }
    job.checked(&[("AQUEDUCT_AWS_AUDIENCE", "another")], 2, &["InvalidIdentityToken", "the audience"]);
    job.checked(&[("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")], 4, &["s is broken", "dispatch failure"]);
    job.checked(&[("AWS_ROLE_ARN", "")], 2, &["aws-identity is broken", "needs the ARN of the role"]);
    clouds.refuse(Refusal::NoIdentity);
    job.checked(&[], 2, &["aws-identity is broken", "no token of this machine's Google identity"]);
    clouds.heal();
    // A token that lives shortly is replaced while the job runs, again and again.
    clouds.identities_live(6);
    let before = clouds.asked("/identity");
    let mut run = Daemon::spawn("aqueduct", job.command(&["run"]), &job.folder.path().join("run.log"));
    run.wait_until(Duration::from_secs(60), || clouds.asked("/identity") >= before + 3);
    run.signal(libc::SIGTERM);
    let status = run.wait(Duration::from_secs(60));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    assert!(!run.log().contains("cannot be renewed"), "{}", run.log());
}

#[test]
fn row_28_tokens_open_the_door_and_are_renewed() {
    let broker = Broker::start();
    taken_by_a_google_identity(&broker);
    named_when_its_address_leads_nowhere(&broker);
    signed_by_aws(&broker);
    renewed_while_reading(&broker);
}
