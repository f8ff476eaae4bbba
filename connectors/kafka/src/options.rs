//! The `WITH` options of a Kafka table, parsed and checked. Opens no connection.

use crate::properties::{Properties, Side};
use crate::values;
use aqueduct_core::json::{JsonOptions, TimestampFormat};
use aqueduct_core::{ColumnKind, Error, OptionDef, Options, Result, SinkSpec, SourceSpec};
use std::collections::BTreeMap;
use std::time::Duration;

/// Every option of the connector.
pub(crate) const OPTIONS: &[OptionDef] = &[
    OptionDef::new("topic", "The topic; a source may name several, separated by ';'."),
    OptionDef::prefix(
        "properties.",
        "Passed to the client: bootstrap.servers, security.protocol, sasl.*, ssl.*, group.id, ...",
    ),
    OptionDef::new("format", "The format of the value: json; a source also raw, the whole value as one column."),
    OptionDef::new("value.format", "The same as 'format'."),
    OptionDef::new(
        "key.fields",
        "Sink: the columns of the record's key, separated by ';'; without it the primary key.",
    ),
    OptionDef::with_default(
        "scan.startup.mode",
        "earliest-offset",
        "Where a new job begins: earliest-offset, latest-offset, group-offsets, timestamp or specific-offsets.",
    ),
    OptionDef::new("scan.startup.timestamp-millis", "With scan.startup.mode = timestamp: milliseconds since 1970."),
    OptionDef::new(
        "scan.startup.specific-offsets",
        "With scan.startup.mode = specific-offsets: 'partition:0,offset:42;partition:1,offset:7'.",
    ),
    OptionDef::with_default(
        "scan.bounded.mode",
        "unbounded",
        "unbounded, or latest-offset: end where the topic ends at the start of the job.",
    ),
    OptionDef::new("scan.topic-partition-discovery.interval", "How often the engine looks for new partitions."),
    OptionDef::new("scan.watermark.idle-timeout", "A partition silent for so long holds no window back."),
    OptionDef::new("scan.watermark.late-scope", "operator: lateness by the watermark of the whole job, as in Flink."),
    OptionDef::with_default(
        "json.ignore-parse-errors",
        "false",
        "A field that does not parse is null; a record that does not parse stays a dead letter.",
    ),
    OptionDef::with_default(
        "json.timestamp-format.standard",
        "ISO-8601",
        "How timestamps are written: ISO-8601 or SQL.",
    ),
    OptionDef::with_default("sink.delivery-guarantee", "exactly-once", "exactly-once, at-least-once or none."),
    OptionDef::new("sink.transactional-id-prefix", "The beginning of the transactional id; the job's name by default."),
];

/// What a source table says.
#[derive(Debug, Clone)]
pub(crate) struct SourceOptions {
    pub(crate) topics: Vec<String>,
    pub(crate) properties: Properties,
    pub(crate) startup: Startup,
    pub(crate) bounded: bool,
    pub(crate) format: Format,
    pub(crate) json: JsonOptions,
    /// `properties.group.id`: progress is shown there, and `group-offsets` reads it.
    pub(crate) group: Option<String>,
}

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The fields of a JSON object.
    Json,
    /// The whole value as one column.
    Raw,
}

/// Where a split begins that no checkpoint knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Startup {
    Earliest,
    Latest,
    Group,
    Timestamp(i64),
    Specific(BTreeMap<i32, i64>),
}

/// What a sink table says.
#[derive(Debug, Clone)]
pub(crate) struct SinkOptions {
    pub(crate) topic: String,
    pub(crate) properties: Properties,
    pub(crate) guarantee: Guarantee,
    pub(crate) id_prefix: Option<String>,
    pub(crate) json: JsonOptions,
    /// Indexes of the key's columns.
    pub(crate) key: Vec<usize>,
    pub(crate) transaction_timeout: Duration,
    pub(crate) message_timeout: Duration,
}

/// `sink.delivery-guarantee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarantee {
    /// One transaction per epoch, the cursor in it.
    ExactlyOnce,
    /// Acknowledged by all replicas, then the cursor; a crash between the two repeats an epoch.
    AtLeastOnce,
    /// As at-least-once, without the producer's protection against duplicates and reordering in retries.
    None,
}

impl SourceOptions {
    pub(crate) fn parse(spec: &SourceSpec) -> Result<Self> {
        let options = &spec.options;
        let table = options.table();
        let format = format(options)?;
        values::check(format, table, &spec.declared)?;
        for key in ["key.fields", "sink.delivery-guarantee", "sink.transactional-id-prefix"] {
            if options.get(key).is_some() {
                let next =
                    if key == "key.fields" { "; a source reads the key by a column METADATA FROM 'key'" } else { "" };
                return Err(Error::config(format!("table '{table}': option '{key}' belongs to sinks{next}")));
            }
        }
        let topics: Vec<String> = options
            .require("topic")?
            .split(';')
            .map(|topic| topic.trim().to_owned())
            .filter(|topic| !topic.is_empty())
            .collect();
        let twice = topics.iter().enumerate().any(|(at, topic)| topics[..at].contains(topic));
        if topics.is_empty() || twice {
            return Err(options.invalid(
                "topic",
                options.require("topic")?,
                "one topic, or different ones separated by ';'",
            ));
        }
        let properties = Properties::parse(options, Side::Source)?;
        let startup = startup(options, &topics)?;
        let bounded =
            options.one_of("scan.bounded.mode", "unbounded", &["unbounded", "latest-offset"])? == "latest-offset";
        options.duration("scan.topic-partition-discovery.interval")?;
        let group = properties.get("group.id").map(str::to_owned);
        Ok(Self { topics, properties, startup, bounded, format, json: json(options)?, group })
    }
}

impl SinkOptions {
    pub(crate) fn parse(spec: &SinkSpec) -> Result<Self> {
        let options = &spec.options;
        let table = options.table();
        if format(options)? != Format::Json {
            return Err(Error::config(format!("table '{table}': a sink writes 'format' = 'json' only")));
        }
        if let Some(key) =
            OPTIONS.iter().map(|def| def.key).find(|key| key.starts_with("scan.") && options.get(key).is_some())
        {
            return Err(Error::config(format!("table '{table}': option '{key}' belongs to sources")));
        }
        let topic = options.require("topic")?.trim().to_owned();
        if topic.contains(';') {
            return Err(options.invalid("topic", &topic, "one topic: a sink writes to a single one"));
        }
        if let Some(column) = spec.columns.iter().find(|column| column.kind != ColumnKind::Physical) {
            return Err(Error::config(format!(
                "table '{table}': column '{}' is a metadata column, which this sink does not write: leave it out",
                column.name
            )));
        }
        let properties = Properties::parse(options, Side::Sink)?;
        let guarantee = match options.one_of(
            "sink.delivery-guarantee",
            "exactly-once",
            &["exactly-once", "at-least-once", "none"],
        )? {
            "exactly-once" => Guarantee::ExactlyOnce,
            "at-least-once" => Guarantee::AtLeastOnce,
            _ => Guarantee::None,
        };
        let number = |key, default| {
            options.number::<u32>(key, default, "a number of milliseconds").map(|ms| Duration::from_millis(ms.into()))
        };
        // Kafka's own default of one minute is short for an epoch with millions of rows; the longer it is, the longer a job
        // that dies and stays away holds back those who read committed records.
        let transaction_timeout = number("properties.transaction.timeout.ms", 300_000)?;
        let message_timeout = number("properties.message.timeout.ms", 60_000)?.min(transaction_timeout);
        Ok(Self {
            topic,
            properties,
            guarantee,
            id_prefix: options.get("sink.transactional-id-prefix").map(str::to_owned),
            json: json(options)?,
            key: key(spec)?,
            transaction_timeout,
            message_timeout,
        })
    }
}

fn format(options: &Options) -> Result<Format> {
    let key = if options.get("format").is_some() { "format" } else { "value.format" };
    match options.get(key) {
        None => {
            Err(Error::config(format!("table '{}' needs the option 'format' = 'json' in WITH (...)", options.table())))
        }
        Some(name) if name.eq_ignore_ascii_case("json") => Ok(Format::Json),
        Some(name) if name.eq_ignore_ascii_case("raw") => Ok(Format::Raw),
        Some(name) => Err(options.invalid(key, name, "json; a source also reads raw")),
    }
}

fn json(options: &Options) -> Result<JsonOptions> {
    let timestamp_format = match options.one_of("json.timestamp-format.standard", "ISO-8601", &["ISO-8601", "SQL"])? {
        "SQL" => TimestampFormat::Sql,
        _ => TimestampFormat::Iso8601,
    };
    Ok(JsonOptions { timestamp_format, ignore_parse_errors: options.bool("json.ignore-parse-errors", false)? })
}

fn startup(options: &Options, topics: &[String]) -> Result<Startup> {
    const MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
    const MODE: &str = "scan.startup.mode";
    const MILLIS: &str = "scan.startup.timestamp-millis";
    const OFFSETS: &str = "scan.startup.specific-offsets";
    let mode = options.one_of(MODE, "earliest-offset", MODES)?;
    for (key, owner) in [(MILLIS, "timestamp"), (OFFSETS, "specific-offsets")] {
        if options.get(key).is_some() && mode != owner {
            return Err(Error::config(format!(
                "table '{}': option '{key}' works only with '{MODE}' = '{owner}', found '{mode}'",
                options.table()
            )));
        }
    }
    Ok(match mode {
        "earliest-offset" => Startup::Earliest,
        "latest-offset" => Startup::Latest,
        "group-offsets" => {
            options
                .require("properties.group.id")
                .map_err(|error| error.context("scan.startup.mode = 'group-offsets'"))?;
            Startup::Group
        }
        "timestamp" => {
            options.require(MILLIS)?;
            let millis = options.number::<i64>(MILLIS, 0, "milliseconds since 1970")?;
            if millis < 0 {
                return Err(options.invalid(MILLIS, &millis.to_string(), "milliseconds since 1970"));
            }
            Startup::Timestamp(millis)
        }
        _ => {
            let text = options.require(OFFSETS)?;
            let expected = "like 'partition:0,offset:42;partition:1,offset:300', for a single topic";
            let offsets = specific(text).filter(|_| topics.len() == 1);
            Startup::Specific(offsets.ok_or_else(|| options.invalid(OFFSETS, text, expected))?)
        }
    })
}

fn specific(text: &str) -> Option<BTreeMap<i32, i64>> {
    let mut offsets = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (partition, offset) = part.split_once(',')?;
        let partition: i32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    (!offsets.is_empty()).then_some(offsets)
}

fn key(spec: &SinkSpec) -> Result<Vec<usize>> {
    let Some(text) = spec.options.get("key.fields") else { return Ok(spec.primary_key.clone()) };
    let mut key = Vec::new();
    for name in text.split(';').map(str::trim).filter(|name| !name.is_empty()) {
        let index = spec.columns.iter().position(|column| column.name == name);
        let columns = || spec.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let index = index
            .ok_or_else(|| spec.options.invalid("key.fields", text, &format!("columns of the table: {}", columns())))?;
        if key.contains(&index) {
            return Err(spec.options.invalid("key.fields", text, "different columns"));
        }
        key.push(index);
    }
    Ok(key)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
