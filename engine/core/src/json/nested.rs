//! Lists and maps under construction.
//!
//! Maps keep the order of their keys; of a repeated key the last value counts.

use super::column::{Column, Context};
use super::fault::{Fault, Outcome, cut};
use super::scan::{Kind, Scan, Span, unescape};
use super::values::Bytes;
use crate::{Error, Result};
use arrow::array::{ArrayRef, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// `ARRAY`
#[derive(Debug)]
pub(super) struct ListValues {
    field: FieldRef,
    offsets: Vec<i32>,
    item: Column,
}

impl ListValues {
    pub(super) fn new(field: &FieldRef) -> Result<Self> {
        let item = Column::new("", field.data_type(), field.is_nullable(), "")?;
        Ok(Self { field: field.clone(), offsets: vec![0], item })
    }

    pub(super) fn append(&mut self, span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<()> {
        if span.kind != Kind::Array {
            return Err(Fault::expected(sql_type, span, context.document));
        }
        let mut scan = Scan::new(context.document, span.start + 1);
        let mut more = !scan.empty(b']');
        let mut index = 0;
        while more {
            // Checked when the record was scanned.
            let value = scan.value(0).map_err(|broken| Fault::new(broken.what.to_owned()))?;
            self.item.append(value, context).map_err(|fault| fault.within(&format!("[{index}]")))?;
            more = scan.more(b']').map_err(|broken| Fault::new(broken.what.to_owned()))?;
            index += 1;
        }
        self.end();
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.offsets.push(self.item.len() as i32);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.item.truncate(self.offsets[length] as usize);
    }

    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let items = self.item.finish()?;
        Ok(Arc::new(ListArray::try_new(self.field.clone(), offsets, items, nulls)?))
    }
}

/// `MAP<STRING, ...>`
#[derive(Debug)]
pub(super) struct MapValues {
    entries: FieldRef,
    offsets: Vec<i32>,
    keys: Bytes,
    value: Column,
}

impl MapValues {
    pub(super) fn new(name: &str, entries: &FieldRef) -> Result<Self> {
        match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 && parts[0].data_type() == &DataType::Utf8 => {
                let value = Column::new("", parts[1].data_type(), parts[1].is_nullable(), "")?;
                Ok(Self { entries: entries.clone(), offsets: vec![0], keys: Bytes::new(), value })
            }
            _ => Err(Error::config(format!("column '{name}': the keys of a MAP in JSON must be STRING"))),
        }
    }

    pub(super) fn append(&mut self, span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<()> {
        if span.kind != Kind::Object {
            return Err(Fault::expected(sql_type, span, context.document));
        }
        let found = entries_of(context.document, span)?;
        for (key, value) in &found {
            self.value.append(*value, context).map_err(|fault| fault.within(&format!("['{}']", cut(key))))?;
            self.keys.data.extend_from_slice(key.as_bytes());
            self.keys.end();
        }
        self.end();
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.offsets.push(self.value.len() as i32);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        let entries = self.offsets[length] as usize;
        self.value.truncate(entries);
        self.keys.truncate(entries);
    }

    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let (key_offsets, key_data) = self.keys.take();
        let keys = Arc::new(StringArray::try_new(key_offsets, key_data, None)?);
        let DataType::Struct(parts) = self.entries.data_type() else {
            return Err(Error::bug("a map's entries are not a struct"));
        };
        let entries = StructArray::try_new(parts.clone(), vec![keys, self.value.finish()?], None)?;
        Ok(Arc::new(MapArray::try_new(self.entries.clone(), offsets, entries, nulls, false)?))
    }
}

/// The entries of a checked object; a repeated key keeps its first place and its last value.
fn entries_of(document: &str, span: Span) -> Outcome<Vec<(Cow<'_, str>, Span)>> {
    let checked = |broken: super::scan::Broken| Fault::new(broken.what.to_owned());
    let mut scan = Scan::new(document, span.start + 1);
    let mut entries: Vec<(Cow<'_, str>, Span)> = Vec::new();
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut more = !scan.empty(b'}');
    while more {
        let name = scan.text().map_err(checked)?;
        let key = match name.kind {
            Kind::Escaped => {
                let mut plain = Vec::new();
                unescape(name.of(document), &mut plain);
                Cow::Owned(String::from_utf8(plain).unwrap_or_default())
            }
            _ => Cow::Borrowed(name.of(document)),
        };
        scan.colon().map_err(checked)?;
        let value = scan.value(0).map_err(checked)?;
        match places.get(&key) {
            Some(&place) => entries[place].1 = value,
            None => {
                places.insert(key.clone(), entries.len());
                entries.push((key, value));
            }
        }
        more = scan.more(b'}').map_err(checked)?;
    }
    Ok(entries)
}
