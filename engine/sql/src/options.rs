//! `WITH (...)` options: does the connector exist, does it know the option, which options are the planner's own.
//!
//! Values are checked by the connector, when it makes the source or sink.

use crate::ddl::TableDdl;
use crate::error::{Problem, Result};
use crate::text::{Prepared, hide_marks};
use crate::{PlanRequest, names};
use aqueduct_core::{Connector, parse_duration};
use sqlparser::tokenizer::Location;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The idle timeout of a table's watermark.
pub(crate) const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";
/// Whose watermark decides what is late.
pub(crate) const LATE_SCOPE: &str = "scan.watermark.late-scope";

/// The options of a table, resolved.
#[derive(Clone)]
pub(crate) struct TableOptions {
    pub(crate) connector: Arc<dyn Connector>,
    /// Without `connector` and the planner's own; empty values left out.
    pub(crate) values: BTreeMap<String, String>,
    /// Of the values that hold secrets: with references in the place of those.
    pub(crate) written: BTreeMap<String, String>,
    /// `Some(None)` is never.
    pub(crate) idle_timeout: Option<Option<Duration>>,
    pub(crate) late_by_operator: bool,
}

struct Given {
    key: String,
    value: String,
    written: Option<String>,
    /// The value for messages: without secrets.
    shown: String,
    key_at: Location,
    value_at: Location,
}

/// Resolves and checks. All variables without a value are told at once.
pub(crate) fn resolve(
    ddl: &TableDdl,
    request: &PlanRequest<'_>,
    prepared: &Prepared,
) -> std::result::Result<TableOptions, Vec<Problem>> {
    let name = &ddl.name.value;
    let (given, note) = match request.overrides.replace.get(name) {
        Some(replaced) => {
            let at = ddl.name.span.start;
            let given = |(key, value): (&String, &String)| Given {
                key: key.clone(),
                value: value.clone(),
                written: None,
                shown: value.clone(),
                key_at: at,
                value_at: at,
            };
            (replaced.iter().map(given).collect(), " (its options are replaced by job.toml)")
        }
        None => (read(ddl, request, prepared)?, ""),
    };
    check(ddl, given, note, request).map_err(|problem| vec![problem])
}

fn read(
    ddl: &TableDdl,
    request: &PlanRequest<'_>,
    prepared: &Prepared,
) -> std::result::Result<Vec<Given>, Vec<Problem>> {
    let (mut given, mut problems): (Vec<Given>, Vec<Problem>) = (Vec::new(), Vec::new());
    for option in &ddl.options {
        if given.iter().any(|other| other.key == option.key) {
            problems.push(
                Problem::new(option.key_at, format!("the option '{}' is given twice", option.key)).help("keep one"),
            );
        }
        match prepared.resolve(&option.value, request.variables) {
            Ok(resolved) => given.push(Given {
                key: option.key.clone(),
                value: resolved.value,
                written: resolved.written,
                shown: hide_marks(&option.value),
                key_at: option.key_at,
                value_at: option.value_at,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

fn check(ddl: &TableDdl, given: Vec<Given>, note: &str, request: &PlanRequest<'_>) -> Result<TableOptions> {
    let table = &ddl.name.value;
    let known = || request.connectors.iter().map(|connector| connector.name());
    let Some(wanted) = given.iter().find(|option| option.key == "connector" && !option.value.is_empty()) else {
        return Err(Problem::new(ddl.name.span.start, format!("the table '{table}' has no connector{note}")).help(
            format!("write WITH ('connector' = '...'); connectors: {}", known().collect::<Vec<_>>().join(", ")),
        ));
    };
    let Some(connector) = request.connectors.iter().find(|connector| connector.name() == wanted.value) else {
        return Err(Problem::new(
            wanted.value_at,
            format!("table '{table}'{note}: there is no connector '{}'", wanted.shown),
        )
        .help(names::suggest(&wanted.value, "connectors", known())));
    };
    let mut options = TableOptions {
        connector: Arc::clone(connector),
        values: BTreeMap::new(),
        written: BTreeMap::new(),
        idle_timeout: None,
        late_by_operator: false,
    };
    for option in &given {
        match option.key.as_str() {
            "connector" => {}
            IDLE_TIMEOUT => options.idle_timeout = Some(idle(table, option)?),
            LATE_SCOPE => options.late_by_operator = late_scope(table, option)?,
            _ => {
                check_option(connector.as_ref(), table, note, option)?;
                if !option.value.is_empty() {
                    options.values.insert(option.key.clone(), option.value.clone());
                    options.written.extend(option.written.iter().map(|text| (option.key.clone(), text.clone())));
                }
            }
        }
    }
    Ok(options)
}

fn check_option(connector: &dyn Connector, table: &str, note: &str, option: &Given) -> Result<()> {
    let known = connector.options();
    let fits = |def: &&aqueduct_core::OptionDef| {
        if def.prefix {
            option.key.starts_with(def.key) && option.key.len() > def.key.len()
        } else {
            option.key == def.key
        }
    };
    if !known.iter().any(|def| fits(&def)) {
        let keys = known
            .iter()
            .map(|def| def.key)
            .chain(connector.roles().source.then_some([IDLE_TIMEOUT, LATE_SCOPE]).into_iter().flatten());
        let message =
            format!("table '{table}'{note}: the connector '{}' has no option '{}'", connector.name(), option.key);
        return Err(Problem::new(option.key_at, message).help(names::suggest(&option.key, "options", keys)));
    }
    if matches!(option.key.as_str(), "format" | "value.format" | "key.format") {
        let planned = [
            "avro",
            "avro-confluent",
            "protobuf",
            "csv",
            "debezium-json",
            "debezium-avro-confluent",
            "canal-json",
            "maxwell-json",
            "orc",
        ];
        if planned.contains(&option.value.as_str()) {
            return Err(Problem::new(
                option.value_at,
                format!("table '{table}'{note}: the format '{}' is not supported yet", option.shown),
            )
            .help("use 'json'; the filesystem connector also takes 'parquet'"));
        }
    }
    Ok(())
}

/// A duration of zero is never.
pub(crate) fn idle_timeout(text: &str) -> Option<Option<Duration>> {
    parse_duration(text).map(|timeout| (!timeout.is_zero()).then_some(timeout))
}

fn idle(table: &str, option: &Given) -> Result<Option<Duration>> {
    idle_timeout(&option.value).ok_or_else(|| {
        Problem::new(
            option.value_at,
            format!("table '{table}': '{}' = '{}' is not a duration", option.key, option.shown),
        )
        .help("write a duration such as '30 s'; '0 ms' is never")
    })
}

fn late_scope(table: &str, option: &Given) -> Result<bool> {
    match option.value.to_ascii_lowercase().as_str() {
        "split" => Ok(false),
        "operator" => Ok(true),
        _ => Err(Problem::new(
            option.value_at,
            format!("table '{table}': '{}' = '{}' does not exist", option.key, option.shown),
        )
        .help("write 'split' (results do not depend on how partitions interleave) or 'operator' (as in Flink)")),
    }
}
