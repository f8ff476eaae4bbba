//! Recordings: a topic kept in files, one JSON object per line, optionally compressed with zstd.
//!
//! ```text
//! {"topic":"t","partition":0,"offset":12,"timestamp":1767225600000,"key":"k","value":"{\"a\":1}"}
//! ```
//!
//! `key` and `value` are text; bytes that are not UTF-8 stand in `key_base64` and `value_base64`; a record without a value
//! (a tombstone) has `"value":null`. This file writes lines and takes them apart; it knows no splits and no order.

use aqueduct_core::json::{decode_base64, encode_base64};
use aqueduct_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A record with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970, if the record has a timestamp.
    pub timestamp_ms: Option<i64>,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Writes a recording; compressed when the file's name ends with `.zst`.
pub struct RecordingWriter {
    path: PathBuf,
    output: Output,
    line: Vec<u8>,
}

enum Output {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl std::fmt::Debug for RecordingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RecordingWriter {
    /// Creates (or empties) the file.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let fail = |error: std::io::Error| failed("cannot be created", &path, error);
        let file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(fail)?);
        let output =
            if is_zstd(&path) { Output::Zstd(zstd::Encoder::new(file, 3).map_err(fail)?) } else { Output::Plain(file) };
        Ok(Self { path, output, line: Vec::new() })
    }

    /// Appends a record. Records of a partition must come in the order of their offsets.
    pub fn write(&mut self, record: &Recorded) -> Result<()> {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        let line = Line {
            topic: Cow::Borrowed(&record.topic),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            key,
            key_base64,
            value,
            value_base64,
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| Error::bug(format!("a line of a recording cannot be written: {error}")))?;
        self.line.push(b'\n');
        let written = match &mut self.output {
            Output::Plain(output) => output.write_all(&self.line),
            Output::Zstd(output) => output.write_all(&self.line),
        };
        written.map_err(|error| failed("cannot be written", &self.path, error))
    }

    /// Writes what is buffered and ends the file. Without it the recording is incomplete.
    pub fn finish(self) -> Result<()> {
        let ended = match self.output {
            Output::Plain(output) => Ok(output),
            Output::Zstd(output) => output.finish(),
        };
        ended.and_then(|mut output| output.flush()).map_err(|error| failed("cannot be written", &self.path, error))
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (None, None),
        Some((_, Ok(text))) => (Some(text.to_owned()), None),
        Some((bytes, Err(_))) => {
            let mut text = Vec::new();
            encode_base64(bytes, &mut text);
            (None, Some(String::from_utf8_lossy(&text).into_owned()))
        }
    }
}

/// Reads a recording from its beginning.
pub struct RecordingReader {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl std::fmt::Debug for RecordingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingReader").field("path", &self.path).field("line", &self.number).finish_non_exhaustive()
    }
}

impl RecordingReader {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |error: std::io::Error| failed("cannot be opened", path, error);
        let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(fail)?);
        let input: Box<dyn BufRead + Send> = if is_zstd(path) {
            Box::new(BufReader::with_capacity(1 << 20, zstd::Decoder::with_buffer(file).map_err(fail)?))
        } else {
            Box::new(file)
        };
        Ok(Self { path: path.to_owned(), input, line: Vec::new(), number: 0 })
    }

    /// The next record; `None` at the end. Empty lines are passed over. A broken line is
    /// [`aqueduct_core::ErrorKind::FixData`] with file and line.
    pub fn next_record(&mut self) -> Result<Option<Recorded>> {
        loop {
            self.line.clear();
            let read = self.input.read_until(b'\n', &mut self.line);
            let read =
                read.map_err(|error| self.broken(&format!("cannot be read on: {error}; is the file complete?")))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return self.parse().map(Some);
        }
    }

    /// An error about the line that was read last.
    pub(crate) fn broken(&self, what: &str) -> Error {
        Error::data(format!("recording {}:{}: {what}", self.path.display(), self.number))
    }

    fn parse(&self) -> Result<Recorded> {
        let line: Line<'_> =
            serde_json::from_slice(&self.line).map_err(|error| self.broken(&format!("not a record: {error}")))?;
        Ok(Recorded {
            topic: line.topic.into_owned(),
            partition: line.partition,
            offset: line.offset,
            timestamp_ms: line.timestamp,
            key: self.bytes("key", line.key, line.key_base64)?,
            value: self.bytes("value", line.value, line.value_base64)?,
        })
    }

    fn bytes(&self, name: &str, text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>> {
        match (text, base64) {
            (text, None) => Ok(text.map(String::into_bytes)),
            (None, Some(base64)) => {
                let mut bytes = Vec::new();
                if decode_base64(&base64, &mut bytes) {
                    return Ok(Some(bytes));
                }
                Err(self.broken(&format!("'{name}_base64' is not base64")))
            }
            (Some(_), Some(_)) => Err(self.broken(&format!("'{name}' and '{name}_base64' exclude each other"))),
        }
    }
}

fn is_zstd(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::config(format!("recording {} {what}: {error}", path.display())).with_source(error)
}
