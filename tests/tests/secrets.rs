//! Secrets of the clouds' managers, from outside: they open the doors, are never shown, are read again when they rotate; and what a
//! person reads when they cannot be had. The managers are stand-ins, what they open is real.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Said, Start};
use aqueduct_tests::services::daemon::Daemon;
use aqueduct_tests::services::{Clouds, Kafka, Listener, Postgres, Refusal};
use std::time::{Duration, Instant};

const CONFIGURATION: i32 = 2;
const RETRY: i32 = 4;

const OF_GOOGLE: &str = "projects/my-project/secrets/postgres";
const OF_AWS: &str = "AmazonMSK_aqueduct";

fn set(name: &str, value: &str) -> [String; 2] {
    ["--set".to_owned(), format!("{name}={value}")]
}

/// A start that finds the stand-ins, with the Postgres password from a manager.
fn start(clouds: &Clouds, reference: &str) -> Start {
    Start { more: set("POSTGRES_PASSWORD", reference).into(), env: clouds.env(), ..Start::default() }
}

fn check(job: &MainJob, start: &Start) -> Said {
    let mut more: Vec<&str> = start.more.iter().map(String::as_str).collect();
    more.push("--connect");
    job.verb(start, &["check"], &more)
}

#[tokio::test]
async fn managers_open_the_doors_and_nothing_shows_what_they_hold() {
    let (clouds, job) = (Clouds::start(), MainJob::prepare("managers", 300, 7).await);
    let (kafka, postgres) = (Kafka::shared(), Postgres::shared());
    clouds.put(OF_GOOGLE, &format!("{}\n", postgres.password()));
    let of_aws = serde_json::json!({"username": kafka.user(), "password": kafka.password()}).to_string();
    clouds.put(OF_AWS, &of_aws);
    let sasl = format!(
        "'properties.sasl.mechanism' = 'SCRAM-SHA-512',\n    'properties.sasl.username' = '${{secret:aws:{OF_AWS}#username}}',\n    \
         'properties.sasl.password' = '${{secret:aws:{OF_AWS}#password}}',\n    "
    );
    for table in ["'scan.startup.mode'", "'sink.delivery-guarantee'"] {
        job.edit(table, &format!("{sasl}{table}"));
    }
    let mut start = start(&clouds, &format!("${{secret:gcp:{OF_GOOGLE}}}"));
    let door = kafka.bootstrap(Listener::SaslSsl);
    for (name, value) in
        [("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("KAFKA_BROKERS", &door), ("KAFKA_CERT", ""), ("KAFKA_KEY", "")]
    {
        start.more.extend(set(name, value));
    }
    // Everything that any library says, too.
    start.env.push(("RUST_LOG".into(), "debug".into()));
    let mut said = Vec::new();
    let plain = job.verb(&start, &["check"], &start.more.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((plain.code, clouds.asked("")), (Some(0), 0), "check asks nobody: {}{}", plain.out, plain.err);
    let looked = check(&job, &start).expect(0, &["all can be used"]);
    let mut run = job.start(&start);
    let status = run.wait(Duration::from_secs(120));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    job.verify(&start).await;
    assert!(clouds.asked(":access") >= 2 && clouds.asked("GetSecretValue") >= 2);
    // And one that is wrong, whose error might show it.
    clouds.put(OF_GOOGLE, "quite-another-word");
    let wrong =
        check(&job, &start).expect(CONFIGURATION, &["the password was read again where it is kept, and is refused"]);
    said.extend([plain.out, plain.err, looked.out, looked.err, run.log(), wrong.out, wrong.err]);
    let log = said.concat();
    assert!(log.contains("DEBUG") && log.len() > 10_000, "the log is there: {} bytes", log.len());
    let tokens: Vec<String> = (1..=9).map(|number| format!("google-{number}")).collect();
    let mut secrets = vec![postgres.password(), kafka.password(), "quite-another-word", "test-secret", of_aws.as_str()];
    secrets.extend(tokens.iter().map(String::as_str));
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "'{secret}' is shown: {}", line.unwrap_or_default());
    }
}

/// What a refusal makes of `check --connect` and of `run`: the table that needs the secret is broken, nothing else.
fn refused(job: &MainJob, start: &Start, code: i32, parts: &[&str]) {
    let said = check(job, start).expect(code, parts);
    assert!(said.out.contains("1 cannot be used") && said.out.contains("analytics_metrics is broken"), "{}", said.out);
}

#[tokio::test]
async fn what_a_person_reads_when_secret_manager_refuses() {
    let (clouds, job) = (Clouds::start(), MainJob::prepare("secret-manager", 300, 7).await);
    clouds.put(OF_GOOGLE, Postgres::shared().password());
    let start = |reference: &str| start(&clouds, reference);
    let good = start(&format!("${{secret:gcp:{OF_GOOGLE}/versions/latest}}"));
    check(&job, &good).expect(0, &["all can be used"]);
    let named = "the secret 'secret:gcp:projects/my-project/secrets/postgres/versions/latest' cannot be read";
    for (refusal, code, parts) in [
        (Refusal::SecretForbidden, CONFIGURATION, ["permission denied", "grant roles/secretmanager.secretAccessor"]),
        (Refusal::TokenRefused, CONFIGURATION, ["also a new one", "check the application default credentials"]),
        (Refusal::Down, RETRY, ["503", "try again later"]),
        (
            Refusal::NoIdentity,
            CONFIGURATION,
            ["no token of this machine's Google identity", "GOOGLE_APPLICATION_CREDENTIALS"],
        ),
    ] {
        clouds.refuse(refusal);
        refused(&job, &good, code, &[named, "table 'analytics_metrics', option 'password'", parts[0], parts[1]]);
        clouds.heal();
    }
    // A token that has run out is replaced, once, and nobody notices.
    let before = clouds.asked(":access");
    clouds.refuse(Refusal::OldTokens);
    check(&job, &good).expect(0, &["all can be used"]);
    assert_eq!(clouds.asked(":access"), before + 2);
    clouds.heal();
    let missing = start("${secret:gcp:projects/my-project/secrets/nowhere}");
    refused(
        &job,
        &missing,
        CONFIGURATION,
        &["nowhere/versions/latest does not exist", "check project, name and version"],
    );
    // A start says the same, with the same code.
    let mut run = job.start(&missing);
    assert_eq!(run.wait(Duration::from_secs(60)).and_then(|status| status.code()), Some(CONFIGURATION));
    assert!(run.log().contains("nowhere/versions/latest does not exist"), "{}", run.log_tail());
    let wrong = start("${secret:gcp:nowhere}");
    refused(&job, &wrong, CONFIGURATION, &["projects/PROJECT/secrets/NAME"]);
}

#[tokio::test]
async fn what_a_person_reads_when_secrets_manager_refuses() {
    let (clouds, job) = (Clouds::start(), MainJob::prepare("secrets-manager", 300, 7).await);
    clouds.put(OF_AWS, &serde_json::json!({"password": Postgres::shared().password()}).to_string());
    let start = |reference: &str| start(&clouds, reference);
    let good = start(&format!("${{secret:aws:{OF_AWS}#password}}"));
    check(&job, &good).expect(0, &["all can be used"]);
    let named = "the secret 'secret:aws:AmazonMSK_aqueduct#password' cannot be read";
    for (refusal, code, parts) in [
        (
            Refusal::AwsForbidden,
            CONFIGURATION,
            ["permission denied", "allow secretsmanager:GetSecretValue on 'AmazonMSK_aqueduct'"],
        ),
        (Refusal::AwsSkewed, CONFIGURATION, ["the signature's time", "set this machine's clock (NTP)"]),
        (Refusal::Down, RETRY, ["InternalServiceError", "try again later"]),
    ] {
        clouds.refuse(refusal);
        refused(&job, &good, code, &[named, parts[0], parts[1]]);
        clouds.heal();
    }
    let stranger =
        Start { env: [good.env.clone(), vec![("AWS_ACCESS_KEY_ID".into(), "AKIDOTHER".into())]].concat(), ..good };
    refused(&job, &stranger, CONFIGURATION, &["refuses the credentials", "check the AWS credentials"]);
    refused(
        &job,
        &start("${secret:aws:nowhere}"),
        CONFIGURATION,
        &["'nowhere' does not exist", "check its name and the region"],
    );
    let field = start(&format!("${{secret:aws:{OF_AWS}#passwort}}"));
    refused(&job, &field, CONFIGURATION, &["no field 'passwort'; its fields are: password"]);
    let mut keyless = clouds.env_without_keys();
    keyless.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), String::new())));
    let none = Start { env: keyless, ..start(&format!("${{secret:aws:{OF_AWS}#password}}")) };
    refused(&job, &none, CONFIGURATION, &["no AWS credentials", "set the AWS_* variables"]);
}

fn until(run: &mut Daemon, what: &str, mut holds: impl FnMut(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !holds(&run.log()) {
        assert!(run.wait(Duration::from_millis(100)).is_none(), "it ended before {what}:\n{}", run.log_tail());
        assert!(Instant::now() < deadline, "no {what}:\n{}", run.log_tail());
    }
}

/// The database has the new password first, the secret follows, and the running job goes on with it: nobody restarts anything.
#[tokio::test]
async fn row_30_a_rotated_database_password_is_read_again_while_the_job_runs() {
    let (clouds, job) = (Clouds::start(), MainJob::prepare_slow("rotated", 6_000, 7, 20).await);
    let user = format!("rotated_{}", std::process::id());
    let mut database = Postgres::shared().connect(job.database()).await;
    let mut change = async |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
    change(format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'the-first-word'; GRANT SELECT, INSERT, UPDATE ON analytics_metrics TO {user}; \
         GRANT CREATE ON SCHEMA public TO {user}"
    ))
    .await;
    clouds.put(OF_GOOGLE, "the-first-word");
    let mut start = start(&clouds, &format!("${{secret:gcp:{OF_GOOGLE}}}"));
    start.more.extend(set("POSTGRES_USER", &user));
    let mut run = job.start(&start);
    job.until_epoch(&start, &mut run, 2);
    let asked = clouds.asked(":access");
    change(format!("ALTER ROLE {user} PASSWORD 'the-second-word'")).await;
    change(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'")).await;
    until(&mut run, "a refused login", |log| log.contains("it worked before, so it is tried again"));
    assert!(clouds.asked(":access") > asked, "the manager is asked again");
    clouds.put(OF_GOOGLE, "the-second-word");
    until(&mut run, "a login with the new one", |log| {
        log.contains("the password has changed: logging in with the new one")
    });
    job.read_freely();
    let status = run.wait(Duration::from_secs(120));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    assert!(!run.log().contains("the-first-word") && !run.log().contains("the-second-word"));
    job.verify(&start).await;
}
