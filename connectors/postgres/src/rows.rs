//! Which rows of an epoch are written, and in which order.
//!
//! With a primary key: the last row of each key, sorted by key, so that writers take row locks in one order and a
//! statement never meets a key twice. Without: all rows as they came.

use aqueduct_core::{Error, Result, SinkSpec};
use arrow::array::{ArrayRef, new_empty_array};
use arrow::compute::interleave;
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, Rows, SortField};

/// A row: index of its batch, index in it.
pub(crate) type Place = (usize, usize);

/// The rows to write, in order.
pub(crate) fn arrange(batches: &[RecordBatch], key: &[usize], spec: &SinkSpec) -> Result<Vec<Place>> {
    if key.is_empty() {
        let places =
            batches.iter().enumerate().flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)));
        return Ok(places.collect());
    }
    let keys = key_rows(batches, key, spec)?;
    let mut sorted: Vec<(Row<'_>, Place)> = keys
        .iter()
        .enumerate()
        .flat_map(|(batch, rows)| rows.iter().enumerate().map(move |(row, key)| (key, (batch, row))))
        .collect();
    // Places grow with time: of equal keys the last one stands last.
    sorted.sort_unstable();
    let mut places: Vec<Place> = Vec::with_capacity(sorted.len());
    for (index, (key, place)) in sorted.iter().enumerate() {
        let last_of_key = sorted.get(index + 1).is_none_or(|(next, _)| next != key);
        if last_of_key {
            places.push(*place);
        }
    }
    Ok(places)
}

/// The rows at `places`, column by column.
pub(crate) fn gather(batches: &[RecordBatch], places: &[Place], spec: &SinkSpec) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::with_capacity(spec.columns.len());
    for (index, column) in spec.columns.iter().enumerate() {
        let parts: Vec<&dyn arrow::array::Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        columns.push(match places.is_empty() {
            true => new_empty_array(&column.data_type),
            false => interleave(&parts, places)?,
        });
    }
    Ok(columns)
}

/// Every batch must have the columns that the sink was made with.
pub(crate) fn check(batches: &[RecordBatch], spec: &SinkSpec) -> Result<()> {
    for batch in batches {
        let schema = batch.schema_ref();
        let same = schema.fields().len() == spec.columns.len()
            && schema.fields().iter().zip(&spec.columns).all(|(field, column)| *field.data_type() == column.data_type);
        if !same {
            return Err(Error::bug(format!(
                "table '{}': a batch has other columns than the table: {schema}",
                spec.table
            )));
        }
    }
    Ok(())
}

fn key_rows(batches: &[RecordBatch], key: &[usize], spec: &SinkSpec) -> Result<Vec<Rows>> {
    let fields = key.iter().map(|&index| SortField::new(spec.columns[index].data_type.clone())).collect();
    let converter = RowConverter::new(fields).map_err(|error| {
        Error::config(format!("table '{}': the PRIMARY KEY has a column that cannot be compared: {error}", spec.table))
    })?;
    let convert = |batch: &RecordBatch| {
        let columns: Vec<ArrayRef> = key.iter().map(|&index| batch.column(index).clone()).collect();
        Ok(converter.convert_columns(&columns)?)
    };
    batches.iter().map(convert).collect()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
