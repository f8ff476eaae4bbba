//! Which rows of an epoch become documents: of rows with the same document id the last one.

use crate::config::Config;
use crate::id::{MAX_BYTES, document_id};
use crate::value::value;
use aqueduct_core::{Error, Result, SinkSpec, json};
use arrow::record_batch::RecordBatch;
use gcloud_sdk::google::firestore::v1::{Document, Write, write::Operation};
use std::collections::HashMap;

/// A document to write: its id, and where its row is (batch, row).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) place: (usize, usize),
}

/// One entry per document, in the order of the rows that won: the same at each delivery of the epoch.
pub(crate) fn arrange(batches: &[RecordBatch], config: &Config, spec: &SinkSpec) -> Result<Vec<Entry>> {
    let mut last: HashMap<String, (usize, usize)> = HashMap::new();
    for (index, batch) in batches.iter().enumerate() {
        check(batch, spec)?;
        for row in 0..batch.num_rows() {
            last.insert(id_of(batch, row, config, spec)?, (index, row));
        }
    }
    let mut entries: Vec<Entry> = last.into_iter().map(|(id, place)| Entry { id, place }).collect();
    entries.sort_unstable_by_key(|entry| entry.place);
    Ok(entries)
}

/// The write of a whole document: what the document held before is gone.
pub(crate) fn write(entry: &Entry, batches: &[RecordBatch], config: &Config, spec: &SinkSpec) -> Write {
    let (batch, row) = (&batches[entry.place.0], entry.place.1);
    let field = |(column, array): (&aqueduct_core::TableColumn, &arrow::array::ArrayRef)| {
        (column.name.clone(), value(array.as_ref(), row, config.timestamps))
    };
    let document = Document {
        name: config.location.document(&config.collection, &entry.id),
        fields: spec.columns.iter().zip(batch.columns()).map(field).collect(),
        ..Document::default()
    };
    Write { operation: Some(Operation::Update(document)), ..Write::default() }
}

fn id_of(batch: &RecordBatch, row: usize, config: &Config, spec: &SinkSpec) -> Result<String> {
    let mut values = Vec::with_capacity(spec.primary_key.len());
    for &index in &spec.primary_key {
        values.push(json::text_value(batch.column(index).as_ref(), row).ok_or_else(|| {
            Error::data(format!(
                "table '{}': column '{}' is part of the primary key and holds NULL; filter such rows or COALESCE them",
                spec.table, spec.columns[index].name
            ))
        })?);
    }
    let id = document_id(values.iter().map(String::as_str), &config.delimiter);
    if id.len() > MAX_BYTES {
        let start: String = id.chars().take(60).collect();
        return Err(Error::data(format!(
            "table '{}': the document id '{start}...' has {} bytes; Firestore takes {MAX_BYTES}",
            spec.table,
            id.len()
        )));
    }
    Ok(id)
}

fn check(batch: &RecordBatch, spec: &SinkSpec) -> Result<()> {
    let schema = batch.schema_ref();
    let same = schema.fields().len() == spec.columns.len()
        && schema.fields().iter().zip(&spec.columns).all(|(field, column)| *field.data_type() == column.data_type);
    match same {
        true => Ok(()),
        false => Err(Error::bug(format!("table '{}': a batch has other columns than the table: {schema}", spec.table))),
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
