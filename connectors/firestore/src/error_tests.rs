//! Holds `error.rs` to what it says.

use super::*;

fn location() -> Location {
    Location { project: "acme".into(), database: "(default)".into() }
}

fn status(code: Code) -> Failure {
    Failure::from(Box::new(Status::new(code, "because")))
}

#[test]
fn codes_say_what_to_do() {
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Internal,
        Code::Unknown,
        Code::Cancelled,
    ] {
        assert_eq!(kind_of(code), ErrorKind::Retry, "{code:?}");
    }
    for code in [Code::Unauthenticated, Code::PermissionDenied, Code::NotFound, Code::FailedPrecondition] {
        assert_eq!(kind_of(code), ErrorKind::FixConfig, "{code:?}");
    }
    assert_eq!(kind_of(Code::InvalidArgument), ErrorKind::FixData);
}

#[test]
fn messages_say_where_and_what_next() {
    let error = call(&location(), "table 't': epoch 4", status(Code::PermissionDenied));
    assert_eq!(
        error.message(),
        "table 't': epoch 4: firestore projects/acme/databases/(default): because [PermissionDenied]; \
         the service account needs the role datastore.user"
    );
    let silent = call(&location(), "table 't': epoch 4", Failure::Silent(Duration::from_secs(60)));
    assert_eq!((silent.kind(), silent.message().ends_with("no answer within 60 s")), (ErrorKind::Retry, true));
}

#[test]
fn refusals_are_the_codes_of_preconditions() {
    for code in [Code::FailedPrecondition, Code::Aborted, Code::AlreadyExists, Code::NotFound] {
        assert!(status(code).is_refusal());
    }
    assert!(!status(Code::Unavailable).is_refusal() && !Failure::Silent(Duration::ZERO).is_refusal());
}
