//! Template `product-images`: one record per variant of a product's picture, as the shop's function publishes them.

use super::draw::{Draw, tag::FIELD};
use super::text::{Object, write_hex, write_number};
use super::{Record, RecordMaker};

const ID: u64 = FIELD;
const PRODUCT: u64 = FIELD + 1;
const LABEL: u64 = FIELD + 2;
const BYTES: u64 = FIELD + 3;
const FORMAT: u64 = FIELD + 4;

/// The labels of the first keys, with the width of such a picture.
const LABELS: [(&[u8], u64); 10] = [
    (b"thumbnail", 150),
    (b"small", 320),
    (b"medium", 640),
    (b"large", 1024),
    (b"xlarge", 1600),
    (b"original", 4032),
    (b"zoom", 2048),
    (b"tile", 200),
    (b"banner", 1920),
    (b"icon", 64),
];

const FORMATS: [&[u8]; 4] = [b"webp", b"jpeg", b"png", b"avif"];

/// Appends one record, of about 200 bytes. `size_label`, `size_bytes` and `format` are optional.
#[inline]
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let draw = record.draw;
    let label = draw.below(LABEL, record.common.keys);
    let product = draw.below(PRODUCT, 100_000);
    let format = FORMATS[draw.below(FORMAT, 4) as usize];
    let width = LABELS.get(label as usize).map_or(800, |(_, width)| *width);

    let mut object = Object::new(out);
    let id = object.name(b"\"image_id\":\"img-");
    write_hex(draw.at(ID), 8, id);
    id.push(b'"');
    write_number(product, object.name(b"\"product_id\":"));
    object.text(b"\"bucket\":", b"shop-images");
    let key = object.name(b"\"key\":\"p/");
    write_number(product, key);
    key.push(b'/');
    write_label(label, key);
    key.push(b'"');
    if !record.misses(FORMAT) {
        object.text(b"\"format\":", format);
    }
    write_number(width, object.name(b"\"width\":"));
    write_number(width * 3 / 4, object.name(b"\"height\":"));
    if !record.misses(LABEL) {
        let text = object.name(b"\"size_label\":\"");
        write_label(label, text);
        text.push(b'"');
    }
    // A record that is to have a wrong type needs the field.
    if record.has(super::Malformed::WrongType) || !record.misses(BYTES) {
        record.write_number(b"\"size_bytes\":", BYTES, &mut object, |out| write_number(bytes(draw, width), out));
    }
    record.write_time(b"\"timestamp\":", &mut object);
    object.end();
}

fn bytes(draw: Draw, width: u64) -> u64 {
    1_000 + draw.below(BYTES, width * 100)
}

#[inline]
fn write_label(label: u64, out: &mut Vec<u8>) {
    match LABELS.get(label as usize) {
        Some((name, _)) => out.extend_from_slice(name),
        None => {
            out.extend_from_slice(b"size-");
            write_number(label, out);
        }
    }
}

impl RecordMaker {
    /// The label of key number `index` in the template `product-images`.
    pub fn label(index: u64) -> String {
        let mut label = Vec::new();
        write_label(index, &mut label);
        String::from_utf8_lossy(&label).into_owned()
    }
}
