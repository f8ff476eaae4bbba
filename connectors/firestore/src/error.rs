//! What went wrong in Firestore, as what the operator does next.

use crate::config::Location;
use aqueduct_core::{Error, ErrorKind, Hurdle, with_causes};
use std::time::Duration;
use tonic::{Code, Status};

/// What to do where nobody answers.
pub(crate) const NETWORK: &str = "check the network (for an emulator: that it runs, and 'emulator-host')";

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server's answer, or the client's own in its name.
    #[error("{0}")]
    Status(#[from] Box<Status>),
    /// No answer in time: what became of the call is not known.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
}

impl Failure {
    /// The server's code, if it answered.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Failure::Status(status) => Some(status.code()),
            Failure::Silent(_) => None,
        }
    }

    /// Whether a precondition of a commit did not hold, or lost a race: the fence must be looked at.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists | Code::NotFound))
    }

    /// Whether the database is not there. A document that is not there is told by the same code, in other words.
    pub(crate) fn is_missing_database(&self) -> bool {
        match self {
            Failure::Status(status) if status.code() == Code::NotFound => {
                let text = status.message();
                text.contains("database") && text.contains("does not exist")
            }
            _ => false,
        }
    }
}

/// What is done about a code, outside of the fence's preconditions.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFound | Code::Unimplemented => ErrorKind::FixConfig,
        // Outside of a fence's precondition this is a database in Datastore mode.
        Code::FailedPrecondition => ErrorKind::FixConfig,
        Code::InvalidArgument | Code::OutOfRange | Code::DataLoss => ErrorKind::FixData,
        // Unavailable, deadlines, quotas, contention, internal and unknown errors may pass.
        _ => ErrorKind::Retry,
    }
}

/// An error of a call. `doing` says which table and what for, such as `table 'x': epoch 7`.
pub(crate) fn call(location: &Location, doing: &str, failure: Failure) -> Error {
    let status = match failure {
        Failure::Status(status) => status,
        Failure::Silent(_) => {
            return Error::retry(format!("{doing}: firestore {location}: {failure}")).at(Hurdle::Reach);
        }
    };
    let credentials = credentials_failure(&status);
    let kind = match credentials {
        Some(transient) if transient => ErrorKind::Retry,
        Some(_) => ErrorKind::FixConfig,
        None => kind_of(status.code()),
    };
    let next = match status.code() {
        _ if credentials.is_some() => "; check the application default credentials of this machine",
        Code::Unauthenticated => "; check the application default credentials of this machine",
        Code::PermissionDenied => "; the service account needs the role datastore.user",
        Code::NotFound => "; check 'project-id' and 'database'",
        Code::FailedPrecondition => "; the database must be in native mode",
        _ => "",
    };
    let hurdle = match status.code() {
        _ if credentials.is_some() => Hurdle::Authenticate,
        Code::Unauthenticated => Hurdle::Authenticate,
        Code::PermissionDenied | Code::NotFound | Code::Unimplemented => Hurdle::Permit,
        Code::FailedPrecondition | Code::InvalidArgument | Code::OutOfRange | Code::DataLoss => Hurdle::Fit,
        _ => Hurdle::Reach,
    };
    let message = format!("{doing}: firestore {location}: {} [{:?}]{next}", told(&status), status.code());
    Error::new(kind, message).at(hurdle).with_source(*status)
}

/// An error of connecting.
pub(crate) fn connecting(address: &str, cause: &(dyn std::error::Error + 'static)) -> Error {
    Error::retry(format!("firestore at {address} cannot be reached: {}; {NETWORK}", with_causes(cause)))
        .at(Hurdle::Reach)
}

/// An error of the client library while it connects or looks for credentials.
pub(crate) fn preparing(address: &str, error: gcloud_sdk::error::Error) -> Error {
    use gcloud_sdk::error::ErrorKind as Kind;
    match error.kind() {
        Kind::GrpcStatus(cause) => connecting(address, cause),
        Kind::Credentials(cause) if cause.is_transient() => {
            Error::retry(format!("no credentials for {address} yet: {}", with_causes(cause))).at(Hurdle::Authenticate)
        }
        _ => Error::config(format!(
            "no credentials for {address}: {}; set GOOGLE_APPLICATION_CREDENTIALS, run where a service account is, \
             or use 'emulator-host'",
            with_causes(&error)
        ))
        .at(Hurdle::Authenticate),
    }
    .with_source(error)
}

/// Whether the call failed for want of a token, and if so, whether that may pass.
fn credentials_failure(status: &Status) -> Option<bool> {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<gcloud_sdk::error::Error>() {
            return match error.kind() {
                gcloud_sdk::error::ErrorKind::Credentials(cause) => Some(cause.is_transient()),
                gcloud_sdk::error::ErrorKind::CredentialsBuild(_) => Some(false),
                _ => None,
            };
        }
        cause = error.source();
    }
    None
}

/// The status' message, with the causes of the client's own errors, whose message alone says little.
fn told(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => with_causes(cause),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
