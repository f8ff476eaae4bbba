//! Template `payments`: requests and outcomes of payments. Amounts are decimal numbers with two digits of fraction.

use super::draw::tag::FIELD;
use super::text::{Object, write_hex, write_number};
use super::{Malformed, Record};

const ID: u64 = FIELD;
const ORDER: u64 = FIELD + 1;
const CUSTOMER: u64 = FIELD + 2;
const AMOUNT: u64 = FIELD + 3;
const CURRENCY: u64 = FIELD + 4;
const METHOD: u64 = FIELD + 5;
const STATUS: u64 = FIELD + 6;

const CURRENCIES: [&[u8]; 10] = [b"EUR", b"USD", b"GBP", b"CHF", b"SEK", b"NOK", b"DKK", b"PLN", b"CZK", b"JPY"];
const METHODS: [&[u8]; 4] = [b"card", b"paypal", b"transfer", b"wallet"];

/// Appends one record. `currency`, `method` and `amount` are optional.
#[inline]
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let draw = record.draw;
    let mut object = Object::new(out);
    let id = object.name(b"\"payment_id\":\"pay-");
    write_hex(draw.at(ID), 12, id);
    id.push(b'"');
    write_number(draw.below(ORDER, 10_000_000), object.name(b"\"order_id\":"));
    write_number(draw.below(CUSTOMER, 1_000_000), object.name(b"\"customer_id\":"));
    if record.has(Malformed::WrongType) || !record.misses(AMOUNT) {
        record
            .write_number(b"\"amount\":", AMOUNT, &mut object, |out| write_cents(1 + draw.below(AMOUNT, 50_000), out));
    }
    if !record.misses(CURRENCY) {
        let currency = draw.below(CURRENCY, record.common.keys);
        let text = object.name(b"\"currency\":\"");
        match CURRENCIES.get(currency as usize) {
            Some(code) => text.extend_from_slice(code),
            None => {
                text.push(b'X');
                write_number(currency, text);
            }
        }
        text.push(b'"');
    }
    if !record.misses(METHOD) {
        object.text(b"\"method\":", METHODS[draw.below(METHOD, 4) as usize]);
    }
    let succeeded = draw.below(STATUS, 100) < 95;
    object.text(b"\"status\":", if succeeded { b"succeeded" } else { b"failed" });
    record.write_time(b"\"timestamp\":", &mut object);
    object.end();
}

fn write_cents(cents: u64, out: &mut Vec<u8>) {
    write_number(cents / 100, out);
    out.extend_from_slice(&[b'.', b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
}
