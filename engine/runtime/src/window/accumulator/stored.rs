//! The stored form of an accumulator's state, to and from bytes.
//!
//! The encodings are ours and part of the state format (version 1), little-endian: `COUNT` i64; `SUM` seen:u8 and i128 or
//! f64; `MIN`/`MAX` seen:u8 and i64, i128, f64 or (u32 length, bytes); `AVG` its sum as i128 or f64, and a count i64.

use super::{Accumulator, Values, add_to, better, keep_best};
use aqueduct_core::{Error, Result};

impl Accumulator {
    /// Appends the state of `group` to `out`.
    pub(crate) fn encode(&self, group: u32, out: &mut Vec<u8>) {
        let group = group as usize;
        match &self.values {
            Values::Count(counts) => out.extend_from_slice(&counts[group].to_le_bytes()),
            Values::SumWhole(values, seen) | Values::BestDecimal(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::SumDouble(values, seen) | Values::BestDouble(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::BestWhole(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::BestText(values) => match &values[group] {
                None => out.push(0),
                Some(text) => {
                    out.push(1);
                    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            },
            Values::AvgWhole(sums, counts) => {
                out.extend_from_slice(&sums[group].to_le_bytes());
                out.extend_from_slice(&counts[group].to_le_bytes());
            }
            Values::AvgDouble(sums, counts) => {
                out.extend_from_slice(&sums[group].to_le_bytes());
                out.extend_from_slice(&counts[group].to_le_bytes());
            }
        }
    }

    /// Reads one encoded state from the front of `cursor` and adds it to `group`.
    ///
    /// # Errors
    /// The state is cut off or none, or a sum grows too large.
    pub(crate) fn absorb(&mut self, group: u32, cursor: &mut &[u8]) -> Result<()> {
        let (group, greatest) = (group as usize, self.greatest);
        match &mut self.values {
            Values::Count(counts) => counts[group] += i64::from_le_bytes(fixed(cursor)?),
            Values::SumWhole(sums, seen) => {
                seen[group] |= is_seen(cursor)?;
                add_to(&mut sums[group], i128::from_le_bytes(fixed(cursor)?))?;
            }
            Values::SumDouble(sums, seen) => {
                seen[group] |= is_seen(cursor)?;
                sums[group] += f64::from_le_bytes(fixed(cursor)?);
            }
            Values::BestWhole(values, seen) => {
                if let (true, value) = (is_seen(cursor)?, i64::from_le_bytes(fixed(cursor)?)) {
                    keep_best(values, seen, group, value, greatest);
                }
            }
            Values::BestDecimal(values, seen) => {
                if let (true, value) = (is_seen(cursor)?, i128::from_le_bytes(fixed(cursor)?)) {
                    keep_best(values, seen, group, value, greatest);
                }
            }
            Values::BestDouble(values, seen) => {
                if let (true, value) = (is_seen(cursor)?, f64::from_le_bytes(fixed(cursor)?)) {
                    keep_best(values, seen, group, value, greatest);
                }
            }
            Values::BestText(values) => {
                if let Some(text) = text(cursor)?
                    && values[group].as_deref().is_none_or(|old| better(&text, &old, greatest))
                {
                    values[group] = Some(text.into());
                }
            }
            Values::AvgWhole(sums, counts) => {
                add_to(&mut sums[group], i128::from_le_bytes(fixed(cursor)?))?;
                counts[group] += i64::from_le_bytes(fixed(cursor)?);
            }
            Values::AvgDouble(sums, counts) => {
                sums[group] += f64::from_le_bytes(fixed(cursor)?);
                counts[group] += i64::from_le_bytes(fixed(cursor)?);
            }
        }
        Ok(())
    }
}

fn fixed<const N: usize>(cursor: &mut &[u8]) -> Result<[u8; N]> {
    let (head, rest) = cursor.split_first_chunk().ok_or_else(cut_off)?;
    *cursor = rest;
    Ok(*head)
}

fn is_seen(cursor: &mut &[u8]) -> Result<bool> {
    Ok(fixed::<1>(cursor)?[0] == 1)
}

fn text<'a>(cursor: &mut &'a [u8]) -> Result<Option<&'a str>> {
    if !is_seen(cursor)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(fixed(cursor)?) as usize;
    let (head, rest) = cursor.split_at_checked(length).ok_or_else(cut_off)?;
    *cursor = rest;
    Ok(Some(std::str::from_utf8(head).map_err(|_| cut_off())?))
}

fn cut_off() -> Error {
    Error::data("a stored accumulator is cut off: the state files are damaged; restore an older checkpoint")
}
