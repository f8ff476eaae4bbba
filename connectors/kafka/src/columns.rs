//! Metadata columns: what Kafka knows of a record beside its value, as Arrow arrays.

use crate::native::Messages;
use aqueduct_core::{ColumnKind, Error, MetadataKey, Result, TableColumn};
use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;

type Headers = MapBuilder<StringBuilder, BinaryBuilder>;

/// The keys of `METADATA FROM '...'` and what they deliver.
pub(crate) fn keys() -> Vec<MetadataKey> {
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    [
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("timestamp-type", DataType::Utf8),
        ("headers", DataType::Map(Arc::new(entries), false)),
        ("leader-epoch", DataType::Int32),
        ("key", DataType::Binary),
    ]
    .into_iter()
    .map(|(key, data_type)| MetadataKey { key, data_type })
    .collect()
}

/// One metadata column under construction.
#[derive(Debug)]
pub(crate) struct MetadataColumn {
    name: String,
    nullable: bool,
    declared: DataType,
    builder: Builder,
}

#[derive(Debug)]
enum Builder {
    Topic(StringBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    TimestampType(StringBuilder),
    Headers(Box<Headers>),
    LeaderEpoch(Int32Builder),
    Key(BinaryBuilder),
}

impl MetadataColumn {
    /// The builder of a column; `None` for physical columns.
    pub(crate) fn new(table: &str, column: &TableColumn) -> Result<Option<Self>> {
        let ColumnKind::Metadata(key) = &column.kind else { return Ok(None) };
        let builder = match key.as_str() {
            "topic" => Builder::Topic(StringBuilder::new()),
            "partition" => Builder::Partition(Int32Builder::new()),
            "offset" => Builder::Offset(Int64Builder::new()),
            "timestamp" => Builder::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            "timestamp-type" => Builder::TimestampType(StringBuilder::new()),
            "headers" => Builder::Headers(Box::new(headers())),
            "leader-epoch" => Builder::LeaderEpoch(Int32Builder::new()),
            "key" => Builder::Key(BinaryBuilder::new()),
            other => {
                let known: Vec<_> = keys().iter().map(|known| known.key).collect();
                return Err(Error::config(format!(
                    "table '{table}': column '{}': a Kafka record has no metadata '{other}'; there is: {}",
                    column.name,
                    known.join(", ")
                )));
            }
        };
        Ok(Some(Self {
            name: column.name.clone(),
            nullable: column.nullable,
            declared: column.data_type.clone(),
            builder,
        }))
    }

    /// Why the message at `index` cannot be a row: a value that is not there, for a column that is `NOT NULL`.
    pub(crate) fn missing(&self, messages: &Messages, index: usize) -> Option<String> {
        if self.nullable {
            return None;
        }
        let message = messages.get(index);
        let (there, what) = match &self.builder {
            Builder::Timestamp(_) => (message.timestamp().0.is_some(), "timestamp"),
            Builder::LeaderEpoch(_) => (message.leader_epoch().is_some(), "leader epoch"),
            Builder::Key(_) => (message.key().is_some(), "key"),
            _ => (true, ""),
        };
        (!there).then(|| format!("{}: the record has no {what}, and the column is NOT NULL", self.name))
    }

    /// Appends what the message at `index` has.
    pub(crate) fn append(&mut self, topic: &str, partition: i32, messages: &Messages, index: usize) {
        let message = messages.get(index);
        match &mut self.builder {
            Builder::Topic(builder) => builder.append_value(topic),
            Builder::Partition(builder) => builder.append_value(partition),
            Builder::Offset(builder) => builder.append_value(message.offset()),
            Builder::Timestamp(builder) => builder.append_option(message.timestamp().0),
            Builder::TimestampType(builder) => builder.append_value(message.timestamp().1),
            Builder::LeaderEpoch(builder) => builder.append_option(message.leader_epoch()),
            Builder::Key(builder) => builder.append_option(message.key()),
            Builder::Headers(builder) => {
                messages.headers(index, |name, value| {
                    builder.keys().append_value(name);
                    builder.values().append_option(value);
                });
                // Keys and values were appended in pairs, which is all that this checks.
                builder.append(true).expect("as many keys as values");
            }
        }
    }

    /// The array, in the declared type; the column is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let array: ArrayRef = match &mut self.builder {
            Builder::Topic(builder) | Builder::TimestampType(builder) => Arc::new(builder.finish()),
            Builder::Partition(builder) | Builder::LeaderEpoch(builder) => Arc::new(builder.finish()),
            Builder::Offset(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::Key(builder) => Arc::new(builder.finish()),
            Builder::Headers(builder) => Arc::new(builder.finish()),
        };
        if *array.data_type() == self.declared {
            return Ok(array);
        }
        Ok(arrow::compute::cast(&array, &self.declared)?)
    }
}

fn headers() -> Headers {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new())
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
