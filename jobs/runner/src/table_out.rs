//! Rows of an answer as a table, as JSON lines or as CSV. Values look as they do in result files.

use crate::cli::QueryFormat;
use aqueduct_core::Result;
use aqueduct_core::json::{text_value, value_to_json};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;

/// All of it, ready to print.
pub(crate) fn text(batches: &[RecordBatch], format: QueryFormat) -> Result<String> {
    match format {
        QueryFormat::Table => table(batches),
        QueryFormat::Json => Ok(json(batches)),
        QueryFormat::Csv => Ok(csv(batches)),
    }
}

fn table(batches: &[RecordBatch]) -> Result<String> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let body = pretty_format_batches(batches)?;
    Ok(format!("{body}\n{rows} {}\n", if rows == 1 { "row" } else { "rows" }))
}

fn json(batches: &[RecordBatch]) -> String {
    let mut out = String::new();
    for batch in batches {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let object: serde_json::Map<String, serde_json::Value> = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .map(|(field, column)| (field.name().clone(), value_to_json(column.as_ref(), row)))
                .collect();
            out.push_str(&serde_json::Value::Object(object).to_string());
            out.push('\n');
        }
    }
    out
}

fn csv(batches: &[RecordBatch]) -> String {
    let Some(first) = batches.first() else { return String::new() };
    let schema = first.schema();
    let mut out = schema.fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(",");
    out.push('\n');
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| text_value(column.as_ref(), row));
            let line: Vec<String> = cells.map(|cell| cell.map(|text| quoted(&text)).unwrap_or_default()).collect();
            out.push_str(&line.join(","));
            out.push('\n');
        }
    }
    out
}

/// An empty text is quoted, so that it differs from a null.
fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
    use std::sync::Arc;

    fn rows() -> Vec<RecordBatch> {
        let time = TimestampMillisecondArray::from(vec![Some(1_767_225_600_000), None]).with_timezone("UTC");
        let columns: [(&str, arrow::array::ArrayRef); 3] = [
            ("at", Arc::new(time)),
            ("label", Arc::new(StringArray::from(vec![Some("a,b"), None]))),
            ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        vec![
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                .unwrap(),
        ]
    }

    #[test]
    fn each_format_shows_every_value() {
        let csv = text(&rows(), QueryFormat::Csv).unwrap();
        assert_eq!(csv, "at,label,n\n2026-01-01T00:00:00Z,\"a,b\",1\n,,2\n");
        let json = text(&rows(), QueryFormat::Json).unwrap();
        let first = "{\"at\":\"2026-01-01T00:00:00Z\",\"label\":\"a,b\",\"n\":1}";
        assert_eq!(json, format!("{first}\n{{\"at\":null,\"label\":null,\"n\":2}}\n"));
        let table = text(&rows(), QueryFormat::Table).unwrap();
        assert!(table.contains("2026-01-01T00:00:00Z") && table.ends_with("2 rows\n"), "{table}");
    }
}
