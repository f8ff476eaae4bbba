//! User and password of a table's clients, shared by all of them, and read again where they are kept when a broker refuses them.
//!
//! It talks to no broker; handing a new pair to a client is `client`'s.

use crate::properties::jaas;
use aqueduct_core::Options;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Secrets are not read more often than this, and less often while they stay what they are: every client of a table asks, and a
/// manager's answer has its price.
const APART: Duration = Duration::from_secs(2);
const APART_AT_MOST: Duration = Duration::from_secs(15);

/// A user with its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Pair {
    /// What the options say; the error is what is missing.
    pub(crate) fn of(options: &Options) -> Result<Self, &'static str> {
        let jaas = options.get("properties.sasl.jaas.config").map(jaas).unwrap_or_default();
        let value = |key: &'static str| {
            let given = options.get(&format!("properties.sasl.{key}")).map(str::to_owned);
            given.or_else(|| jaas.get(key).cloned()).ok_or(key)
        };
        Ok(Self { username: value("username")?, password: value("password")? })
    }
}

/// The current pair of a table.
#[derive(Debug, Clone)]
pub(crate) struct Login(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pair: Pair,
    options: Options,
    /// When they were read, and how long not again.
    read: Option<(Instant, Duration)>,
}

impl Login {
    pub(crate) fn new(pair: Pair, options: &Options) -> Self {
        Self(Arc::new(Mutex::new(State { pair, options: options.clone(), read: None })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain data: a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub(crate) fn current(&self) -> Pair {
        self.state().pair.clone()
    }

    /// The pair to go on with where a broker refuses `known`: what another client of the table has found meanwhile, or what is read
    /// now. `None` when there is no other one.
    pub(crate) fn other_than(&self, known: &Pair) -> Option<Pair> {
        let mut state = self.state();
        if state.pair != *known {
            return Some(state.pair.clone());
        }
        if !state.options.has_secrets() || state.read.is_some_and(|(read, pause)| read.elapsed() < pause) {
            return None;
        }
        let pause = state.read.map_or(APART, |(_, pause)| (pause * 2).min(APART_AT_MOST));
        state.read = Some((Instant::now(), pause));
        let table = state.options.table().to_owned();
        match state.options.renewed() {
            Ok(Some(renewed)) => {
                let found = Pair::of(&renewed).ok().filter(|pair| pair != known);
                state.options = renewed;
                let pair = found?;
                tracing::info!(
                    table,
                    user = pair.username,
                    "the Kafka password has changed: logging in with the new one"
                );
                state.pair = pair.clone();
                state.read = Some((Instant::now(), APART));
                Some(pair)
            }
            Ok(None) => None,
            Err(error) => {
                // What the broker says about the known one matters more.
                tracing::warn!(table, "the Kafka password cannot be read again: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
