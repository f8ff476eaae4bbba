//! The login of a table: which password is the current one, and what a refused one means while secrets rotate.
//!
//! A password is read again only when the server refuses the one that is known: whoever rotates secrets changes the server and
//! the place where the secret is kept at different moments, in either order. It opens no connection by itself.

use crate::client::Client;
use crate::config::Config;
use crate::error::{Failure, connecting};
use aqueduct_core::{Error, Options, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A password that has worked before may be refused for so long: the new one is on its way.
const ROTATION: Duration = Duration::from_secs(300);

/// How a table logs in.
#[derive(Debug)]
pub(crate) struct Login(Mutex<State>);

#[derive(Debug)]
struct State {
    config: Arc<Config>,
    options: Options,
    /// Whether any login has worked, and since when none does.
    worked: bool,
    refused: Option<Instant>,
}

impl Login {
    /// With the options as they are now.
    pub(crate) fn new(config: Arc<Config>, options: &Options) -> Self {
        Self(Mutex::new(State { config, options: options.clone(), worked: false, refused: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain data: a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state().config)
    }

    /// A session. A refused password is read again, and tried if it is another one.
    pub(crate) async fn connect(&self, job: &str) -> std::result::Result<(Client, Arc<Config>), Failure> {
        let config = self.config();
        let mut outcome = Client::connect(&config, job).await.map(|client| (client, config));
        if let Err(failure) = &outcome
            && failure.is_refused_login()
            && self.state().options.has_secrets()
        {
            outcome = match self.renew().await.map_err(Failure::Told)? {
                Some(newer) => Client::connect(&newer, job).await.map(|client| (client, newer)),
                None => outcome,
            };
        }
        self.judge(outcome)
    }

    /// Reads the secrets again; `None` when they are what they were.
    async fn renew(&self) -> Result<Option<Arc<Config>>> {
        let options = self.state().options.clone();
        let read = tokio::task::spawn_blocking(move || options.renewed()).await;
        let read = read.map_err(|error| Error::bug(format!("reading the password broke: {error}")))?;
        let renewed = match read {
            Ok(Some(renewed)) => renewed,
            Ok(None) => return Ok(None),
            Err(error) => {
                // What the server says about the known one matters more.
                tracing::warn!(table = self.state().options.table(), "the password cannot be read again: {error}");
                return Ok(None);
            }
        };
        let config = Arc::new(Config::new(&renewed)?);
        let mut state = self.state();
        tracing::info!(table = renewed.table(), postgres = %config.address, "the password has changed: logging in with the new one");
        (state.config, state.options) = (Arc::clone(&config), renewed);
        Ok(Some(config))
    }

    fn judge<T>(&self, outcome: std::result::Result<T, Failure>) -> std::result::Result<T, Failure> {
        let mut state = self.state();
        match outcome {
            Ok(session) => {
                (state.worked, state.refused) = (true, None);
                Ok(session)
            }
            Err(failure) if failure.is_refused_login() && state.options.has_secrets() => {
                let since = *state.refused.get_or_insert_with(Instant::now);
                let error = connecting(&state.config.address, failure);
                let message = format!("{error}; the password was read again where it is kept, and is refused");
                if state.worked && since.elapsed() < ROTATION {
                    let message =
                        format!("{message}: it worked before, so it is tried again for {} s", ROTATION.as_secs());
                    return Err(Failure::Told(Error::retry(message).at(aqueduct_core::Hurdle::Authenticate)));
                }
                let hurdle = error.hurdle().unwrap_or(aqueduct_core::Hurdle::Authenticate);
                Err(Failure::Told(Error::new(error.kind(), message).at(hurdle)))
            }
            Err(failure) => Err(failure),
        }
    }
}
