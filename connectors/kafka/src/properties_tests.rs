//! Holds `properties.rs` to what it says.

use super::*;

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut values: BTreeMap<String, String> =
        pairs.iter().map(|(k, v)| (format!("properties.{k}"), (*v).to_owned())).collect();
    values.entry("properties.bootstrap.servers".into()).or_insert("b1:9092,b2:9092".into());
    Options::new("events", values)
}

fn parse(pairs: &[(&str, &str)]) -> Result<Properties> {
    Properties::parse(&options(pairs), Side::Source)
}

fn message(pairs: &[(&str, &str)]) -> String {
    parse(pairs).expect_err("must be refused").message().to_owned()
}

#[test]
fn plaintext_is_the_default_and_empty_values_are_absent() {
    let properties =
        parse(&[("security.protocol", ""), ("auto.offset.reset", ""), ("fetch.max.wait.ms", "7")]).unwrap();
    assert_eq!(properties.get("security.protocol"), Some("plaintext"));
    assert_eq!(properties.get("fetch.wait.max.ms"), Some("7"));
    assert_eq!(properties.servers(), "b1:9092,b2:9092");
    assert!(properties.get("auto.offset.reset").is_none());
}

#[test]
fn scram_takes_the_password_from_jaas_or_from_its_own_option() {
    let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="ann" password="p=\"1;";"#;
    let properties =
        parse(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.jaas.config", jaas)])
            .unwrap();
    assert_eq!(properties.get("sasl.username"), Some("ann"));
    assert_eq!(properties.get("sasl.password"), Some("p=\"1;"));
    assert_eq!(properties.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));

    let text =
        message(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "ann")]);
    assert!(text.contains("properties.sasl.password"), "{text}");
}

#[test]
fn msk_iam_becomes_oauthbearer_over_tls() {
    let properties = parse(&[("sasl.mechanism", "AWS_MSK_IAM"), ("aws.region", "eu-west-1")]).unwrap();
    assert_eq!(properties.get("security.protocol"), Some("sasl_ssl"));
    assert_eq!(properties.get("sasl.mechanisms"), Some("OAUTHBEARER"));
    assert!(properties.tokens.is_some());
    let text =
        message(&[("sasl.mechanism", "AWS_MSK_IAM"), ("security.protocol", "SASL_PLAINTEXT"), ("aws.region", "x")]);
    assert!(text.contains("SASL_SSL"), "{text}");
}

#[test]
fn what_breaks_the_promise_is_refused_with_the_reason() {
    assert!(message(&[("enable.auto.commit", "true")]).contains("inside a checkpoint"));
    assert!(message(&[("auto.offset.reset", "latest")]).contains("scan.startup.mode"));
    assert!(message(&[("transactional.id", "x")]).contains("sink.transactional-id-prefix"));
    let sink = |key, value| Properties::parse(&options(&[(key, value)]), Side::Sink);
    assert!(sink("isolation.level", "read_uncommitted").is_err());
    assert!(sink("acks", "1").is_err());
    assert!(sink("acks", "all").is_ok());
    assert!(parse(&[("isolation.level", "read_uncommitted")]).is_ok());
}

#[test]
fn unknown_and_malformed_properties_are_named() {
    assert!(message(&[("max.poll.records", "5")]).contains("properties.max.poll.records"));
    assert!(message(&[("fetch.min.bytes", "many")]).contains("fetch.min.bytes"));
    assert!(message(&[("security.protocol", "TLS")]).contains("SASL_SSL"));
    assert!(message(&[("sasl.mechanism", "GSSAPI")]).contains("SCRAM-SHA-512"));
    assert!(message(&[("sasl.mechanism", "PLAIN")]).contains("security.protocol"));
    assert!(message(&[("security.protocol", "SASL_SSL")]).contains("sasl.mechanism"));
}

#[test]
fn tls_files_are_looked_at_before_anything_connects() {
    let text = message(&[("security.protocol", "SSL"), ("ssl.ca.location", "/nowhere/ca.pem")]);
    assert!(text.contains("/nowhere/ca.pem") && text.contains("ssl.ca.location"), "{text}");
    let text = message(&[("security.protocol", "SSL"), ("ssl.truststore.location", "/etc/trust.jks")]);
    assert!(text.contains("PEM"), "{text}");
    let text = message(&[("security.protocol", "SSL"), ("ssl.certificate.location", "/etc/hosts")]);
    assert!(text.contains("belong together"), "{text}");
    let properties = parse(&[("security.protocol", "SSL"), ("ssl.truststore.location", "/etc/hosts")]).unwrap();
    assert_eq!(properties.get("ssl.ca.location"), Some("/etc/hosts"));
    assert_eq!(properties.get("ssl.endpoint.identification.algorithm"), Some("https"));
}
