//! What every Kafka client of ours does when librdkafka calls back: remember complaints, make tokens, keep quiet.
//!
//! It opens no connection and decides nothing; `client` reads what it has remembered.

use crate::errors::{self, Complaint, code_of, login_failed};
use crate::login::{Login, Pair};
use crate::properties::Properties;
use crate::tokens::TokenSource;
use aqueduct_core::ErrorKind;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many complaints are remembered.
const REMEMBERED: usize = 16;
/// How often a lasting trouble is told in the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The context of consumers and producers.
#[derive(Debug)]
pub(crate) struct Context {
    /// The table and its duty, for log lines.
    label: String,
    tokens: Option<TokenSource>,
    /// Where user and password come from, and those that this client has.
    login: Option<(Login, Mutex<Pair>)>,
    /// `host:port` of each server that was asked.
    servers: Vec<String>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    complaints: VecDeque<Complaint>,
    told: Option<Instant>,
    undelivered: Option<Complaint>,
    /// A broker has refused the login since this client last worked: librdkafka says so once, however long it lasts.
    refused: bool,
    /// Somebody has asked something of this client before.
    used: bool,
}

impl Context {
    pub(crate) fn new(label: impl Into<String>, properties: &Properties) -> Self {
        let servers = properties.servers().split(',').map(|server| server.trim().to_owned()).collect();
        let login = properties.login.clone().map(|login| {
            let pair = login.current();
            (login, Mutex::new(pair))
        });
        Self { label: label.into(), tokens: properties.tokens.clone(), login, servers, book: Mutex::default() }
    }

    /// Another login than the one that this client has; it counts as the client's own from now on.
    pub(crate) fn other_login(&self) -> Option<Pair> {
        let (login, own) = self.login.as_ref()?;
        let mut own = own.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let other = login.other_than(&own)?;
        own.clone_from(&other);
        Some(other)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // The book is plain data: a panic elsewhere leaves it usable.
        self.book.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Remembers what went wrong, and says so in the log from time to time.
    pub(crate) fn complain(&self, complaint: Complaint) {
        let mut book = self.book();
        book.refused |= login_failed(complaint.code);
        if book.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            book.told = Some(Instant::now());
            tracing::warn!(client = %self.label, "Kafka: {complaint}; still trying");
        }
        // The newest complaint of a kind is enough.
        book.complaints.retain(|known| known.code != complaint.code || known.to_string() != complaint.to_string());
        if book.complaints.len() == REMEMBERED {
            book.complaints.pop_front();
        }
        book.complaints.push_back(complaint);
    }

    /// What went wrong since the last call of [`Context::forget`], oldest first.
    pub(crate) fn complaints(&self) -> Vec<Complaint> {
        self.book().complaints.iter().cloned().collect()
    }

    /// What went wrong since the last call.
    pub(crate) fn take_complaints(&self) -> Vec<Complaint> {
        self.book().complaints.drain(..).collect()
    }

    /// The complaint that explains most: one that lasts, or else the newest that says more than "all brokers are down".
    pub(crate) fn explanation(&self) -> Option<Complaint> {
        let complaints = self.complaints();
        let lasting = complaints.iter().rev().find(|complaint| complaint.kind() != ErrorKind::Retry);
        let telling = complaints.iter().rev().find(|complaint| complaint.code != Code::AllBrokersDown);
        lasting.or(telling).or(complaints.last()).cloned()
    }

    /// True when every server of the list has been complained of: there is nobody left to wait for.
    pub(crate) fn all_failed(&self) -> bool {
        let complaints = self.complaints();
        self.servers.iter().all(|server| complaints.iter().any(|complaint| complaint.text.contains(server.as_str())))
    }

    /// Clears the book of a client that works.
    pub(crate) fn forget(&self) {
        let mut book = self.book();
        book.complaints.clear();
        book.undelivered = None;
        book.refused = false;
    }

    /// Clears the book of a client that was left alone since it was last asked something. What connecting has brought to a new one
    /// stays: librdkafka says the same thing only once.
    pub(crate) fn forget_stale(&self) {
        let used = std::mem::replace(&mut self.book().used, true);
        if used {
            let mut book = self.book();
            book.complaints.clear();
            book.undelivered = None;
        }
    }

    /// Whether a broker has refused the login since the client last worked.
    pub(crate) fn refused(&self) -> bool {
        self.book().refused
    }

    /// The client works.
    pub(crate) fn logged_in(&self) {
        self.book().refused = false;
    }

    /// The first record that was not delivered since the last [`Context::forget`].
    pub(crate) fn undelivered(&self) -> Option<Complaint> {
        self.book().undelivered.clone()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        // Failures arrive as errors too, and properties of the other client kind are no news.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(client = %self.label, "librdkafka {fac}: {text}");
            }
            _ => tracing::debug!(client = %self.label, "librdkafka {fac}: {text}"),
        }
        // What the coordinator refuses is told here only; the records that are given up because of it say nothing.
        if let Some(code) = (fac == "TXNERR").then(|| errors::missing_right(text)).flatten() {
            self.book().undelivered = Some(Complaint { code, text: text.to_owned() });
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.complain(Complaint { code: code_of(&error), text: reason.to_owned() });
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let source = self.tokens.as_ref().ok_or("no source of tokens is configured")?;
        // librdkafka takes the text as a C string.
        let token = source.0.token().map_err(|why| why.replace('\0', " "))?;
        Ok(OAuthToken { token: token.text, principal_name: token.principal, lifetime_ms: token.expires_ms })
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, _: &BaseConsumer<Self>, _: RDKafkaRespErr, _: &mut TopicPartitionList) {
        // We never subscribe. If a rebalance came all the same, following it would replace the checkpoint's offsets.
        tracing::error!(client = %self.label, "a rebalance of a manually assigned consumer was ignored");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(client = %self.label, "progress could not be shown as committed group offsets: {error}");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let complaint = Complaint { code: code_of(error), text: crate::errors::text_of(error) };
            self.book().undelivered.get_or_insert(complaint);
        }
    }
}
