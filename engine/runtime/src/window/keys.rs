//! Group keys as bytes, and the table that numbers them.
//!
//! The encoding is ours and part of the state format (version 1): a later Arrow must not change what an old checkpoint
//! means. Per key column: `0` for null, or `1` and the value: integers, dates, times and booleans as 8 bytes big-endian
//! with the sign bit flipped, decimals as 16 such bytes, doubles as their ordered bits, text and bytes as a 4-byte length
//! and the bytes. It does not know windows.

use aqueduct_core::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Encodes and decodes the keys of one query.
#[derive(Debug, Clone)]
pub(crate) struct KeyCodec {
    types: Vec<DataType>,
}

/// Key columns of a batch, cast to the few shapes that the encoding has.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Whole(arrow::array::Int64Array),
    Decimal(arrow::array::Decimal128Array),
    Double(arrow::array::Float64Array),
    Text(arrow::array::StringArray),
    Bytes(arrow::array::BinaryArray),
}

impl KeyCodec {
    /// A codec for key columns of these types.
    pub(crate) fn new(types: Vec<DataType>) -> Result<Self> {
        for data_type in &types {
            if shape(data_type).is_none() {
                return Err(Error::config(format!(
                    "GROUP BY a {data_type} column is not supported: group by text, numbers, dates, times, booleans or bytes"
                )));
            }
        }
        Ok(Self { types })
    }

    /// Prepares the key columns of a batch.
    pub(crate) fn columns(&self, arrays: &[ArrayRef]) -> Result<KeyColumns> {
        let mut columns = Vec::with_capacity(arrays.len());
        for (array, data_type) in arrays.iter().zip(&self.types) {
            columns.push(column(array, data_type)?);
        }
        Ok(KeyColumns { columns })
    }

    /// Turns encoded keys back into arrays, one per key column.
    pub(crate) fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Vec<ArrayRef>> {
        let mut cursors: Vec<&[u8]> = keys.collect();
        self.types.iter().map(|data_type| decode_column(&mut cursors, data_type)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Whole,
    Decimal,
    Double,
    Text,
    Bytes,
}

fn shape(data_type: &DataType) -> Option<Shape> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Shape::Whole,
        DataType::Boolean | DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => Shape::Whole,
        DataType::Decimal128(_, _) => Shape::Decimal,
        DataType::Float32 | DataType::Float64 => Shape::Double,
        DataType::Utf8 => Shape::Text,
        DataType::Binary => Shape::Bytes,
        _ => return None,
    })
}

/// Int64 with the same bits of meaning: Arrow casts dates and times only through their own width.
pub(crate) fn to_int64(array: &ArrayRef) -> Result<ArrayRef> {
    let narrow = match array.data_type() {
        DataType::Int64 => return Ok(array.clone()),
        DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(arrow::compute::cast(&narrow, &DataType::Int64)?)
}

/// The way back from [`to_int64`].
pub(crate) fn from_int64(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let narrow = match data_type {
        DataType::Int64 => return Ok(array.clone()),
        DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(arrow::compute::cast(&narrow, data_type)?)
}

fn column(array: &ArrayRef, data_type: &DataType) -> Result<Column> {
    Ok(match shape(data_type) {
        Some(Shape::Whole) => Column::Whole(to_int64(array)?.as_primitive::<Int64Type>().clone()),
        Some(Shape::Decimal) => Column::Decimal(array.as_primitive::<Decimal128Type>().clone()),
        Some(Shape::Double) => {
            Column::Double(arrow::compute::cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        }
        Some(Shape::Text) => Column::Text(arrow::compute::cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        Some(Shape::Bytes) => Column::Bytes(array.as_binary::<i32>().clone()),
        None => return Err(Error::bug(format!("a key column of type {data_type} passed the check at the start"))),
    })
}

/// -0.0 and 0.0 are one key, every NaN is one key; the bits then sort like the numbers.
fn ordered_bits(value: f64) -> u64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

fn from_ordered_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

impl KeyColumns {
    /// Whether every row has the same, empty key.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The column, where a single one of text is the whole key: then rows need not be encoded to be looked up.
    pub(crate) fn single_text(&self) -> Option<&arrow::array::StringArray> {
        match self.columns.as_slice() {
            [Column::Text(array)] => Some(array),
            _ => None,
        }
    }

    /// Appends the key of `row` to `out`.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.columns {
            match column {
                Column::Whole(array) if array.is_valid(row) => {
                    out.push(1);
                    out.extend_from_slice(&((array.value(row) as u64) ^ (1 << 63)).to_be_bytes());
                }
                Column::Decimal(array) if array.is_valid(row) => {
                    out.push(1);
                    out.extend_from_slice(&((array.value(row) as u128) ^ (1 << 127)).to_be_bytes());
                }
                Column::Double(array) if array.is_valid(row) => {
                    out.push(1);
                    out.extend_from_slice(&ordered_bits(array.value(row)).to_be_bytes());
                }
                Column::Text(array) if array.is_valid(row) => push_bytes(array.value(row).as_bytes(), out),
                Column::Bytes(array) if array.is_valid(row) => push_bytes(array.value(row), out),
                _ => out.push(0),
            }
        }
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(1);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(cursor: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (head, rest) = cursor.split_at_checked(length).ok_or_else(|| {
        Error::data("a stored group key is cut off: the state files are damaged; restore an older checkpoint")
    })?;
    *cursor = rest;
    Ok(head)
}

fn fixed<const N: usize>(cursor: &mut &[u8]) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    bytes.copy_from_slice(take(cursor, N)?);
    Ok(bytes)
}

fn decode_column(cursors: &mut [&[u8]], data_type: &DataType) -> Result<ArrayRef> {
    use arrow::array::{BinaryBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder};
    use std::sync::Arc;
    let rows = cursors.len();
    macro_rules! fill {
        ($builder:expr, $read:expr) => {{
            let mut builder = $builder;
            for cursor in cursors.iter_mut() {
                match take(cursor, 1)? {
                    [0] => builder.append_null(),
                    _ => builder.append_value($read(cursor)?),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    fn bytes<'a>(cursor: &mut &'a [u8]) -> Result<&'a [u8]> {
        let length = u32::from_be_bytes(fixed(cursor)?);
        take(cursor, length as usize)
    }
    fn text<'a>(cursor: &mut &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes(cursor)?)
            .map_err(|_| Error::data("a stored group key is not UTF-8: the state files are damaged"))
    }
    let whole = |cursor: &mut &[u8]| Ok::<_, Error>((u64::from_be_bytes(fixed(cursor)?) ^ (1 << 63)) as i64);
    let decimal = |cursor: &mut &[u8]| Ok::<_, Error>((u128::from_be_bytes(fixed(cursor)?) ^ (1 << 127)) as i128);
    let double = |cursor: &mut &[u8]| Ok::<_, Error>(from_ordered_bits(u64::from_be_bytes(fixed(cursor)?)));
    match shape(data_type) {
        Some(Shape::Whole) => from_int64(&fill!(Int64Builder::with_capacity(rows), whole), data_type),
        Some(Shape::Decimal) => {
            Ok(fill!(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()), decimal))
        }
        Some(Shape::Double) => {
            Ok(arrow::compute::cast(&fill!(Float64Builder::with_capacity(rows), double), data_type)?)
        }
        Some(Shape::Text) => Ok(fill!(StringBuilder::with_capacity(rows, rows * 8), text)),
        Some(Shape::Bytes) => Ok(fill!(BinaryBuilder::with_capacity(rows, rows * 8), bytes)),
        None => Err(Error::bug(format!("a key column of type {data_type} passed the check at the start"))),
    }
}

/// Before a text stand the mark of a value and its length.
const TEXT_PREFIX: usize = 5;

/// Numbers keys 0, 1, 2, ... in the order of their first appearance. All key bytes lie in one arena.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyTable {
    table: HashTable<Known>,
    arena: Vec<u8>,
    ends: Ends,
    hasher: DefaultHashBuilder,
}

/// A key's hash and number. With the hash beside it the table grows without looking at a key, and looks at nearly none in vain.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u32,
    index: u32,
}

/// What the table places a key by; it looks at the highest bits and at the lowest.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Where each key ends in the arena: in four bytes, as long as they are enough.
#[derive(Debug, Clone, Default)]
struct Ends {
    low: Vec<u32>,
    high: Vec<usize>,
}

impl Ends {
    fn len(&self) -> usize {
        self.low.len() + self.high.len()
    }

    fn push(&mut self, end: usize) {
        match u32::try_from(end) {
            Ok(low) => self.low.push(low),
            Err(_) => self.high.push(end),
        }
    }

    fn get(&self, index: usize) -> usize {
        match self.low.get(index) {
            Some(low) => *low as usize,
            None => self.high[index - self.low.len()],
        }
    }

    fn bytes(&self) -> usize {
        self.low.capacity() * 4 + self.high.capacity() * 8
    }
}

/// What of a key is hashed: of a single text only the text, so that a text can be looked up without being encoded.
fn hashed(key: &[u8]) -> &[u8] {
    match key {
        [1, a, b, c, d, text @ ..] if u32::from_be_bytes([*a, *b, *c, *d]) as usize == text.len() => text,
        _ => key,
    }
}

impl KeyTable {
    /// The number of the key that is this single text, if it is known.
    #[inline]
    pub(crate) fn find_text(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hash(text);
        let is = |known: &Known| {
            if known.hash != hash {
                return false;
            }
            let key = slot(&self.arena, &self.ends, known.index);
            // The length tells it from a key of several columns with the same ending.
            key.len() == TEXT_PREFIX + text.len() && key[TEXT_PREFIX..] == *text && hashed(key).len() == text.len()
        };
        self.table.find(spread(hash), is).map(|known| known.index)
    }

    /// The number of `key`, new or known.
    pub(crate) fn intern(&mut self, key: &[u8]) -> Result<u32> {
        let hash = self.hash(hashed(key));
        let (arena, ends) = (&self.arena, &self.ends);
        let is = |known: &Known| known.hash == hash && slot(arena, ends, known.index) == key;
        if let Some(known) = self.table.find(spread(hash), is) {
            return Ok(known.index);
        }
        let index = u32::try_from(ends.len())
            .map_err(|_| Error::data("more than 4,294,967,295 keys in one slice: use shorter windows or fewer keys"))?;
        self.table.insert_unique(spread(hash), Known { hash, index }, |other| spread(other.hash));
        self.arena.extend_from_slice(key);
        self.ends.push(self.arena.len());
        Ok(index)
    }

    fn hash(&self, bytes: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(bytes);
        (hash ^ (hash >> 32)) as u32
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of key `index`.
    pub(crate) fn key(&self, index: u32) -> &[u8] {
        slot(&self.arena, &self.ends, index)
    }

    /// The numbers of all keys, sorted by their bytes.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let numbers = 0..self.ends.len() as u32;
        if self.len() > MAX_HEADS {
            let mut order: Vec<u32> = numbers.collect();
            order.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
            return order;
        }
        let shared = self.shared_prefix();
        let mut order: Vec<(u128, u32)> = numbers.map(|index| (head(&self.key(index)[shared..]), index)).collect();
        order.sort_unstable_by(|(left, a), (right, b)| left.cmp(right).then_with(|| self.key(*a).cmp(self.key(*b))));
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// How many bytes all keys begin with alike.
    fn shared_prefix(&self) -> usize {
        let first = if self.len() == 0 { return 0 } else { self.key(0) };
        (1..self.len() as u32).fold(first.len(), |shared, index| {
            first[..shared].iter().zip(self.key(index)).take_while(|(a, b)| a == b).count()
        })
    }

    /// Bytes held, without walking anything.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.bytes() + self.table.allocation_size()
    }
}

/// Up to so many keys are sorted by their first bytes as numbers, 32 bytes for each; more of them where they lie.
const MAX_HEADS: usize = 1 << 20;

/// The first bytes of a key as a number that sorts like them; a key that ends before is filled up with zeros.
fn head(key: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = key.len().min(16);
    head[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(head)
}

fn slot<'a>(arena: &'a [u8], ends: &Ends, index: u32) -> &'a [u8] {
    let index = index as usize;
    let start = if index == 0 { 0 } else { ends.get(index - 1) };
    &arena[start..ends.get(index)]
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
