//! Connecting: a consumer that reaches the cluster or says why not, and a look at every broker behind the first one.
//!
//! Everything here blocks, within a deadline, and polls the client meanwhile: without polling no token is ever made.

use crate::context::Context;
use crate::errors::{self, Complaint};
use crate::native::{Consumer, set_credentials};
use crate::properties::Properties;
use aqueduct_core::{Error, ErrorKind, Hurdle, Result};
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the first contact may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(15);
/// A failure that lasts is believed after this time: another server of the list may answer until then.
const GRACE: Duration = Duration::from_secs(2);
/// A cluster of which every server refuses or is unknown is given up after this time.
const ALL_DOWN: Duration = Duration::from_secs(5);
/// One blocking call; between them the client is polled.
const SLICE: Duration = Duration::from_millis(500);
/// So many empty answers in a row mean that a client has no more events.
const QUIET: usize = 8;
/// How many brokers are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// A client from its configuration; fails only for what the configuration says.
pub(crate) fn create<T: FromClientConfigAndContext<Context>>(
    config: &ClientConfig,
    context: Context,
    table: &str,
) -> Result<T> {
    config.create_with_context(context).map_err(|error| {
        let text = errors::text_of(&error);
        Error::config(format!(
            "table '{table}': the Kafka client refuses its configuration: {text}; check properties.*"
        ))
        .with_source(error)
    })
}

/// Serves events (tokens, errors, commit answers) of a client whose messages all have queues of their own.
pub(crate) fn serve(consumer: &Consumer) {
    let mut quiet = 0;
    // Bounded: a flood of errors must not hold the caller.
    for _ in 0..256 {
        // The wrapper also says "nothing" when it has just consumed a line of the log, so that once is no proof.
        quiet = if took(consumer, Duration::ZERO) { 0 } else { quiet + 1 };
        if quiet == QUIET {
            return;
        }
    }
}

/// Serves events for so long.
fn serve_for(consumer: &Consumer, time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        took(consumer, left);
    }
}

/// True when there was an event that is no line of the log.
fn took(consumer: &Consumer, within: Duration) -> bool {
    match consumer.poll(within) {
        None => return false,
        Some(Ok(message)) => {
            use rdkafka::Message as _;
            // Cannot happen: queues are split off before partitions are assigned. Said loudly, since it would be a loss.
            tracing::error!(topic = message.topic(), offset = message.offset(), "a message came by the wrong queue");
        }
        // The context has it already.
        Some(Err(_)) => {}
    }
    true
}

/// Repeats `call` with slices of the time, serving the client in between, until it works, fails for good or the time is over.
pub(crate) fn persist<T>(
    consumer: &Consumer,
    within: Duration,
    what: &str,
    mut call: impl FnMut(Duration) -> KafkaResult<T>,
) -> Result<T> {
    // A client that was left alone for long has stale news: connections that were closed, logins with a token that ran out.
    // Serving it makes a new token; only what goes wrong from here on counts.
    serve(consumer);
    renew_login(consumer);
    consumer.context().forget_stale();
    let start = Instant::now();
    loop {
        serve(consumer);
        let error = match call(SLICE.min(within)) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        serve(consumer);
        renew_login(consumer);
        let waited = start.elapsed();
        let code = errors::code_of(&error);
        let reasons = consumer.context().complaints();
        let lasting = reasons.iter().any(|reason| reason.kind() == ErrorKind::FixConfig);
        let down = consumer.context().all_failed();
        let own = Complaint { code, text: errors::text_of(&error) };
        let hopeless = own.kind() == ErrorKind::FixConfig || !(errors::passes(code) || own.kind() == ErrorKind::Retry);
        if hopeless || (lasting && waited >= GRACE) || (down && waited >= ALL_DOWN) || waited >= within {
            let reason = consumer.context().explanation();
            return Err(
                errors::describe(what, reason.as_ref().filter(|_| !hopeless).unwrap_or(&own)).with_source(error)
            );
        }
        // Calls that fail at once must not spin.
        serve_for(consumer, Duration::from_millis(50));
    }
}

/// When a login was refused: reads user and password again where they are kept. If they are others, the client logs in with those
/// from now on, and what was said about the old ones is forgotten.
pub(crate) fn renew_login(consumer: &Consumer) {
    let context = consumer.context();
    if context.refused()
        && let Some(pair) = context.other_login()
    {
        set_credentials(consumer, &pair);
        context.forget();
    }
}

/// The metadata of one topic, and of all brokers.
pub(crate) fn topic_metadata(
    consumer: &Consumer,
    properties: &Properties,
    table: &str,
    topic: &str,
    within: Duration,
) -> Result<Metadata> {
    let what = format!("table '{table}': cannot connect to Kafka at {}", properties.servers());
    let metadata = persist(consumer, within, &what, |slice| consumer.fetch_metadata(Some(topic), slice));
    let reason = consumer.context().explanation();
    consumer.context().forget();
    metadata.map_err(|error| match reason.as_ref().and_then(|reason| Some((reason, advertised(&reason.text)?))) {
        Some((reason, (address, id))) if error.kind() == ErrorKind::Retry => {
            let what =
                format!("table '{table}': broker {id} at {address}, the address that it advertises, cannot be reached");
            errors::describe(&what, reason).with_source(error)
        }
        _ => error,
    })
}

/// Address and id of the broker that a text of librdkafka is about; `None` for a server of the list:
/// `ssl://b-2.example.com:9094/2: Connect to ... failed` against `b-2.example.com:9094/bootstrap: ...`.
fn advertised(text: &str) -> Option<(&str, i32)> {
    let (broker, _) = text.split_once(": ")?;
    let broker = broker.split_once("://").map_or(broker, |(_, rest)| rest);
    let (address, id) = broker.rsplit_once('/')?;
    Some((address, id.parse().ok()?))
}

/// The partitions of `topic` in `metadata`, ascending; a missing topic is an error of the configuration.
pub(crate) fn partitions(metadata: &Metadata, table: &str, topic: &str) -> Result<Vec<i32>> {
    let about = |what: String, kind| Error::new(kind, format!("table '{table}': {what}"));
    let missing = || {
        let next = "create it, or correct the option 'topic'";
        about(
            format!("topic '{topic}' does not exist on this cluster (or this user may not see it): {next}"),
            ErrorKind::FixConfig,
        )
        .at(Hurdle::Permit)
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(missing)?;
    if let Some(code) = found.error().map(Code::from) {
        return Err(match code {
            Code::UnknownTopicOrPartition | Code::UnknownTopic => missing(),
            code => errors::describe(
                &format!("table '{table}': topic '{topic}'"),
                &Complaint { code, text: code.to_string() },
            ),
        });
    }
    let mut ids: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
    if ids.is_empty() {
        return Err(about(format!("topic '{topic}' has no partitions yet: try again"), ErrorKind::Retry));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Connects to every broker of the metadata, TLS and login included, and names those that cannot be reached. Bootstrap
/// servers may answer while the addresses that the brokers advertise lead nowhere.
pub(crate) fn check_brokers(metadata: &Metadata, properties: &Properties, table: &str, topic: &str) -> Result<()> {
    let mut brokers: Vec<(i32, String)> =
        metadata.brokers().iter().map(|broker| (broker.id(), address(broker.host(), broker.port()))).collect();
    // The only server of the list has just answered.
    brokers.retain(|(_, address)| properties.servers() != address);
    let mut failures = Vec::new();
    for some in brokers.chunks(SIDE_BY_SIDE) {
        let outcomes: Vec<Option<Complaint>> = std::thread::scope(|scope| {
            let running: Vec<_> =
                some.iter().map(|(_, address)| scope.spawn(move || reach(properties, table, topic, address))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or(None)).collect()
        });
        failures.extend(some.iter().zip(outcomes).filter_map(|(broker, outcome)| Some((broker, outcome?))));
    }
    let Some((_, first)) = failures.first() else { return Ok(()) };
    let list: Vec<String> =
        failures.iter().map(|((id, address), why)| format!("broker {id} at {address} ({why})")).collect();
    let advice = first.advice();
    Err(Error::new(
        first.kind(),
        format!(
            "table '{table}': {} of the cluster's {} brokers cannot be reached at the address that they advertise: {}; {advice}",
            failures.len(),
            metadata.brokers().len(),
            list.join(", "),
        ),
    )
    .at(first.hurdle()))
}

/// Why a broker cannot be reached; `None` when it can. A client of its own knows no other broker than this one.
fn reach(properties: &Properties, table: &str, topic: &str, address: &str) -> Option<Complaint> {
    let fixed = [("bootstrap.servers", address.to_owned())];
    let context = Context::new(format!("{table}: look at {address}"), properties);
    let consumer: Consumer = match create(&properties.config(&[], &fixed), context, table) {
        Ok(consumer) => consumer,
        Err(error) => return Some(Complaint { code: Code::Fail, text: error.message().to_owned() }),
    };
    let start = Instant::now();
    loop {
        serve(&consumer);
        if consumer.fetch_metadata(Some(topic), SLICE).is_ok() {
            return None;
        }
        serve(&consumer);
        let reason = consumer.context().explanation();
        let enough = match reason.as_ref().map(Complaint::kind) {
            Some(ErrorKind::FixConfig) => GRACE,
            Some(_) => ALL_DOWN,
            None => CONNECT,
        };
        if start.elapsed() >= enough {
            let silent = || Complaint {
                code: Code::OperationTimedOut,
                text: format!("no answer within {} s", enough.as_secs()),
            };
            return Some(reason.unwrap_or_else(silent));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A consumer for questions (metadata, offsets), which reads no partition.
pub(crate) fn questions(
    properties: &Properties,
    table: &str,
    duty: &str,
    fixed: &[(&str, String)],
) -> Result<Arc<Consumer>> {
    // Someone waits for the answer: a connection that was closed meanwhile is tried again at once.
    let defaults = [("client.id", format!("aqueduct-{table}")), ("reconnect.backoff.max.ms", "500".to_owned())];
    let context = Context::new(format!("{table}: {duty}"), properties);
    create(&properties.config(&defaults, fixed), context, table).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_told_from_a_server_of_the_list() {
        assert_eq!(
            advertised("ssl://b-2.example.com:9094/2: Connect to ipv4#1.2.3.4:9094 failed"),
            Some(("b-2.example.com:9094", 2))
        );
        assert_eq!(advertised("[::1]:9092/17: Disconnected"), Some(("[::1]:9092", 17)));
        assert_eq!(advertised("localhost:9092/bootstrap: Connection refused"), None);
        assert_eq!(advertised("1/1 brokers are down"), None);
        assert_eq!(advertised("SASL authentication error: a/3"), None);
    }

    #[test]
    fn addresses_of_both_families_are_written_for_the_client() {
        assert_eq!(address("b-1.example.com", 9094), "b-1.example.com:9094");
        assert_eq!(address("::1", 9094), "[::1]:9094");
    }
}
