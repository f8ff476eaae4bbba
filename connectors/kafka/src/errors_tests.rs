//! Holds `errors.rs` to what it says.

use super::*;

fn complaint(code: Code, text: &str) -> Complaint {
    Complaint { code, text: text.to_owned() }
}

#[test]
fn lasting_and_passing_failures_are_told_apart() {
    let wrong_ca = complaint(
        Code::SSL,
        "ssl://localhost:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
         certificate could not be verified (after 7ms in state SSL_HANDSHAKE)",
    );
    assert_eq!(wrong_ca.kind(), ErrorKind::FixConfig);
    assert!(wrong_ca.advice().contains("ssl.ca.location"), "{}", wrong_ca.advice());
    assert!(wrong_ca.to_string().ends_with("could not be verified"), "{wrong_ca}");

    let no_certificate = complaint(
        Code::BrokerTransportFailure,
        "ssl://localhost:9093/bootstrap: Disconnected: SSL error: ssl/tls alert bad certificate",
    );
    assert_eq!(no_certificate.kind(), ErrorKind::FixConfig);
    assert!(no_certificate.advice().contains("ssl.certificate.location"));

    let password = complaint(Code::Authentication, "SASL authentication error: Authentication failed");
    assert_eq!(password.kind(), ErrorKind::FixConfig);
    assert!(password.advice().contains("sasl.password"));

    let refused = complaint(
        Code::BrokerTransportFailure,
        "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
    );
    assert_eq!(refused.kind(), ErrorKind::Retry);
    assert_eq!(complaint(Code::AllBrokersDown, "1/1 brokers are down").kind(), ErrorKind::Retry);
    assert_eq!(complaint(Code::AutoOffsetReset, "").kind(), ErrorKind::FixData);
}

#[test]
fn a_bad_property_does_not_show_its_value() {
    let error = rdkafka::ClientConfig::new().set("sasl.password.file", "hunter2").create_native_config().err();
    let text = text_of(&error.expect("no such property"));
    assert!(text.contains("sasl.password.file"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn row_28_a_token_that_cannot_be_had_is_no_wrong_login() {
    let missing = complaint(Code::Authentication, "Failed to acquire SASL OAUTHBEARER token: dispatch failure");
    assert!(token_missing(&missing));
    assert!(!token_missing(&complaint(Code::Authentication, "SASL authentication error: Authentication failed")));
    assert!(!token_missing(&complaint(Code::SaslAuthenticationFailed, "Access denied")));
}
