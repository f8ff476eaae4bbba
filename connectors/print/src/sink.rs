//! The two sinks. They write rows or nothing; what at-least-once means for them stands in the crate's head.

use aqueduct_core::json::JsonEncoder;
use aqueduct_core::{Claimed, CommitPermit, Cursor, Epoch, Error, Result, SealedEpoch, Sink};
use async_trait::async_trait;
use std::io::{ErrorKind, Write};

/// Bytes that are collected before they are handed to the output.
const CHUNK: usize = 64 << 10;

/// Prints rows to what `output` opens.
pub(crate) struct PrintSink<F> {
    /// `name> `
    head: Vec<u8>,
    encoder: JsonEncoder,
    output: F,
}

impl<W: Write, F: Fn() -> W + Send + Sync> PrintSink<F> {
    pub(crate) fn new(name: &str, encoder: JsonEncoder, output: F) -> Self {
        Self { head: format!("{name}> ").into_bytes(), encoder, output }
    }

    /// Whole lines at a time, so that the lines of two sinks do not mix.
    fn print(&self, epoch: &SealedEpoch) -> std::io::Result<()> {
        let mut output = (self.output)();
        let mut lines = Vec::new();
        for batch in &epoch.batches {
            for row in 0..batch.num_rows() {
                lines.extend_from_slice(&self.head);
                self.encoder.encode(batch, row, &mut lines);
                lines.push(b'\n');
                if lines.len() >= CHUNK {
                    output.write_all(&lines)?;
                    lines.clear();
                }
            }
        }
        output.write_all(&lines)?;
        output.flush()
    }
}

#[async_trait]
impl<W: Write, F: Fn() -> W + Send + Sync> Sink for PrintSink<F> {
    async fn open(&mut self, _claimed: &Claimed) -> Result<Cursor> {
        Ok(Cursor(Epoch::ZERO))
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        self.print(epoch).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Error::config(format!(
                "printing epoch {}: whoever read the output has gone: start the job with an output that stays",
                permit.epoch()
            )),
            _ => Error::retry(format!("printing epoch {}: {error}", permit.epoch())),
        })?;
        Ok(Cursor(permit.epoch()))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }

    fn remembers(&self) -> bool {
        false
    }
}

/// Forgets rows.
pub(crate) struct BlackholeSink;

#[async_trait]
impl Sink for BlackholeSink {
    async fn open(&mut self, _claimed: &Claimed) -> Result<Cursor> {
        Ok(Cursor(Epoch::ZERO))
    }

    async fn apply(&mut self, permit: CommitPermit, _epoch: &SealedEpoch) -> Result<Cursor> {
        Ok(Cursor(permit.epoch()))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
