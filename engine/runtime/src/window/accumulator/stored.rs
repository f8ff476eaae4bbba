//! The stored form of a group's accumulators, to and from bytes.
//!
//! The encoding is ours and part of the state format (version 2): per input its count, then, unless that is zero, its cells. Counts
//! are LEB128; integers, decimals and their sums zigzag LEB128; doubles and their sums 8 bytes, little-endian; texts a length in
//! LEB128 and their bytes.

use super::{Accumulators, Cell, Kind, What};
use crate::window::keys::{ordered_bits, ordered_whole};
use aqueduct_core::{Error, Result};
use std::sync::Arc;

impl Accumulators {
    /// Appends the state of `group` to `out`.
    pub(crate) fn encode(&self, group: u32, out: &mut Vec<u8>) {
        for input in &self.layout.inputs {
            let count = self.rows.word(group, input.count);
            push_varint(u128::from(count), out);
            if count > 0 {
                input.cells.iter().for_each(|cell| self.encode_cell(*cell, group, out));
            }
        }
    }

    fn encode_cell(&self, cell: Cell, group: u32, out: &mut Vec<u8>) {
        match cell.kind {
            Kind::Whole | Kind::Decimal => push_signed(self.number(group, cell), out),
            Kind::Double => out.extend_from_slice(&self.double(group, cell).to_le_bytes()),
            Kind::Text => {
                let text = self.text(group, cell).unwrap_or_default();
                push_varint(text.len() as u128, out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Adds one encoded state to `group`.
    ///
    /// # Errors
    /// The state is none, is cut off or goes on, or a sum grows too large.
    pub(crate) fn absorb(&mut self, group: u32, mut bytes: &[u8]) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        for input in &layout.inputs {
            let count = u64::try_from(varint(&mut bytes)?).map_err(|_| damaged())?;
            let held = self.rows.word_mut(group, input.count);
            *held = held.checked_add(count).ok_or_else(damaged)?;
            if count > 0 {
                input.cells.iter().try_for_each(|cell| self.absorb_cell(*cell, group, &mut bytes))?;
            }
        }
        if bytes.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    fn absorb_cell(&mut self, Cell { what, kind, at }: Cell, group: u32, bytes: &mut &[u8]) -> Result<()> {
        let narrow = |value: i128| i64::try_from(value).map_err(|_| damaged());
        match (kind, what) {
            (Kind::Whole, What::Sum) => self.add_whole_sum(group, at, signed(bytes)?),
            (Kind::Whole, _) => {
                let value = ordered_whole(narrow(signed(bytes)?)?);
                self.keep_all(what, at, std::iter::once((group, value)));
            }
            (Kind::Decimal, What::Sum) => self.add_wide(group, at, signed(bytes)?)?,
            (Kind::Decimal, _) => self.keep_wide(what, group, at, signed(bytes)?),
            (Kind::Double, What::Sum) => self.add_double(group, at, double(bytes)?),
            (Kind::Double, _) => {
                let value = ordered_bits(double(bytes)?);
                self.keep_all(what, at, std::iter::once((group, value)));
            }
            (Kind::Text, _) => {
                let length = usize::try_from(varint(bytes)?).map_err(|_| damaged())?;
                let (head, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
                *bytes = rest;
                self.keep_text(what, group, at, std::str::from_utf8(head).map_err(|_| damaged())?);
            }
        }
        Ok(())
    }
}

#[inline]
fn push_varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Numbers near zero are short, on both sides of it.
#[inline]
fn push_signed(value: i128, out: &mut Vec<u8>) {
    push_varint((value << 1 ^ value >> 127) as u128, out);
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u128> {
    let mut value = 0;
    for shift in (0..128).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        value |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged())
}

#[inline]
fn signed(bytes: &mut &[u8]) -> Result<i128> {
    let value = varint(bytes)?;
    Ok((value >> 1) as i128 ^ -((value & 1) as i128))
}

fn double(bytes: &mut &[u8]) -> Result<f64> {
    let (head, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(f64::from_le_bytes(*head))
}

fn damaged() -> Error {
    Error::data("a stored accumulator cannot be read: the state files are damaged; restore an older checkpoint")
}
