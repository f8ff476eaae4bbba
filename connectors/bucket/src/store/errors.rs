//! What errors of stores mean for the operator. It retries nothing and reads nothing back.

use aqueduct_core::{Error, Hurdle};
use std::error::Error as StdError;
use std::io::ErrorKind as IoKind;

/// What to do next about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    FindBucket,
    GrantRights,
    GiveCredentials,
    FixRequest,
    FixPath,
    TryAgain,
}

/// What a store's error means for the operator. `what` says what was tried and on which object, with its bucket:
/// `writing gs://bucket/folder/object`. An object that may be missing is looked for by the caller first: here *not
/// found* means that the bucket or folder does not exist.
pub fn store_error(error: object_store::Error, what: &str) -> Error {
    let cause = cause(&error);
    let next = next(&error);
    let hurdle = match next {
        Next::FindBucket | Next::GrantRights | Next::FixRequest | Next::FixPath => Hurdle::Permit,
        Next::GiveCredentials => Hurdle::Authenticate,
        Next::TryAgain if asks_for_token(&error) => Hurdle::Authenticate,
        Next::TryAgain => Hurdle::Reach,
    };
    let made = match next {
        Next::FindBucket => Error::config(format!(
            "{what}: not found ({cause}): check that the bucket exists and that its name and the path are right"
        )),
        Next::GrantRights => Error::config(format!(
            "{what}: permission denied ({cause}): give the job's identity the right to read, create, list and delete \
             objects there"
        )),
        Next::GiveCredentials => Error::config(format!(
            "{what}: the credentials are missing or were refused ({cause}): check the service account or access key"
        )),
        Next::FixRequest => {
            Error::config(format!("{what}: the store refuses the request ({cause}): check bucket, region and endpoint"))
        }
        Next::FixPath => Error::config(format!("{what}: {cause}: check the path and its permissions")),
        Next::TryAgain if asks_for_token(&error) => Error::retry(format!(
            "{what}: no credentials could be fetched ({cause}): set GOOGLE_APPLICATION_CREDENTIALS or the AWS_* variables, \
             or run where the machine has an identity"
        )),
        Next::TryAgain => Error::retry(format!(
            "{what}: the store cannot be reached or fails ({cause}): try again later; if it lasts, check the endpoint and the network"
        )),
    };
    made.at(hurdle).with_source(error)
}

fn next(error: &object_store::Error) -> Next {
    use object_store::Error as E;
    // S3 calls a wrong key a lack of permission.
    let wrong_key = |text: String| text.contains("SignatureDoesNotMatch") || text.contains("InvalidAccessKeyId");
    match error {
        _ if chain(error).any(|error| wrong_key(error.to_string())) => Next::GiveCredentials,
        E::NotFound { .. } => Next::FindBucket,
        E::PermissionDenied { .. } => Next::GrantRights,
        E::Unauthenticated { .. } => Next::GiveCredentials,
        E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::UnknownConfigurationKey { .. } => Next::FixPath,
        // Races were lost: the same request may win later.
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => Next::TryAgain,
        _ if refused_by_system(error) => Next::FixPath,
        _ => status(error).map_or(Next::TryAgain, of_status),
    }
}

/// Some requests (listings) reach us without their kind: the status in the text is all there is.
fn of_status(status: u16) -> Next {
    match status {
        401 => Next::GiveCredentials,
        403 => Next::GrantRights,
        404 => Next::FindBucket,
        // Time-outs, lost races, throttling.
        408 | 409 | 412 | 425 | 429 => Next::TryAgain,
        400..500 => Next::FixRequest,
        _ => Next::TryAgain,
    }
}

fn status(error: &object_store::Error) -> Option<u16> {
    const MARK: &str = "status code: ";
    chain(error).find_map(|error| {
        let text = error.to_string();
        // S3 says 400 to an upload that stalled; that one may be tried again.
        let digits = text.split_once(MARK).filter(|_| !text.contains("RequestTimeout"))?.1.get(..3)?;
        digits.parse().ok()
    })
}

/// The operating system says that another try will not help.
fn refused_by_system(error: &object_store::Error) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).any(|error| {
        matches!(
            error.kind(),
            IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem | IoKind::NotADirectory | IoKind::InvalidFilename
        )
    })
}

/// The innermost text (the outer ones repeat the address and the counts of tries), without the XML around a server's
/// words.
pub(super) fn cause(error: &object_store::Error) -> String {
    let text = chain(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    let element = |name: &str| {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        rest.split_once('<').map(|(words, _)| words.trim().to_owned()).filter(|words| !words.is_empty())
    };
    let Some(head) = text.split_once(": <").map(|(head, _)| head) else { return text };
    let words: Vec<String> = ["Code", "Message"].into_iter().filter_map(element).collect();
    format!("{head}: {}", words.join(": ")).trim_end_matches([':', ' ']).to_owned()
}

/// The client was still asking for a token or key when it failed.
fn asks_for_token(error: &object_store::Error) -> bool {
    chain(error).any(|error| {
        let text = error.to_string();
        ["token request", "token response", "169.254.169.254", "metadata.google.internal"]
            .iter()
            .any(|mark| text.contains(mark))
    })
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
