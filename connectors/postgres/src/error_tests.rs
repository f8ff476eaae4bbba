//! Holds `error.rs` to what it says.

use super::*;

fn address() -> Address {
    Address { host: "db".into(), port: 5432, database: "analytics".into(), username: "flink".into(), password: None }
}

#[test]
fn states_say_what_to_do() {
    for state in [
        "08006", "57P01", "57P02", "57P03", "57014", "40001", "40P01", "53300", "53100", "55P03", "25006", "58030",
        "25P03",
    ] {
        assert_eq!(kind_of(state), ErrorKind::Retry, "{state}");
    }
    for state in ["28P01", "28000", "3D000", "42501", "42P01", "42703", "3F000", "57P04"] {
        assert_eq!(kind_of(state), ErrorKind::FixConfig, "{state}");
    }
    for state in ["22001", "22P02", "22021", "23502", "23505", "23514", "21000"] {
        assert_eq!(kind_of(state), ErrorKind::FixData, "{state}");
    }
    assert_eq!(kind_of(""), ErrorKind::Retry);
}

#[test]
fn io_errors_are_retried_and_tls_errors_are_not() {
    let refused = Failure::from(sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()));
    let error = connecting(&address(), refused);
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.message().contains("flink@db:5432/analytics cannot be reached"), "{error}");
    let unknown = io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
    let error = connecting(&address(), Failure::from(sqlx::Error::Io(unknown)));
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(error.message().contains("UnknownIssuer") && error.message().contains("'ssl-root-cert'"), "{error}");
    let silent = statement(&address(), "table 'x': epoch 3", Failure::Silent(Duration::from_secs(75)));
    assert_eq!(silent.kind(), ErrorKind::Retry);
    assert!(
        silent.message().starts_with("table 'x': epoch 3: postgres flink@db:5432/analytics: no answer within 75 s"),
        "{silent}"
    );
}
