//! The `WITH` options of `filesystem` tables as checked values. It opens nothing.

use crate::layout::{NamePiece, parse_template};
use crate::store::{Location, StoreOptions};
use aqueduct_core::json::{JsonOptions, TimestampFormat};
use aqueduct_core::{Error, FailPoints, OptionDef, Options, Result, SinkSpec, TableColumn};
use arrow::datatypes::DataType;

/// Every option of the connector.
pub(crate) const OPTIONS: &[OptionDef] = &[
    OptionDef::new("path", "gs://bucket/folder, s3://bucket/folder, file:///folder or a local folder"),
    OptionDef::new("format", "json (one object per line) or parquet"),
    OptionDef::new("endpoint", "address of a stand-in or private endpoint of the store, such as http://127.0.0.1:9000"),
    OptionDef::with_default(
        "sink.layout",
        "epoch",
        "epoch: some files per checkpoint, in partition folders; object-per-row: one object per row",
    ),
    OptionDef::new(
        "sink.object-name",
        "with object-per-row: the name below path, such as 'results/{day}_{label}.json'",
    ),
    OptionDef::new(
        "sink.partition-time-column",
        "the TIMESTAMP column behind the folders dt=.../hour=..., or none; default: the key's first, else the first",
    ),
    OptionDef::with_default("parquet.compression", "zstd", "zstd or none"),
    OptionDef::with_default("json.timestamp-format.standard", "ISO-8601", "ISO-8601 or SQL"),
    OptionDef::with_default("json.ignore-parse-errors", "false", "source: true makes a field that cannot be read null"),
];

/// The format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The extension of written files.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Parquet => "parquet",
        }
    }

    /// True for names that hold this format.
    pub(crate) fn fits(self, name: &str) -> bool {
        let extensions: &[&str] = match self {
            Format::Json => &["json", "jsonl", "ndjson"],
            Format::Parquet => &["parquet"],
        };
        name.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }
}

/// The folders between `path` and the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Folders {
    /// None.
    Flat,
    /// `dt=.../hour=...` of this column; the column stays in the files.
    Hour(usize),
    /// `PARTITIONED BY`: these columns stand in the folders' names only.
    Columns(Vec<usize>),
}

/// How rows become objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Some files per epoch.
    Epoch(Folders),
    /// One object per row, named by the template.
    ObjectPerRow(Vec<NamePiece>),
}

/// What source and sink have in common.
#[derive(Debug, Clone)]
pub(crate) struct TableConfig {
    pub(crate) table: String,
    /// As the user wrote it, without a `/` at its end; for opening and for messages.
    pub(crate) path: String,
    pub(crate) format: Format,
    pub(crate) json: JsonOptions,
    pub(crate) store: StoreOptions,
}

impl TableConfig {
    pub(crate) fn new(table: &str, options: &Options) -> Result<Self> {
        let path = options.require("path")?;
        Location::parse(path).map_err(|error| error.context(format!("table '{table}', option 'path'")))?;
        options.require("format")?;
        let format = match options.one_of("format", "json", &["json", "parquet"])? {
            "parquet" => Format::Parquet,
            _ => Format::Json,
        };
        let timestamp_format =
            match options.one_of("json.timestamp-format.standard", "ISO-8601", &["ISO-8601", "SQL"])? {
                "SQL" => TimestampFormat::Sql,
                _ => TimestampFormat::Iso8601,
            };
        let ignore_parse_errors = options.bool("json.ignore-parse-errors", false)?;
        let store = StoreOptions { endpoint: options.get("endpoint").map(str::to_owned), ..StoreOptions::default() };
        Ok(Self {
            table: table.to_owned(),
            path: if path.len() > 1 { path.trim_end_matches('/') } else { path }.to_owned(),
            format,
            json: JsonOptions { timestamp_format, ignore_parse_errors },
            store,
        })
    }

    /// The address of an object for messages.
    pub(crate) fn address(&self, relative: &str) -> String {
        format!("{}/{relative}", self.path)
    }
}

/// Everything that the sink decides once.
#[derive(Debug, Clone)]
pub(crate) struct SinkConfig {
    pub(crate) common: TableConfig,
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) layout: Layout,
    pub(crate) zstd: bool,
    /// Indexes of the primary key; rows of an epoch with the same key: the last one is kept.
    pub(crate) key: Vec<usize>,
    /// Indexes of the columns that stand in the files.
    pub(crate) file_columns: Vec<usize>,
    pub(crate) points: FailPoints,
}

impl SinkConfig {
    pub(crate) fn new(spec: &SinkSpec) -> Result<Self> {
        let common = TableConfig::new(&spec.table, &spec.options)?;
        let layout = match spec.options.one_of("sink.layout", "epoch", &["epoch", "object-per-row"])? {
            "epoch" => Layout::Epoch(folders(spec)?),
            _ => Layout::ObjectPerRow(object_name(spec, common.format)?),
        };
        let in_folders: &[usize] = match &layout {
            Layout::Epoch(Folders::Columns(columns)) => columns,
            _ => &[],
        };
        let file_columns: Vec<usize> = (0..spec.columns.len()).filter(|index| !in_folders.contains(index)).collect();
        if file_columns.is_empty() {
            return Err(Error::config(format!(
                "table '{}': PARTITIONED BY names every column, so the files would be empty: leave one out",
                spec.table
            )));
        }
        Ok(Self {
            zstd: spec.options.one_of("parquet.compression", "zstd", &["zstd", "none"])? == "zstd",
            columns: spec.columns.clone(),
            key: spec.primary_key.clone(),
            common,
            layout,
            file_columns,
            points: spec.fail_points.clone(),
        })
    }
}

fn folders(spec: &SinkSpec) -> Result<Folders> {
    if spec.options.get("sink.object-name").is_some() {
        return Err(Error::config(format!(
            "table '{}': 'sink.object-name' works with 'sink.layout' = 'object-per-row' only",
            spec.table
        )));
    }
    let time_column = spec.options.get("sink.partition-time-column");
    if !spec.partitioned_by.is_empty() {
        if time_column.is_some_and(|name| name != "none") {
            return Err(Error::config(format!(
                "table '{}': PARTITIONED BY and 'sink.partition-time-column' exclude each other: take one of them",
                spec.table
            )));
        }
        spec.partitioned_by.iter().try_for_each(|index| partition_type(spec, &spec.columns[*index]))?;
        return Ok(Folders::Columns(spec.partitioned_by.clone()));
    }
    let is_time = |index: &usize| matches!(spec.columns[*index].data_type, DataType::Timestamp(_, _));
    let column = match time_column {
        Some("none") => None,
        Some(name) => {
            let found = spec.columns.iter().position(|column| column.name == name);
            Some(found.filter(is_time).ok_or_else(|| {
                spec.options.invalid("sink.partition-time-column", name, "a TIMESTAMP column of the table, or none")
            })?)
        }
        None => spec.primary_key.iter().copied().find(is_time).or_else(|| (0..spec.columns.len()).find(is_time)),
    };
    let Some(column) = column else { return Ok(Folders::Flat) };
    match spec.columns.iter().find(|column| matches!(column.name.as_str(), "dt" | "hour")) {
        Some(clash) => Err(Error::config(format!(
            "table '{}': its column '{}' clashes with the partition folders dt=.../hour=...: rename it, use \
             PARTITIONED BY, or set 'sink.partition-time-column' = 'none'",
            spec.table, clash.name
        ))),
        None => Ok(Folders::Hour(column)),
    }
}

/// Only types whose text in a folder's name can be read back.
fn partition_type(spec: &SinkSpec, column: &TableColumn) -> Result<()> {
    use DataType as D;
    let fits = matches!(
        column.data_type,
        D::Utf8
            | D::Int8
            | D::Int16
            | D::Int32
            | D::Int64
            | D::Boolean
            | D::Date32
            | D::Timestamp(_, _)
            | D::Decimal128(_, _)
    );
    if fits {
        return Ok(());
    }
    Err(Error::config(format!(
        "table '{}': PARTITIONED BY ({}): a column of type {} cannot name a folder: take text, integer, date or \
         timestamp",
        spec.table, column.name, column.sql_type
    )))
}

fn object_name(spec: &SinkSpec, format: Format) -> Result<Vec<NamePiece>> {
    let refuse =
        |what: &str| Err(Error::config(format!("table '{}': 'sink.layout' = 'object-per-row' {what}", spec.table)));
    if format != Format::Json {
        return refuse("writes JSON only: set 'format' = 'json'");
    }
    if !spec.partitioned_by.is_empty() || spec.options.get("sink.partition-time-column").is_some() {
        return refuse("has no partition folders: put them into 'sink.object-name'");
    }
    let template = spec.options.require("sink.object-name")?;
    let find = |name: &str| spec.columns.iter().position(|column| column.name == name);
    parse_template(template, find).map_err(|reason| {
        let names: Vec<&str> = spec.columns.iter().map(|column| column.name.as_str()).collect();
        Error::config(format!(
            "table '{}': option 'sink.object-name' = '{template}' is not usable: {reason} (columns: {})",
            spec.table,
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests;
