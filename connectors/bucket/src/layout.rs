//! Every name in a results bucket: part files, partition folders, ledger entries, claims. Pure text, no I/O.
//!
//! ```text
//! <path>/dt=2026-01-01/hour=00/part-<job>-L<lineage>-s<shard>-e<epoch, 12 digits>-<n>.json|parquet
//! <path>/_committed/<job>-L<lineage>-s<shard>/<epoch, 12 digits>.json
//! <path>/_committed/<job>-L<lineage>-s<shard>/claim-<generation, 12 digits>.json
//! <path>/_committed/<job>-L<lineage>-s<shard>/line.json     of a lineage that was cut from others: up to where those count
//! ```
//! Engines that read folders leave out names that begin with `_`, so the ledger is not taken for data.

use aqueduct_core::{Claimed, Epoch, Error, Generation, Lineage, Result, ShardId};
use object_store::path::Path;
use std::fmt::Write;

/// The folder of the ledger, below the table's path.
pub(crate) const LEDGER: &str = "_committed";

/// What Hive writes for a null in a folder's name.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// `root` joined with a text that is already a valid path. [`Path::join`] would encode its percent signs once more.
pub(crate) fn under(root: &Path, relative: &str) -> Result<Path> {
    let joined = if root.is_root() { relative.to_owned() } else { format!("{root}/{relative}") };
    Path::parse(&joined).map_err(|error| Error::data(format!("'{joined}' cannot be an object's name: {error}")))
}

/// The path of `object` below `root`; `None` when it does not lie there.
pub(crate) fn relative<'a>(root: &Path, object: &'a Path) -> Option<&'a str> {
    let rest = object.as_ref().strip_prefix(root.as_ref())?;
    if root.is_root() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Who wrote: `<job>-L<lineage>-s<shard>`. Part of every name, so that shards and jobs can share a path.
pub(crate) fn label(claimed: &Claimed) -> String {
    format!("{}-L{}-s{}", claimed.job, claimed.lineage, claimed.shard)
}

/// Job, lineage and shard of a label.
pub(crate) fn parse_label(label: &str) -> Option<(&str, Lineage, ShardId)> {
    let (rest, shard) = label.rsplit_once("-s")?;
    let (job, lineage) = rest.rsplit_once("-L")?;
    Some((job, Lineage(lineage.parse().ok()?), ShardId(shard.parse().ok()?)))
}

/// The name of a part file.
pub(crate) fn part(label: &str, epoch: Epoch, number: usize, extension: &str) -> String {
    format!("part-{label}-e{:012}-{number}.{extension}", epoch.0)
}

/// Label and epoch of a part file's name; `None` for other files.
pub(crate) fn parse_part(name: &str) -> Option<(&str, Epoch)> {
    let (stem, _extension) = name.strip_prefix("part-")?.rsplit_once('.')?;
    let (stem, number) = stem.rsplit_once('-')?;
    let (label, epoch) = stem.rsplit_once("-e")?;
    number.parse::<u64>().ok()?;
    parse_label(label)?;
    Some((label, Epoch(epoch.parse().ok()?)))
}

/// The name of an epoch's ledger entry in its label's folder. Sorts by epoch, and before every claim.
pub(crate) fn entry(epoch: Epoch) -> String {
    format!("{:012}.json", epoch.0)
}

/// The epoch of a ledger entry's name.
pub(crate) fn parse_entry(name: &str) -> Option<Epoch> {
    name.strip_suffix(".json")?.parse().ok().map(Epoch)
}

/// Where a lineage that was cut from others says up to which epoch those count.
pub(crate) const LINE: &str = "line.json";

/// What the names of all claims begin with.
pub(crate) const CLAIMS: &str = "claim-";

/// The generation in the claim that closes a lineage for good, when a later lineage has begun.
pub(crate) const CLOSED: Generation = Generation(999_999_999_999);

/// The name of a generation's claim.
pub(crate) fn claim(generation: Generation) -> String {
    format!("{CLAIMS}{:012}.json", generation.0)
}

/// The generation of a claim's name.
pub(crate) fn parse_claim(name: &str) -> Option<Generation> {
    name.strip_prefix(CLAIMS)?.strip_suffix(".json")?.parse().ok().map(Generation)
}

/// `name=value` as Hive writes it.
pub(crate) fn folder(name: &str, value: Option<&str>) -> String {
    match value {
        None | Some("") => format!("{}={NULL_FOLDER}", escaped(name)),
        Some(value) => format!("{}={}", escaped(name), escaped(value)),
    }
}

/// The name and value of a Hive folder; the value is `None` for a null.
pub(crate) fn parse_folder(segment: &str) -> Option<(String, Option<String>)> {
    let (name, value) = segment.split_once('=')?;
    Some((unescaped(name), (value != NULL_FOLDER).then(|| unescaped(value))))
}

/// Hive's set of characters that do not stand in a folder's name as they are.
fn escaped(text: &str) -> String {
    const SPECIAL: &str = "\"#%'*/:=?\\{[]^";
    percent(text, |c| c.is_ascii_control() || SPECIAL.contains(c))
}

/// A value inside an object's name (`sink.object-name`): it can neither open a folder nor be an unusable character.
pub(crate) fn object_name_value(text: &str) -> String {
    percent(text, |c| c.is_ascii_control() || "/\\#%*?[]".contains(c))
}

fn percent(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special(c) {
            // Only ASCII is special, so one byte is enough.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `dt=.../hour=...` of a moment, in UTC.
pub(crate) fn hour_folder(hours_since_epoch: Option<i64>) -> String {
    let at = hours_since_epoch
        .and_then(|hours| hours.checked_mul(3_600))
        .and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    match at {
        Some(at) => at.format("dt=%Y-%m-%d/hour=%H").to_string(),
        None => format!("dt={NULL_FOLDER}/hour={NULL_FOLDER}"),
    }
}

/// A template such as `analytics/{window_start}_{size_label}.json`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePiece {
    /// Text as it stands.
    Text(String),
    /// The value of a column, by index.
    Column(usize),
}

/// Takes a template apart; `column` finds a column's index. The error says what is wrong with it.
pub(crate) fn parse_template(
    template: &str,
    column: impl Fn(&str) -> Option<usize>,
) -> std::result::Result<Vec<NamePiece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            pieces.push(NamePiece::Text(rest[..open].to_owned()));
        }
        let close = rest[open..].find('}').ok_or_else(|| format!("'{{' without '}}' in '{template}'"))? + open;
        let name = &rest[open + 1..close];
        pieces.push(NamePiece::Column(column(name).ok_or_else(|| format!("the table has no column '{name}'"))?));
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        pieces.push(NamePiece::Text(rest.to_owned()));
    }
    if !pieces.iter().any(|piece| matches!(piece, NamePiece::Column(_))) {
        return Err("it names no column, so every row would have the same object".to_owned());
    }
    if template.starts_with('/') || template.starts_with(LEDGER) {
        return Err(format!("it must be relative to 'path' and lie outside '{LEDGER}'"));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests;
