//! This machine's Google identity as AWS' web identity, so that a role of AWS is taken without keys: for MSK IAM, S3 and AWS' secrets.
//!
//! AWS' own clients do the taking (`AssumeRoleWithWebIdentity`): they read a token from a file at each login. Here the file is
//! written, and kept young. Off unless `AQUEDUCT_AWS_WEB_IDENTITY=google`; on EKS the cluster writes such a file by itself.

use crate::secrets::no_token;
use aqueduct_core::{Error, Hurdle, Result};
use base64::Engine as _;
use gcloud_sdk::{GoogleAuthHeaders, IdTokenAudience};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SWITCH: &str = "AQUEDUCT_AWS_WEB_IDENTITY";
const AUDIENCE: &str = "AQUEDUCT_AWS_AUDIENCE";
const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const SESSION: &str = "AWS_ROLE_SESSION_NAME";

/// A token is replaced so long before its end, and after so long when that fails.
const EARLY: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(30);
/// How long the metadata server may take.
const ANSWER: Duration = Duration::from_secs(20);

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Tells AWS' clients where the token will be. The first thing that the process does: it changes the environment.
pub(crate) fn prepare() {
    let given = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    if !given(SWITCH) || given(FILE) {
        return;
    }
    let folder = std::env::temp_dir().join(format!("aqueduct-identity-{}", std::process::id()));
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::set_var(FILE, folder.join("token"));
        if !given(SESSION) {
            std::env::set_var(SESSION, "aqueduct");
        }
    }
    let _ = FOLDER.set(folder);
}

/// The role that is to be taken; `None` when that is off.
pub(crate) fn role() -> Option<String> {
    FOLDER.get()?;
    Some(std::env::var(ROLE).unwrap_or_default())
}

/// Writes the first token and keeps it young from then on. Blocks for some seconds at most.
pub(crate) fn begin() -> Result<()> {
    let (Some(folder), Some(role)) = (FOLDER.get(), role()) else { return Ok(()) };
    let named = |error: Error| error.context("the Google identity for AWS");
    check(&role).map_err(named)?;
    let expires = write(folder).map_err(named)?;
    let keep = move || {
        let mut next = wait(expires);
        loop {
            std::thread::sleep(next);
            next = match write(folder) {
                Ok(expires) => wait(expires),
                Err(error) => {
                    tracing::warn!("the Google identity for AWS cannot be renewed, trying again: {error}");
                    AGAIN
                }
            };
        }
    };
    let thread = std::thread::Builder::new().name("identity".to_owned()).spawn(keep);
    thread.map(drop).map_err(|error| Error::bug(format!("cannot start a thread: {error}")))
}

/// Removes the token.
pub(crate) fn end() {
    if let Some(folder) = FOLDER.get() {
        drop(std::fs::remove_dir_all(folder));
    }
}

fn check(role: &str) -> Result<()> {
    let switch = std::env::var(SWITCH).unwrap_or_default();
    if switch != "google" {
        return Err(Error::config(format!("{SWITCH} = '{switch}' is not usable: it must be google")));
    }
    if !role.starts_with("arn:") {
        return Err(Error::config(format!(
            "{ROLE} = '{role}' is not usable: {SWITCH} needs the ARN of the role to take"
        )));
    }
    if std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|key| !key.is_empty()) {
        tracing::warn!("AWS_ACCESS_KEY_ID is set: AWS' clients take it, and not the role {role}");
    }
    Ok(())
}

/// How long the token may stay.
fn wait(expires: SystemTime) -> Duration {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(EARLY).max(AGAIN.min(left / 2)).max(Duration::from_secs(1))
}

/// Fetches a token and puts it in its place, at once; the answer is when it expires.
fn write(folder: &std::path::Path) -> Result<SystemTime> {
    let token = fetch()?;
    let expires = expiry(&token).ok_or_else(|| {
        Error::config("the metadata server gives out something that is no identity token: check the service account")
    })?;
    let failed = |error: std::io::Error| Error::config(format!("cannot write into {}: {error}", folder.display()));
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(failed)?;
    let new = folder.join("token.new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
    file.write_all(token.as_bytes()).and_then(|()| std::fs::rename(&new, folder.join("token"))).map_err(failed)?;
    crate::secrets::remember(&token);
    Ok(expires)
}

fn fetch() -> Result<String> {
    let audience = std::env::var(AUDIENCE).ok().filter(|text| !text.is_empty());
    let audience = IdTokenAudience::new(audience.unwrap_or_else(|| "sts.amazonaws.com".to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::bug(format!("cannot start the asynchronous runtime: {error}")))?;
    let fetching = async { GoogleAuthHeaders::id_token_from_adc(&audience).await?.headers().await };
    let fetched = runtime.block_on(async { tokio::time::timeout(ANSWER, fetching).await });
    // A server that hangs must not be waited for.
    runtime.shutdown_background();
    let headers = fetched
        .map_err(|_| {
            let seconds = ANSWER.as_secs();
            Error::retry(format!("no answer within {seconds} s: does this machine have a service account?"))
                .at(Hurdle::Reach)
        })?
        .map_err(|error| no_token(&error))?;
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    bearer.map(str::to_owned).ok_or_else(|| Error::bug("an identity without a token"))
}

/// The claim `exp` of a JWT, which nobody has to believe: AWS checks the signature.
fn expiry(token: &str) -> Option<SystemTime> {
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_ends() {
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp": 1700000000}"#);
        assert_eq!(expiry(&format!("h.{claims}.s")), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert_eq!(expiry("not a token"), None);
    }

    #[test]
    fn a_token_is_replaced_before_its_end() {
        let in_seconds = |seconds| SystemTime::now() + Duration::from_secs(seconds);
        assert!((2_990..=3_000).contains(&wait(in_seconds(3_600)).as_secs()));
        assert!(wait(in_seconds(20)).as_secs() <= 10, "a short one in the middle of its life");
        assert_eq!(wait(UNIX_EPOCH), Duration::from_secs(1));
    }
}
