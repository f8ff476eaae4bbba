//! Secrets: where they are read (files, the clouds' secret managers), and that no value that this process has read can leave it in
//! a message.
//!
//! The hiding is the last line of defence: rooms do not print secrets on purpose, but an option's value stands in the error about
//! it. What a manager says is read in `gcp` and `aws`.

mod aws;
mod gcp;
mod http;
mod reference;

use aqueduct_core::{Error, Hurdle, Result, Secrets};
pub(crate) use gcp::no_token;
use reference::{Field, Reference};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// By reference: what managers have said last. Several tables may name one secret.
static READ: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// Shorter texts would be found inside ordinary words.
const SHORTEST: usize = 4;
/// How long one question to a manager may take, the login before it included.
const ANSWER: Duration = Duration::from_secs(20);

/// From now on `hide` knows the value.
pub(crate) fn remember(value: &str) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if value.len() >= SHORTEST && !known.iter().any(|one| one == value) {
        known.push(value.to_owned());
        // A secret may hold another one: the longer goes first.
        known.sort_by_key(|one| std::cmp::Reverse(one.len()));
    }
}

/// The text with every known secret as `***`.
pub(crate) fn hide(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// Reads the secrets of a job.
pub(crate) struct Store {
    /// Paths count from here.
    folder: PathBuf,
    /// Managers are not asked; only what their references look like is checked.
    offline: bool,
}

impl Store {
    pub(crate) fn new(folder: &Path, offline: bool) -> Self {
        Self { folder: folder.to_owned(), offline }
    }
}

impl Secrets for Store {
    fn read(&self, reference: &str, anew: bool) -> Result<String> {
        let value = match reference::parse(reference)? {
            Reference::File(path) => read_file(&self.folder.join(&path)).map_err(|error| {
                Error::config(format!(
                    "the secret file '{path}' cannot be read: {error}; check the path and who may read it"
                ))
            })?,
            _ if self.offline => return Ok("not-read".to_owned()),
            asked => {
                let read = || READ.lock().unwrap_or_else(PoisonError::into_inner);
                let known = read().get(reference).cloned();
                match known.filter(|_| !anew) {
                    Some(known) => known,
                    None => {
                        let found = ask(reference, asked)?;
                        // Hidden before anybody else can have it.
                        remember(&found);
                        let before = read().insert(reference.to_owned(), found.clone());
                        if before.is_some_and(|before| before != found) {
                            tracing::info!(reference, "a secret has changed");
                        }
                        found
                    }
                }
            }
        };
        remember(&value);
        Ok(value)
    }
}

/// The contents of a secret file. Editors and secret stores end files with a newline that is not part of the password.
pub(crate) fn read_file(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    let value = text.trim_end_matches(['\n', '\r']);
    remember(value);
    Ok(value.to_owned())
}

/// On a thread of its own: the caller may stand inside an async runtime, where another one may not block.
fn ask(reference: &str, asked: Reference) -> Result<String> {
    let answered = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::bug(format!("cannot start the asynchronous runtime: {error}")))?;
            let answer = runtime.block_on(async { tokio::time::timeout(ANSWER, answer(&asked)).await });
            // A login that hangs must not be waited for.
            runtime.shutdown_background();
            answer.unwrap_or_else(|_| {
                let seconds = ANSWER.as_secs();
                Err(Error::retry(format!(
                    "no answer within {seconds} s: check the network, and this machine's identity"
                ))
                .at(Hurdle::Reach))
            })
        });
        asking.join().unwrap_or_else(|_| Err(Error::bug("reading a secret panicked")))
    });
    answered.map_err(|error| error.context(format!("the secret '{reference}' cannot be read")))
}

async fn answer(asked: &Reference) -> Result<String> {
    let (text, field) = match asked {
        Reference::Gcp { version, field } => (gcp::access(version).await?, field),
        Reference::Aws { id, field } => (aws::get(id).await?, field),
        Reference::File(_) => return Err(Error::bug("a file is not asked for")),
    };
    let text = text.trim_end_matches(['\n', '\r']);
    match field {
        None => Ok(text.to_owned()),
        Some(Field(name)) => field_of(text, name),
    }
}

/// A field of a secret that is a JSON object, as AWS makes them for databases and MSK.
fn field_of(text: &str, name: &str) -> Result<String> {
    // The whole is as secret as the part.
    remember(text);
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|_| {
        Error::config(format!("it is no JSON object, so it has no field '{name}': leave '#{name}' out"))
    })?;
    match &parsed[name] {
        serde_json::Value::String(value) => Ok(value.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => {
            let names: Vec<&str> = parsed.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            Err(Error::config(format!("it has no field '{name}'; its fields are: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
