//! The floors of single sinks: the rows of `workloads/sink.sql`, made by arithmetic and written by hand, with the same libraries.
//!
//! `sink-floor parquet FOLDER ROWS` writes files with a bare `ArrowWriter`; `sink-floor postgres HOST PORT DATABASE USER PASSWORD CA ROWS`
//! upserts by `UNNEST`. No SQL, no checkpoints, nothing exactly once.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use std::error::Error;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Rows of a file, as the engine has them.
const FILE_ROWS: i64 = 1 << 17;
/// Rows of a statement, and statements of a transaction.
const STATEMENT_ROWS: i64 = 10_000;
const STATEMENTS: usize = 20;
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["parquet", folder, rows] => parquet(Path::new(folder), rows.parse()?),
        ["postgres", host, port, database, user, password, ca, rows] => {
            let options = PgConnectOptions::new_without_pgpass().host(host).port(port.parse()?).database(database);
            let options = options.username(user).password(password).ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(postgres(&options.disable_statement_logging(), rows.parse()?))
        }
        _ => Err("sink-floor parquet FOLDER ROWS | postgres HOST PORT DATABASE USER PASSWORD CA ROWS".into()),
    }
}

fn number(k: i64) -> i64 {
    k * 7919 % 1_000_003
}

fn label(k: i64) -> String {
    format!("label-{}", k % 1000)
}

/// `0..rows` in pieces.
fn pieces(rows: i64, size: i64) -> impl Iterator<Item = Range<i64>> {
    (0..rows.div_euclid(size) + 1)
        .map(move |piece| piece * size..((piece + 1) * size).min(rows))
        .filter(|piece| !piece.is_empty())
}

fn parquet(folder: &Path, rows: i64) -> Outcome {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    for (index, rows) in pieces(rows, FILE_ROWS).enumerate() {
        let columns: [(&str, ArrayRef); 4] = [
            ("k", Arc::new(rows.clone().collect::<Int64Array>())),
            ("v", Arc::new(rows.clone().map(number).collect::<Int64Array>())),
            ("label", Arc::new(rows.clone().map(|k| Some(label(k))).collect::<StringArray>())),
            ("at", Arc::new(TimestampMillisecondArray::from_iter_values(rows.map(|k| START_MS + k)))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let file = File::create(folder.join(format!("part-{index}.parquet")))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.clone()))?;
        writer.write(&batch)?;
        writer.close()?;
    }
    Ok(())
}

async fn postgres(options: &PgConnectOptions, rows: i64) -> Outcome {
    const UPSERT: &str = "INSERT INTO loaded (k, v, label, at) \
        SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[]) \
        ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v, label = EXCLUDED.label, at = EXCLUDED.at";
    let mut connection = PgConnection::connect_with(options).await?;
    let pieces: Vec<Range<i64>> = pieces(rows, STATEMENT_ROWS).collect();
    for pieces in pieces.chunks(STATEMENTS) {
        let mut transaction = connection.begin().await?;
        for rows in pieces {
            let times = rows.clone().map(|k| DateTime::<Utc>::from_timestamp_millis(START_MS + k));
            sqlx::query(UPSERT)
                .bind(rows.clone().collect::<Vec<i64>>())
                .bind(rows.clone().map(number).collect::<Vec<i64>>())
                .bind(rows.clone().map(label).collect::<Vec<String>>())
                .bind(times.collect::<Option<Vec<_>>>().ok_or("a time beyond all calendars")?)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(())
}
