//! Which rows of an epoch go into which folder or object. It moves places of rows, not rows, and writes nothing.

use crate::config::Folders;
use crate::layout::{NamePiece, folder, hour_folder, object_name_value};
use aqueduct_core::json::text_value;
use aqueduct_core::{Result, TableColumn};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, Rows, SortField};
use hashbrown::HashSet;
use std::collections::BTreeMap;

/// A row of an epoch: the batch's index, and the row in it.
pub(crate) type Place = (usize, usize);

const MS_PER_HOUR: i64 = 3_600_000;

/// The rows to write, in order: of several rows with the same key only the last one. Without a key, every row.
pub(crate) fn last_per_key(batches: &[RecordBatch], key: &[usize]) -> Result<Vec<Place>> {
    let every =
        || batches.iter().enumerate().flat_map(|(index, batch)| (0..batch.num_rows()).map(move |row| (index, row)));
    let (false, Some(first)) = (key.is_empty(), batches.first()) else { return Ok(every().collect()) };
    let fields = key.iter().map(|column| SortField::new(first.column(*column).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let keys = |batch: &RecordBatch| -> Result<Rows> {
        let columns: Vec<_> = key.iter().map(|column| batch.column(*column).clone()).collect();
        Ok(converter.convert_columns(&columns)?)
    };
    let keys = batches.iter().map(keys).collect::<Result<Vec<_>>>()?;
    // From the last row on: the first one of a key that is met is its last.
    let mut met: HashSet<Row<'_>> = HashSet::with_capacity(keys.iter().map(Rows::num_rows).sum());
    let mut places = Vec::new();
    for (index, keys) in keys.iter().enumerate().rev() {
        places.extend((0..keys.num_rows()).rev().filter(|row| met.insert(keys.row(*row))).map(|row| (index, row)));
    }
    places.reverse();
    Ok(places)
}

/// The rows of each folder, in order. The folders are sorted by name; the flat layout has one without a name.
pub(crate) fn by_folder(
    batches: &[RecordBatch],
    places: Vec<Place>,
    columns: &[TableColumn],
    folders: &Folders,
) -> Result<BTreeMap<String, Vec<Place>>> {
    match folders {
        Folders::Flat => Ok(BTreeMap::from([(String::new(), places)])),
        Folders::Hour(column) => by_hour(batches, places, *column),
        Folders::Columns(indexes) => {
            let mut groups: BTreeMap<String, Vec<Place>> = BTreeMap::new();
            for (batch, row) in places {
                let name = |index: &usize| {
                    let value = text_value(batches[batch].column(*index).as_ref(), row);
                    folder(&columns[*index].name, value.as_deref())
                };
                let path = indexes.iter().map(name).collect::<Vec<_>>().join("/");
                groups.entry(path).or_default().push((batch, row));
            }
            Ok(groups)
        }
    }
}

fn by_hour(batches: &[RecordBatch], places: Vec<Place>, column: usize) -> Result<BTreeMap<String, Vec<Place>>> {
    let times = batches
        .iter()
        .map(|batch| {
            let values = batch.column(column);
            let zone = match values.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            Ok(cast(values, &DataType::Timestamp(TimeUnit::Millisecond, zone))?)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut groups: BTreeMap<Option<i64>, Vec<Place>> = BTreeMap::new();
    for (batch, row) in places {
        let values = times[batch].as_primitive::<TimestampMillisecondType>();
        let hour = (!values.is_null(row)).then(|| values.value(row).div_euclid(MS_PER_HOUR));
        groups.entry(hour).or_default().push((batch, row));
    }
    // Hours beyond the calendar share the folder of nulls.
    let mut named: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for (hour, mut rows) in groups {
        named.entry(hour_folder(hour)).or_default().append(&mut rows);
    }
    Ok(named)
}

/// The object of each row: of several rows with the same name the last one is kept. Sorted by name.
pub(crate) fn by_object(
    batches: &[RecordBatch],
    places: Vec<Place>,
    template: &[NamePiece],
) -> BTreeMap<String, Place> {
    let name = |(batch, row): Place| -> String {
        let piece = |piece: &NamePiece| match piece {
            NamePiece::Text(text) => text.clone(),
            NamePiece::Column(column) => {
                let value = text_value(batches[batch].column(*column).as_ref(), row);
                value.map_or_else(|| "null".to_owned(), |text| object_name_value(&text))
            }
        };
        template.iter().map(piece).collect()
    };
    places.into_iter().map(|place| (name(place), place)).collect()
}

#[cfg(test)]
mod tests;
