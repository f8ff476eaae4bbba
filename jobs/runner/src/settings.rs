//! Every setting and its default, in one place, and their parsing into numbers.
//!
//! Options of tables are the connectors'; this file knows the job's settings only. Precedence is applied before:
//! `-D` and `--parallelism` over job.toml over `SET` in the job over the defaults here.

use crate::job_file::JobFile;
use crate::process;
use aqueduct_core::{Error, JobName, Result, parse_duration};
use aqueduct_runtime::OnDamage;
use std::collections::BTreeMap;
use std::time::Duration;

/// Commits between two collections of garbage: often enough that the folder stays small, seldom enough to cost nothing.
const COLLECT_EVERY: u64 = 20;

/// Panes that a reading thread writes down at a time for a checkpoint, at most: some 2 MB. Mostly its time is over before.
const PANES_PER_TURN: usize = 16_384;

/// Result rows of an epoch that come from the state store: some 100 MB on their way to the sinks.
const FIRED_KEYS: usize = 1 << 19;

/// Result rows of an epoch above which windows wait for the next one. A window that waits is written to the checkpoint, which costs more
/// than to fire it: only a flood is to be held back.
const FIRED_ROWS: usize = 1 << 22;

/// Panes that are read into memory at a time after a restart: some tens of milliseconds.
const PANES_PER_LOAD: usize = 1 << 16;

/// Flink's `taskmanager.memory.managed.fraction`, per cent.
const MANAGED_PERCENT: u64 = 40;

/// A setting of the job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingDef {
    /// The key; Flink's, where Flink has one.
    pub(crate) key: &'static str,
    /// Other keys of the same meaning (older Flink versions).
    pub(crate) aliases: &'static [&'static str],
    /// The value when nobody sets it, as text; a sentence in brackets where it is computed.
    pub(crate) default: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
}

const fn setting(key: &'static str, default: &'static str, help: &'static str) -> SettingDef {
    SettingDef { key, aliases: &[], default, help }
}

/// All settings. Changing a default here changes it everywhere.
pub(crate) const SETTINGS: &[SettingDef] = &[
    setting(
        "pipeline.name",
        "(the job's folder)",
        "The name under which the job keeps checkpoints, fences and cursors.",
    ),
    setting("parallelism.default", "(number of cores)", "Reading threads."),
    setting(
        "execution.checkpointing.interval",
        "10 s",
        "The longest time between two checkpoints; results become visible with them.",
    ),
    setting(
        "execution.checkpointing.min-pause",
        "1 s",
        "The least time between two checkpoints, also after a window has fired.",
    ),
    SettingDef {
        key: "execution.checkpointing.dir",
        aliases: &["state.checkpoints.dir"],
        default: "(.aqueduct/checkpoints in the current folder)",
        help: "Where checkpoints lie: a folder, file://, gs:// or s3://.",
    },
    SettingDef {
        key: "state.checkpoints.num-retained",
        aliases: &["execution.checkpointing.num-retained"],
        default: "3",
        help: "Committed checkpoints kept for a restore.",
    },
    setting(
        "execution.checkpointing.on-damage",
        "refuse",
        "When the newest checkpoint cannot be read: refuse to start, or fall-back to the newest whole one under a new lineage, if no sink \
         loses or doubles a row by it.",
    ),
    SettingDef {
        key: "execution.checkpointing.savepoint-dir",
        aliases: &["state.savepoints.dir"],
        default: "(savepoints in the job's checkpoint folder)",
        help: "Where savepoints go when --to does not say it.",
    },
    setting(
        "table.exec.source.idle-timeout",
        "0 s",
        "Silence after which a partition holds windows back no longer; 0 is never.",
    ),
    setting(
        "taskmanager.memory.managed.size",
        "(40 % of the memory that the process may use)",
        "Memory for keys and their aggregates; TUMBLE windows beyond it go on in the state store on disk. The rest of the process takes \
         about 150 mb.",
    ),
    setting("aqueduct.outbox.max-bytes", "256 mb", "Undelivered results of one sink above which reading waits."),
    setting("aqueduct.seal.max-bytes", "32 mb", "Results held in memory above which a checkpoint is taken early."),
    setting(
        "aqueduct.restore.max-bytes",
        "16 mb",
        "State of a checkpoint, in its files, that is read before the first record; more of it is read beside the records, and \
         windows that need it wait.",
    ),
    setting(
        "aqueduct.exits.max-rows",
        "10000",
        "Late rows and dead letters kept per checkpoint and query; all are counted.",
    ),
    setting(
        "aqueduct.checkpoints.endpoint",
        "(the cloud's)",
        "Address of a stand-in or private endpoint of the checkpoint store.",
    ),
    setting(
        "aqueduct.quarantine.dir",
        "(the checkpoint folder)",
        "Where late rows, dead letters and the ledger go when no INSERT takes them; none drops them (they are counted all the same).",
    ),
    setting(
        "aqueduct.discovery.interval",
        "30 s",
        "How often new partitions are looked for, where no table says it; 0 is never.",
    ),
];

/// What becomes of a key of Flink's that has no meaning here.
enum Foreign {
    /// Any value is taken; it changes no result.
    Ignored(&'static str),
    /// Only these values are taken; others would change results.
    Only(&'static [&'static str], &'static str),
}

/// Keys (or, with a dot at the end, prefixes) that Flink jobs carry and that need no change when the job moves.
const FOREIGN: &[(&str, Foreign)] = &[
    (
        "execution.runtime-mode",
        Foreign::Only(&["streaming", "automatic"], "bounded inputs end by themselves in streaming mode"),
    ),
    (
        "table.local-time-zone",
        Foreign::Only(
            &["UTC", "Z", "GMT", "Etc/UTC"],
            "all times are UTC; shift windows by their offset argument instead",
        ),
    ),
    ("table.sql-dialect", Foreign::Only(&["default"], "only Flink's own dialect is read")),
    (
        "table.exec.sink.not-null-enforcer",
        Foreign::Only(&["error"], "a null in a NOT NULL column is never dropped in silence"),
    ),
    ("table.exec.legacy-cast-behaviour", Foreign::Only(&["disabled"], "only the SQL standard's casts exist")),
    ("table.exec.emit.early-fire.enabled", Foreign::Only(&["false"], "windows fire once, from the watermark")),
    ("table.exec.emit.late-fire.enabled", Foreign::Only(&["false"], "late rows go to aqueduct$late")),
    ("table.dml-sync", Foreign::Ignored("run always waits for the job")),
    ("execution.attached", Foreign::Ignored("run always waits for the job")),
    ("execution.checkpointing.mode", Foreign::Ignored("checkpoints are always exactly-once")),
    ("execution.checkpointing.timeout", Foreign::Ignored("an upload is retried until it is through")),
    ("execution.checkpointing.unaligned", Foreign::Ignored("barriers never wait behind rows")),
    ("execution.checkpointing.unaligned.", Foreign::Ignored("barriers never wait behind rows")),
    ("execution.checkpointing.incremental", Foreign::Ignored("checkpoints are always incremental")),
    ("execution.checkpointing.max-concurrent-checkpoints", Foreign::Ignored("one checkpoint is taken at a time")),
    (
        "execution.checkpointing.tolerable-failed-checkpoints",
        Foreign::Ignored("a checkpoint that fails is tried again"),
    ),
    (
        "execution.checkpointing.externalized-checkpoint-retention",
        Foreign::Ignored("checkpoints always stay when the job ends"),
    ),
    ("state.backend", Foreign::Ignored("state is always kept in memory and RocksDB")),
    ("state.backend.", Foreign::Ignored("state is always kept in memory and RocksDB")),
    ("restart-strategy", Foreign::Ignored("restarting belongs to the orchestrator: see the exit codes")),
    ("restart-strategy.", Foreign::Ignored("restarting belongs to the orchestrator: see the exit codes")),
    ("pipeline.object-reuse", Foreign::Ignored("there are no objects per record")),
    ("pipeline.operator-chaining", Foreign::Ignored("operators are always chained")),
    ("pipeline.operator-chaining.", Foreign::Ignored("operators are always chained")),
    ("pipeline.max-parallelism", Foreign::Ignored("parallelism may change at each start")),
    ("pipeline.auto-watermark-interval", Foreign::Ignored("watermarks follow the rows")),
    ("pipeline.jars", Foreign::Ignored("connectors are built in")),
    ("pipeline.classpaths", Foreign::Ignored("connectors are built in")),
    ("table.exec.mini-batch.", Foreign::Ignored("rows are always handled in batches")),
    ("table.exec.state.ttl", Foreign::Ignored("windows drop their state when they close")),
    ("table.optimizer.", Foreign::Ignored("the planner has no such switches")),
    ("taskmanager.", Foreign::Ignored("there is one process")),
    ("jobmanager.", Foreign::Ignored("there is one process")),
    ("rest.", Foreign::Ignored("use --http")),
    ("python.", Foreign::Ignored("there is no Python in the job")),
    ("sql-client.", Foreign::Ignored("there is no SQL client")),
];

/// The settings of a run, parsed.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    /// What the runtime gets.
    pub(crate) runtime: aqueduct_runtime::Settings,
    /// `execution.checkpointing.dir`: a URL or an absolute path.
    pub(crate) checkpoint_dir: String,
    /// `aqueduct.checkpoints.endpoint`
    pub(crate) checkpoint_endpoint: Option<String>,
    /// `execution.checkpointing.savepoint-dir`, when it is set.
    pub(crate) savepoint_dir: Option<String>,
    /// `aqueduct.quarantine.dir`; `None` when it is `none`.
    pub(crate) quarantine_dir: Option<String>,
    /// Settings that were taken and do nothing, each with why.
    pub(crate) warnings: Vec<String>,
}

/// Parses merged settings. `job` gives the default name, and lines for messages.
pub(crate) fn parse(settings: &BTreeMap<String, String>, job: &JobFile) -> Result<RunSettings> {
    let warnings = check_keys(settings, job)?;
    let values = Values(settings);
    let name = values.text("pipeline.name").unwrap_or(&job.name);
    let runtime = aqueduct_runtime::Settings {
        job: JobName::new(name)?,
        parallelism: parallelism(&values)?,
        checkpoint_interval: values.positive_duration("execution.checkpointing.interval")?,
        checkpoint_min_pause: values.duration("execution.checkpointing.min-pause")?,
        max_backlog_bytes: values.bytes("aqueduct.outbox.max-bytes")?,
        max_buffered_bytes: values.bytes("aqueduct.seal.max-bytes")?,
        max_kept_exits: usize::try_from(values.whole("aqueduct.exits.max-rows", 0)?).unwrap_or(usize::MAX),
        max_state_bytes: managed_memory(&values)?,
        max_restore_bytes: values.bytes("aqueduct.restore.max-bytes")?,
        max_fired_keys: FIRED_KEYS,
        max_fired_rows: FIRED_ROWS,
        panes_per_turn: PANES_PER_TURN,
        panes_per_load: PANES_PER_LOAD,
        discovery_interval: Some(values.duration("aqueduct.discovery.interval")?).filter(|every| !every.is_zero()),
        retained_checkpoints: usize::try_from(values.whole("state.checkpoints.num-retained", 1)?).unwrap_or(usize::MAX),
        collect_every: COLLECT_EVERY,
        on_damage: on_damage(&values)?,
        other_input: false,
    };
    // The planner uses it; a bad value should not get that far without the setting's name.
    values.duration("table.exec.source.idle-timeout")?;
    let checkpoint_dir = folder(
        "execution.checkpointing.dir",
        values.text("execution.checkpointing.dir").unwrap_or(".aqueduct/checkpoints"),
    )?;
    let checkpoint_endpoint = values.text("aqueduct.checkpoints.endpoint").map(str::to_owned);
    let quarantine_dir = match values.text("aqueduct.quarantine.dir") {
        None => Some(checkpoint_dir.clone()),
        Some("none") => None,
        Some(given) => Some(folder("aqueduct.quarantine.dir", given)?),
    };
    let savepoint_dir = values.text("execution.checkpointing.savepoint-dir");
    let savepoint_dir =
        savepoint_dir.map(|given| folder("execution.checkpointing.savepoint-dir", given)).transpose()?;
    Ok(RunSettings { runtime, checkpoint_dir, checkpoint_endpoint, savepoint_dir, quarantine_dir, warnings })
}

/// The canonical key of a setting, for merging: `-D state.checkpoints.dir=...` must hide `execution.checkpointing.dir`.
pub(crate) fn canonical(key: &str) -> &str {
    SETTINGS.iter().find(|def| def.aliases.contains(&key)).map_or(key, |def| def.key)
}

fn parallelism(values: &Values<'_>) -> Result<usize> {
    if values.text("parallelism.default").is_none() {
        return Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    }
    match values.whole("parallelism.default", 1)? {
        threads @ 1..=1024 => Ok(threads as usize),
        threads => Err(values.invalid("parallelism.default", &threads.to_string(), "a whole number from 1 to 1024")),
    }
}

fn on_damage(values: &Values<'_>) -> Result<OnDamage> {
    let key = "execution.checkpointing.on-damage";
    match values.or_default(key) {
        "refuse" => Ok(OnDamage::Refuse),
        "fall-back" => Ok(OnDamage::FallBack),
        other => Err(values.invalid(key, other, "refuse or fall-back")),
    }
}

/// A URL as it stands; a path of this machine made absolute, so that messages and restarts mean the same place.
pub(crate) fn folder(key: &str, given: &str) -> Result<String> {
    if given.contains("://") {
        return Ok(given.trim_end_matches('/').to_owned());
    }
    std::path::absolute(given)
        .map(|path| path.display().to_string())
        .map_err(|error| Error::config(format!("{key} '{given}' is not usable: {error}")))
}

fn check_keys(settings: &BTreeMap<String, String>, job: &JobFile) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (key, value) in settings {
        if SETTINGS.iter().any(|def| def.key == key || def.aliases.contains(&key.as_str())) {
            continue;
        }
        match FOREIGN.iter().find(|(known, _)| key == known || (known.ends_with('.') && key.starts_with(known))) {
            Some((_, Foreign::Ignored(why))) => warnings.push(format!("setting '{key}' has no effect here: {why}")),
            Some((_, Foreign::Only(allowed, why))) => {
                if !allowed.iter().any(|one| one.eq_ignore_ascii_case(value)) {
                    return Err(Error::config(format!(
                        "setting '{key}' = '{value}' is not possible{}: {why}; remove it or set it to '{}'",
                        place(key, job),
                        allowed[0]
                    )));
                }
            }
            None => return Err(unknown(key, job)),
        }
    }
    Ok(warnings)
}

fn unknown(key: &str, job: &JobFile) -> Error {
    let known = SETTINGS.iter().flat_map(|def| std::iter::once(def.key).chain(def.aliases.iter().copied()));
    let nearest = known
        .map(|name| (strsim::normalized_damerau_levenshtein(key, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.5);
    let next = nearest.map_or_else(
        || "'aqueduct run --help' lists the settings; options of tables go into WITH (...)".to_owned(),
        |(_, name)| format!("did you mean '{name}'?"),
    );
    Error::config(format!("unknown setting '{key}'{}: {next}", place(key, job)))
}

fn place(key: &str, job: &JobFile) -> String {
    match job.settings.contains_key(key).then(|| job.toml_line(key)) {
        Some(Some(line)) => format!(" ({}, line {line})", job.toml_path),
        _ => String::new(),
    }
}

/// The text under `--help` that lists all settings.
pub(crate) fn help() -> String {
    let mut out = String::from("Settings (-D KEY=VALUE, [settings] in job.toml, SET in the job), in this order:\n");
    for def in SETTINGS {
        out.push_str(&format!("  {} = {}\n      {}\n", def.key, def.default, def.help));
    }
    out
}

struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn def(key: &str) -> &'static SettingDef {
        SETTINGS.iter().find(|def| def.key == key).expect("keys in this file are in SETTINGS")
    }

    fn text(&self, key: &str) -> Option<&str> {
        let names = std::iter::once(key).chain(Self::def(key).aliases.iter().copied());
        names.filter_map(|name| self.0.get(name)).map(|value| value.trim()).find(|value| !value.is_empty())
    }

    fn or_default(&self, key: &str) -> &str {
        self.text(key).unwrap_or(Self::def(key).default)
    }

    fn duration(&self, key: &str) -> Result<Duration> {
        let text = self.or_default(key);
        parse_duration(text).ok_or_else(|| self.invalid(key, text, "a duration such as '500 ms', '10 s' or '5 min'"))
    }

    fn positive_duration(&self, key: &str) -> Result<Duration> {
        let parsed = self.duration(key)?;
        if parsed.is_zero() { Err(self.invalid(key, self.or_default(key), "longer than 0")) } else { Ok(parsed) }
    }

    fn whole(&self, key: &str, least: u64) -> Result<u64> {
        let text = self.or_default(key);
        let expected = format!("a whole number from {least}");
        let parsed = text.replace('_', "").parse().ok().filter(|number| *number >= least);
        parsed.ok_or_else(|| self.invalid(key, text, &expected))
    }

    fn bytes(&self, key: &str) -> Result<u64> {
        let text = self.or_default(key);
        parse_bytes(text)
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| self.invalid(key, text, "a size such as '64 mb' or '1 gb'"))
    }

    fn invalid(&self, key: &str, value: &str, expected: &str) -> Error {
        Error::config(format!("setting '{key}' = '{value}' is not usable: it must be {expected}"))
    }
}

fn managed_memory(values: &Values<'_>) -> Result<u64> {
    const KEY: &str = "taskmanager.memory.managed.size";
    match (values.text(KEY), process::memory_limit()) {
        (Some(_), _) => values.bytes(KEY),
        (None, Some(limit)) => Ok(limit / 100 * MANAGED_PERCENT),
        (None, None) => Ok(u64::MAX),
    }
}

/// Flink's sizes: a number and `b`, `kb`, `mb`, `gb`, `tb` (or their first letter), in steps of 1024.
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number: u64 = text[..digits].replace('_', "").parse().ok()?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kib" | "kibibytes" => 10,
        "m" | "mb" | "mib" | "mebibytes" => 20,
        "g" | "gb" | "gib" | "gibibytes" => 30,
        "t" | "tb" | "tib" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
