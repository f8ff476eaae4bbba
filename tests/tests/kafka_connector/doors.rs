//! The doors: TLS with client certificates, SCRAM over TLS; and what an operator reads when one stays shut.

use super::*;
use aqueduct_core::Hurdle;
use aqueduct_core::conformance::sink::{apply, batch, claim, spec};
use aqueduct_core::conformance::source::starts;
use aqueduct_tests::services::daemon::free_port;
use aqueduct_tests::services::{Record, unique};

/// Rows go in through the sink and come out through the source.
async fn passes(listener: Listener) {
    let (kafka, topic) = (Kafka::shared(), unique("door"));
    kafka.create_topic(&topic, 2);
    let options = door(kafka, listener, &topic);
    let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut sink = KafkaConnector.sink(&spec(&unique("t"), &borrowed, true)).expect("the options are right");
    sink.open(&claim(1)).await.expect("open");
    apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1), ("b", 2)])]).await.expect("apply");
    sink.close().await.expect("close");
    let rows = tokio::task::spawn_blocking(move || {
        let mut source = source(&options);
        let starts = aqueduct_core::conformance::source::starts(source.as_mut());
        read_rows(source.reader(starts).expect("a reader opens").as_mut(), 2).len()
    });
    assert_eq!(rows.await.expect("the rows come out"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_client_certificate() {
    passes(Listener::Ssl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_over_tls() {
    passes(Listener::SaslSsl).await;
}

/// Both sides fail to open with the same kind and words.
fn shut(options: &Pairs, kind: ErrorKind, parts: &[&str]) {
    let begin = Instant::now();
    let error = source(options).discover().expect_err("the door is shut");
    assert_error(&error, kind, parts);
    let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut sink = KafkaConnector.sink(&spec("t", &borrowed, true)).expect("the options are right");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = runtime.block_on(sink.open(&claim(1))).expect_err("the door is shut");
    assert_error(&error, kind, parts);
    eprintln!("{error} ({:?})", begin.elapsed());
}

/// A topic that is there, and its door.
fn there(listener: Listener) -> Pairs {
    let (kafka, topic) = (Kafka::shared(), unique("there"));
    kafka.create_topic(&topic, 1);
    kafka.produce(&topic, 0, [Record::value("{}")]);
    door(kafka, listener, &topic)
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

#[test]
fn a_wrong_authority_is_named() {
    let foreign = path(&Kafka::shared().tls().foreign_ca);
    let options = with(there(Listener::Ssl), &[("properties.ssl.truststore.location", &foreign)]);
    shut(&options, ErrorKind::FixConfig, &["certificate verify failed", "properties.ssl.ca.location"]);
}

#[test]
fn a_missing_or_foreign_client_certificate_is_named() {
    let missing = [("properties.ssl.certificate.location", ""), ("properties.ssl.key.location", "")];
    shut(&with(there(Listener::Ssl), &missing), ErrorKind::FixConfig, &["properties.ssl.certificate.location"]);
    let tls = Kafka::shared().tls();
    let (cert, key) = (path(&tls.foreign_cert), path(&tls.foreign_key));
    let foreign =
        [("properties.ssl.certificate.location", cert.as_str()), ("properties.ssl.key.location", key.as_str())];
    shut(&with(there(Listener::Ssl), &foreign), ErrorKind::FixConfig, &["properties.ssl.certificate.location"]);
}

#[test]
fn a_wrong_password_is_named_and_not_shown() {
    let options = with(there(Listener::SaslSsl), &[("properties.sasl.password", "wrong-secret")]);
    shut(&options, ErrorKind::FixConfig, &["Authentication failed", "properties.sasl.password"]);
    let error = source(&options).discover().expect_err("the door is shut");
    assert!(!format!("{error:?}").contains("wrong-secret"));
}

#[test]
fn a_certificate_for_another_host_is_named() {
    // Another spelling of 127.0.0.1, which the certificate does not know.
    let server = format!("127.1:{}", Kafka::shared().address().ssl);
    let options = with(there(Listener::Ssl), &[("properties.bootstrap.servers", &server)]);
    shut(&options, ErrorKind::FixConfig, &["properties.bootstrap.servers"]);
}

#[test]
fn a_missing_topic_is_named() {
    let topic = unique("nowhere");
    let options = door(Kafka::shared(), Listener::Plain, &topic);
    shut(&options, ErrorKind::FixConfig, &[&topic, "does not exist", "'topic'"]);
}

#[test]
fn an_unreachable_server_is_to_be_tried_again() {
    let server = format!("127.0.0.1:{}", free_port());
    let options = with(there(Listener::Plain), &[("properties.bootstrap.servers", &server)]);
    shut(&options, ErrorKind::Retry, &[&server, "refused"]);
    let options = with(there(Listener::Plain), &[("properties.bootstrap.servers", "no-such-host.invalid:9092")]);
    shut(&options, ErrorKind::Retry, &["no-such-host.invalid:9092"]);
}

#[test]
fn row_31_the_one_broker_of_many_that_is_out_of_reach_is_named() {
    let cluster = rdkafka::mocking::MockCluster::new(3).expect("librdkafka has a stand-in of its own");
    cluster.create_topic("mocked", 3, 1).expect("a topic");
    // Broker 2 takes connections and answers nothing, as behind a firewall that swallows.
    cluster.broker_round_trip_time(2, Duration::from_secs(600)).expect("there is a broker 2");
    let servers = cluster.bootstrap_servers();
    let first = servers.split(',').next().expect("three servers");
    let options = pairs(&[("topic", "mocked"), ("format", "json"), ("properties.bootstrap.servers", first)]);
    let error = source(&options).discover().expect_err("broker 2 is silent");
    assert_error(&error, ErrorKind::Retry, &["1 of the cluster's 3 brokers", "broker 2 at 127.0.0.1:", "no answer"]);
    cluster.broker_round_trip_time(2, Duration::ZERO).expect("it answers again");
    assert_eq!(source(&options).discover().expect("all are there").0.len(), 3);
}

#[test]
fn tls_to_a_plain_port_does_not_hang() {
    let plain = Kafka::shared().bootstrap(Listener::Plain);
    let options = with(there(Listener::SaslSsl), &[("properties.bootstrap.servers", &plain)]);
    let begin = Instant::now();
    source(&options).discover().expect_err("the door is shut");
    assert!(begin.elapsed() < Duration::from_secs(25));
}

#[test]
fn a_missing_right_is_named() {
    let kafka = own_broker();
    let (unreadable, read_only) = (unique("unreadable"), unique("read-only"));
    for (topic, operations) in [(&unreadable, &["Describe"][..]), (&read_only, &["Describe", "Read"])] {
        kafka.create_topic(topic, 1);
        kafka.allow_only(topic, operations);
    }
    let mut source = source(&door(&kafka, Listener::SaslSsl, &unreadable));
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).expect("a reader opens");
    let until = Instant::now() + Duration::from_secs(30);
    let error = loop {
        assert!(Instant::now() < until, "the refusal never comes");
        if let Err(error) = reader.read(BUDGET) {
            break error;
        }
    };
    assert_error(&error, ErrorKind::FixConfig, &[&unreadable, "grant READ and DESCRIBE"]);
    assert_eq!(error.hurdle(), Some(Hurdle::Permit));

    let options = door(&kafka, Listener::SaslSsl, &read_only);
    let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut sink = KafkaConnector.sink(&spec(&read_only, &borrowed, false)).expect("the options are right");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let job = aqueduct_core::JobName::new("suite").expect("a name");
    let error = runtime.block_on(sink.look(&job, aqueduct_core::ShardId(0))).expect_err("it may not write");
    assert_error(&error, ErrorKind::FixConfig, &[&read_only, "grant WRITE and DESCRIBE"]);
    assert_eq!(error.hurdle(), Some(Hurdle::Permit));
    let error = match runtime.block_on(sink.open(&claim(1))) {
        Err(error) => error,
        Ok(_) => runtime
            .block_on(apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]))
            .expect_err("it may not write"),
    };
    assert_error(&error, ErrorKind::FixConfig, &["WRITE"]);
}
