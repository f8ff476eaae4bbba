//! The options of `datagen`, checked. What the records look like in bytes is not decided here.

use super::columns::{ColumnRule, rules};
use aqueduct_core::json::{TimestampFormat, parse_timestamp};
use aqueduct_core::{Options, Result, TableColumn};
use arrow::datatypes::TimeUnit;

/// What the records look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Variants of products' pictures.
    ProductImages,
    /// Payments.
    Payments,
    /// One field per declared column.
    Columns(Vec<ColumnRule>),
}

impl Template {
    fn name(&self) -> &'static str {
        match self {
            Template::ProductImages => "product-images",
            Template::Payments => "payments",
            Template::Columns(_) => "columns",
        }
    }
}

/// Everything that decides which records there are.
#[derive(Debug, Clone, PartialEq)]
pub struct DatagenConfig {
    /// `seed`
    pub seed: u64,
    /// `number-of-rows`; `None` without end.
    pub number_of_rows: Option<i64>,
    /// `rows-per-second`; `None` for as fast as possible.
    pub rows_per_second: Option<f64>,
    /// `partitions`
    pub partitions: i32,
    /// `idle-partitions`
    pub idle_partitions: i32,
    /// `start-time`, in microseconds since 1970.
    pub start_us: i64,
    /// `time-step`, in microseconds.
    pub time_step_us: i64,
    /// `disorder`, in microseconds.
    pub disorder_us: i64,
    /// `late-fraction`
    pub late_fraction: f64,
    /// `late-by`, in microseconds.
    pub late_by_us: i64,
    /// `malformed-fraction`
    pub malformed_fraction: f64,
    /// `missing-fraction`
    pub missing_fraction: f64,
    /// `text-number-fraction`
    pub text_number_fraction: f64,
    /// `key-cardinality`
    pub key_cardinality: u64,
    /// `time-format` = `mixed`
    pub mixed_times: bool,
    /// `template`
    pub template: Template,
}

impl DatagenConfig {
    /// Reads the options of a table. `declared` are all its physical columns. Errors name table and option.
    pub fn new(options: &Options, declared: &[TableColumn]) -> Result<Self> {
        options.one_of("format", "json", &["json"])?;
        let disorder_us = micros(options, "disorder", 0)?;
        let (partitions, idle_partitions) = partitions(options)?;
        Ok(Self {
            seed: options.number("seed", 1, "a whole number from 0 on")?,
            number_of_rows: positive(options, "number-of-rows")?,
            rows_per_second: rate(options)?,
            partitions,
            idle_partitions,
            start_us: start(options)?,
            time_step_us: micros(options, "time-step", 1_000)?,
            disorder_us,
            late_fraction: fraction(options, "late-fraction")?,
            late_by_us: micros(options, "late-by", disorder_us.saturating_add(60_000_000))?,
            malformed_fraction: fraction(options, "malformed-fraction")?,
            missing_fraction: fraction(options, "missing-fraction")?,
            text_number_fraction: fraction(options, "text-number-fraction")?,
            key_cardinality: positive(options, "key-cardinality")?.unwrap_or(10).unsigned_abs(),
            mixed_times: options.one_of("time-format", "iso", &["iso", "mixed"])? == "mixed",
            template: template(options, declared)?,
        })
    }

    /// How many records a partition holds; `None` without end. The partitions take turns.
    pub fn rows_of(&self, partition: i32) -> Option<i64> {
        let active = i64::from(self.partitions - self.idle_partitions);
        let partition = i64::from(partition);
        if partition >= active {
            return Some(0);
        }
        self.number_of_rows.map(|rows| (rows - partition).max(0).saturating_add(active - 1) / active)
    }

    /// What must not change between a checkpoint and a restart: everything that decides what stands at an offset. The number
    /// of rows and their rate may.
    pub fn identity(&self) -> String {
        let frozen = Self { number_of_rows: None, rows_per_second: None, ..self.clone() };
        format!(
            "seed={} template={} partitions={} idle={} start={}us step={}us disorder={}us late={}/{}us malformed={} missing={} \
             text={} keys={} mixed={}{}",
            frozen.seed,
            frozen.template.name(),
            frozen.partitions,
            frozen.idle_partitions,
            frozen.start_us,
            frozen.time_step_us,
            frozen.disorder_us,
            frozen.late_fraction,
            frozen.late_by_us,
            frozen.malformed_fraction,
            frozen.missing_fraction,
            frozen.text_number_fraction,
            frozen.key_cardinality,
            frozen.mixed_times,
            match &frozen.template {
                Template::Columns(rules) => format!(" columns={rules:?}"),
                _ => String::new(),
            }
        )
    }
}

fn positive(options: &Options, key: &str) -> Result<Option<i64>> {
    const EXPECTED: &str = "a whole number from 1 on";
    let Some(text) = options.get(key) else { return Ok(None) };
    match options.number::<i64>(key, 1, EXPECTED)? {
        number if number > 0 => Ok(Some(number)),
        _ => Err(options.invalid(key, text, EXPECTED)),
    }
}

fn rate(options: &Options) -> Result<Option<f64>> {
    const EXPECTED: &str = "a number of records per second above 0";
    let Some(text) = options.get("rows-per-second") else { return Ok(None) };
    match options.number::<f64>("rows-per-second", 0.0, EXPECTED)? {
        rate if rate > 0.0 && rate.is_finite() => Ok(Some(rate)),
        _ => Err(options.invalid("rows-per-second", text, EXPECTED)),
    }
}

fn fraction(options: &Options, key: &str) -> Result<f64> {
    const EXPECTED: &str = "a share from 0 to 1, such as 0.01";
    let value = options.number(key, 0.0, EXPECTED)?;
    match options.get(key) {
        Some(text) if !(0.0..=1.0).contains(&value) => Err(options.invalid(key, text, EXPECTED)),
        _ => Ok(value),
    }
}

fn micros(options: &Options, key: &str, default: i64) -> Result<i64> {
    let Some(duration) = options.duration(key)? else { return Ok(default) };
    let whole = duration.subsec_nanos().is_multiple_of(1_000);
    match i64::try_from(duration.as_micros()) {
        Ok(micros) if whole => Ok(micros),
        _ => Err(options.invalid(
            key,
            options.get(key).unwrap_or_default(),
            "whole microseconds, such as '10 us' or '5 s'",
        )),
    }
}

fn start(options: &Options) -> Result<i64> {
    let text = options.get("start-time").unwrap_or("2026-01-01T00:00:00Z");
    let moment = parse_timestamp(text, TimestampFormat::Iso8601, true).ok();
    moment
        .and_then(|moment| moment.in_unit(TimeUnit::Microsecond))
        .ok_or_else(|| options.invalid("start-time", text, "a time such as 2026-01-01T00:00:00Z"))
}

fn partitions(options: &Options) -> Result<(i32, i32)> {
    const EXPECTED: &str = "a whole number from 1 to 10000";
    let partitions = options.number("partitions", 4, EXPECTED)?;
    if !(1..=10_000).contains(&partitions) {
        return Err(options.invalid("partitions", &partitions.to_string(), EXPECTED));
    }
    let expected = format!("a whole number from 0 to {}: one partition must bring records", partitions - 1);
    let idle = options.number("idle-partitions", 0, &expected)?;
    if !(0..partitions).contains(&idle) {
        return Err(options.invalid("idle-partitions", &idle.to_string(), &expected));
    }
    Ok((partitions, idle))
}

fn template(options: &Options, declared: &[TableColumn]) -> Result<Template> {
    let declares = |name: &str| declared.iter().any(|column| column.name == name);
    let field = options.below("fields.").next();
    let default = match field {
        Some(_) => "columns",
        None if declares("size_label") => "product-images",
        None if declares("currency") && declares("amount") => "payments",
        None => "columns",
    };
    let chosen = options.one_of("template", default, &["product-images", "payments", "columns"])?;
    if let (Some((key, value)), true) = (field, chosen != "columns") {
        return Err(options.invalid(&format!("fields.{key}"), value, "left out, or 'template' must be 'columns'"));
    }
    match chosen {
        "product-images" => Ok(Template::ProductImages),
        "payments" => Ok(Template::Payments),
        _ => Ok(Template::Columns(rules(options, declared)?)),
    }
}
