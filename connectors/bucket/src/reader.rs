//! Reading a results table back: only files that the ledger lists count, so that a half-delivered epoch is never seen.
//!
//! It answers the runner's `query`; it knows nothing of SQL and keeps no connection open. One listing of the ledger
//! tells which epochs count: a file's own name says to which epoch it belongs, so no ledger entry is read; only where a job
//! was set back, one object more says up to where its older lineages count.

use crate::config::{Layout, SinkConfig, TableConfig};
use crate::decode::TableReader;
use crate::layout::{LEDGER, LINE, NamePiece, parse_entry, parse_label, parse_part, relative, under};
use crate::store::{Location, open_store, store_error};
use aqueduct_core::json::JsonOptions;
use aqueduct_core::{Epoch, Error, Lineage, Result, ShardId, SinkSpec, TableColumn};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use crate::config::Format;

/// Objects that are read at once.
const CONCURRENT_READS: usize = 64;

/// What is read.
#[derive(Debug, Clone)]
pub struct ReadSpec {
    /// The columns of the result, those of `name=value` folders included.
    pub columns: Vec<TableColumn>,
    /// The format of the files.
    pub format: Format,
    /// How JSON is to be understood.
    pub json: JsonOptions,
    /// For tables with one object per row: what their names begin and end with. `None` for part files.
    pub object_names: Option<(String, String)>,
    /// The path as people know it, for messages.
    pub address: String,
}

/// Every row of the table that `spec` writes, as far as it is committed. An empty or missing folder has no rows.
pub async fn read_sink(spec: &SinkSpec) -> Result<Vec<RecordBatch>> {
    let config = SinkConfig::new(spec)?;
    let TableConfig { table, path, format, json, store } = config.common;
    let named = |error: Error| error.context(format!("table '{table}'"));
    let object_names = match config.layout {
        Layout::Epoch(_) => None,
        Layout::ObjectPerRow(template) => Some(fixed_ends(&template)),
    };
    if Location::parse(&path)?.is_missing_folder() {
        // A question must not create the folder.
        return Ok(vec![]);
    }
    let (store, prefix) = open_store(&path, &store).map_err(named)?;
    let read = ReadSpec { columns: config.columns, format, json, object_names, address: path };
    read_table(&store, &prefix, &read).await.map_err(named)
}

/// The text before the first and after the last column of a template.
fn fixed_ends(template: &[NamePiece]) -> (String, String) {
    let text = |piece: Option<&NamePiece>| match piece {
        Some(NamePiece::Text(text)) => text.clone(),
        _ => String::new(),
    };
    (text(template.first()), text(template.last()))
}

/// Every committed row below `prefix`, of all jobs, lineages and shards, ordered by file name. Where there is no ledger
/// (`_committed`) at all, every file of the format counts: such a folder was not written by this engine. With one
/// object per row, every object of the table's names counts, because such a name does not tell its epoch; its contents
/// are whole at any time.
pub async fn read_table(store: &Arc<dyn ObjectStore>, prefix: &Path, spec: &ReadSpec) -> Result<Vec<RecordBatch>> {
    let files = table_files(store, prefix, spec).await?;
    let reads: Vec<_> = files.into_iter().map(|file| fetch(store, prefix, file, &spec.address)).collect();
    let mut fetched = futures::stream::iter(reads).buffered(CONCURRENT_READS);
    let mut reader = TableReader::new(&spec.columns, spec.format, spec.json);
    while let Some((file, address, bytes)) = fetched.try_next().await? {
        reader.add(&file, &bytes, &address)?;
    }
    let batches = reader.finish()?;
    // A day of minutes in Parquet is a thousand batches of a few rows: one is cheaper for whoever asks.
    let schema = TableColumn::schema(&spec.columns);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if batches.len() > 1 && rows <= (1 << 20) { Ok(vec![concat_batches(&schema, &batches)?]) } else { Ok(batches) }
}

async fn fetch(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    file: String,
    address: &str,
) -> Result<(String, String, bytes::Bytes)> {
    let address = format!("{address}/{file}");
    let failed = |error| store_error(error, &format!("reading {address}"));
    let bytes = store.get(&under(prefix, &file)?).await.map_err(failed)?.bytes().await.map_err(failed)?;
    Ok((file, address, bytes))
}

async fn table_files(store: &Arc<dyn ObjectStore>, prefix: &Path, spec: &ReadSpec) -> Result<Vec<String>> {
    let Some((begin, end)) = &spec.object_names else {
        let files = committed_files(store, prefix, &spec.address).await?;
        return Ok(files.into_iter().map(|(name, _)| name).filter(|name| spec.format.fits(name)).collect());
    };
    let mut files = list(store, prefix, &spec.address).await?;
    files.retain(|(name, _)| !hidden(name) && name.starts_with(begin.as_str()) && name.ends_with(end.as_str()));
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

/// The data files below `prefix` that count, with their sizes, sorted by name. See [`read_table`].
pub(crate) async fn committed_files(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    address: &str,
) -> Result<Vec<(String, u64)>> {
    // The ledger first: whatever it lists then has all its files in place, so the second listing finds every one of
    // them.
    let ledger_path = under(prefix, LEDGER)?;
    let ledger = list(store, &ledger_path, &format!("{address}/{LEDGER}")).await?;
    let entry = |(name, _): &(String, u64)| {
        let (label, name) = name.rsplit_once('/')?;
        Some((label.to_owned(), parse_entry(name)?))
    };
    let mut committed: HashSet<_> = ledger.iter().filter_map(entry).collect();
    let cuts = cuts(store, &ledger_path, &ledger, address).await?;
    committed.retain(|(label, epoch)| cuts.get(label).is_none_or(|last| *epoch <= *last));
    let mut files = list(store, prefix, address).await?;
    files.retain(|(name, _)| !hidden(name));
    if !ledger.is_empty() {
        files.retain(|(name, _)| {
            let part = parse_part(name.rsplit('/').next().unwrap_or(name));
            part.is_some_and(|(label, epoch)| committed.contains(&(label.to_owned(), epoch)))
        });
    }
    Ok(files)
}

/// Label to the last epoch that counts, for the lineages that a newer one was cut from: of each job and shard, the newest
/// lineage that says so decides.
async fn cuts(
    store: &Arc<dyn ObjectStore>,
    ledger: &Path,
    names: &[(String, u64)],
    address: &str,
) -> Result<HashMap<String, Epoch>> {
    let mut newest: HashMap<(String, ShardId), Lineage> = HashMap::new();
    for (name, _) in names {
        let Some((folder, LINE)) = name.rsplit_once('/') else { continue };
        let Some((job, lineage, shard)) = parse_label(folder) else { continue };
        let known = newest.entry((job.to_owned(), shard)).or_insert(lineage);
        *known = lineage.max(*known);
    }
    let mut cuts = HashMap::new();
    for ((job, shard), lineage) in newest {
        let name = format!("{job}-L{lineage}-s{shard}/{LINE}");
        let address = format!("{address}/{LEDGER}/{name}");
        let failed = |error| store_error(error, &format!("reading {address}"));
        let bytes = store.get(&under(ledger, &name)?).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let body: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::data(format!("{address} is damaged ({error}): look at it, and restore it by hand"))
                .with_source(error)
        })?;
        for (older, last) in body["counts"].as_object().into_iter().flatten() {
            cuts.insert(format!("{job}-L{older}-s{shard}"), Epoch(last.as_u64().unwrap_or(0)));
        }
    }
    Ok(cuts)
}

/// Names that engines leave out: a part of the path begins with `_` or `.`. Hive's folder of nulls is a value, not a
/// name.
pub(crate) fn hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(['_', '.']))
}

/// Name below `prefix` and size of every object there, sorted by name.
pub(crate) async fn list(store: &Arc<dyn ObjectStore>, prefix: &Path, address: &str) -> Result<Vec<(String, u64)>> {
    let listing = store.list((!prefix.is_root()).then_some(prefix));
    let objects: Vec<_> =
        listing.try_collect().await.map_err(|error| store_error(error, &format!("listing {address}")))?;
    let mut files: Vec<(String, u64)> = objects
        .iter()
        .filter_map(|object| relative(prefix, &object.location).map(|name| (name.to_owned(), object.size)))
        .collect();
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests;
