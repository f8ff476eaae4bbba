//! Finds the wanted fields of an object in one pass, helped by a guess of which field comes next.
//!
//! Producers write the fields of a topic in the same order nearly always, so each name remembers which name followed it;
//! a right guess costs one comparison of bytes instead of scanning and looking up the name. The guess never decides what
//! is accepted.

use super::scan::{Kind, Scan, Scanned, Span, unescape};
use std::collections::HashMap;

/// Names that are not columns are learned too, up to this many, so that they can be guessed and passed over.
const MAX_LEARNED: usize = 256;
const MAX_LEARNED_LENGTH: usize = 128;
/// Entry of the chain that stands for "before the first field" and for every name that is not learned.
const START: usize = 0;
const IGNORED: usize = usize::MAX;
/// No text holds this byte, because it is no UTF-8.
const NEVER: &[u8] = b"\xFF";

#[derive(Debug)]
struct Known {
    /// `"name":`, as it stands in the text of nearly every producer.
    quoted: Box<[u8]>,
    /// The first sixteen bytes of it, and which of their bits count, so that most names are compared without a call.
    head: [u64; 2],
    mask: [u64; 2],
    /// Which slot takes the value; [`IGNORED`] for none.
    slot: usize,
    /// The entry that came after this one the last time the guess was wrong.
    next: usize,
}

impl Known {
    fn new(quoted: Vec<u8>, slot: usize, next: usize) -> Self {
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        let length = quoted.len().min(16);
        head[..length].copy_from_slice(&quoted[..length]);
        mask[..length].fill(0xFF);
        Self { quoted: quoted.into(), head: words(&head), mask: words(&mask), slot, next }
    }

    /// Whether the text goes on with this name at `at`.
    #[inline]
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        let Some(found) = bytes.get(at..at + 16) else { return bytes[at..].starts_with(&self.quoted) };
        let found = words(found.try_into().expect("the slice has sixteen bytes"));
        let differs = ((found[0] ^ self.head[0]) & self.mask[0]) | ((found[1] ^ self.head[1]) & self.mask[1]);
        differs == 0 && (self.quoted.len() <= 16 || bytes[at..].starts_with(&self.quoted))
    }
}

fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has eight bytes"));
    [word(0), word(8)]
}

/// The wanted fields of one kind of object.
#[derive(Debug)]
pub(super) struct Fields {
    known: Vec<Known>,
    by_name: HashMap<Box<[u8]>, usize>,
    slots: Vec<Span>,
    unescaped: Vec<u8>,
}

impl Fields {
    /// One slot per name, in order. When names repeat, the last one takes the value.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let start = Known::new(NEVER.to_vec(), IGNORED, 1);
        let mut fields = Self { known: vec![start], by_name: HashMap::new(), slots: Vec::new(), unescaped: Vec::new() };
        for name in names {
            let slot = fields.slots.len();
            fields.slots.push(Span::MISSING);
            fields.learn(name.as_bytes(), slot);
        }
        fields
    }

    /// What the last [`Fields::read`] found for the name with this index.
    pub(super) fn slot(&self, index: usize) -> Span {
        self.slots[index]
    }

    fn learn(&mut self, name: &[u8], slot: usize) -> usize {
        let index = self.known.len();
        // A name that needs escapes stands otherwise in the text, and unescaped it could match more than a name.
        let plain = !name.iter().any(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        let quoted = if plain { [b"\"", name, b"\":"].concat() } else { NEVER.to_vec() };
        self.known.push(Known::new(quoted, slot, index + 1));
        self.by_name.insert(name.into(), index);
        index
    }

    /// Reads the object whose `{` has just been passed, `depth` levels deep, and notes where the wanted values are.
    /// Of a repeated name the last value counts.
    pub(super) fn read(&mut self, scan: &mut Scan<'_>, depth: u32) -> Scanned<()> {
        self.slots.fill(Span::MISSING);
        if scan.empty(b'}') {
            return Ok(());
        }
        let mut last = START;
        loop {
            last = self.name(scan, last)?;
            scan.blanks();
            let value = scan.value(depth)?;
            if let Some(slot) = self.slots.get_mut(self.known[last].slot) {
                *slot = value;
            }
            if !scan.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Passes over a name and its colon, and tells which name it is.
    #[inline]
    fn name(&mut self, scan: &mut Scan<'_>, last: usize) -> Scanned<usize> {
        let mut guess = self.known[last].next;
        // The second try is for a field that is left out this time.
        for _ in 0..2 {
            let Some(known) = self.known.get(guess) else { break };
            if known.is_at(scan.bytes, scan.at) {
                scan.at += known.quoted.len();
                return Ok(guess);
            }
            guess = known.next;
        }
        self.look_up(scan, last)
    }

    #[cold]
    fn look_up(&mut self, scan: &mut Scan<'_>, last: usize) -> Scanned<usize> {
        if scan.peek() != b'"' {
            return scan.broken("expected a field's name");
        }
        let span = scan.text()?;
        scan.colon()?;
        let raw = &scan.bytes[span.start..span.end];
        if span.kind == Kind::Escaped {
            self.unescaped.clear();
            // Checked by the scan; the document is UTF-8.
            unescape(std::str::from_utf8(raw).unwrap_or_default(), &mut self.unescaped);
            return Ok(self.by_name.get(self.unescaped.as_slice()).copied().unwrap_or(START));
        }
        let found = match self.by_name.get(raw) {
            Some(&found) => found,
            None if self.known.len() < MAX_LEARNED && raw.len() <= MAX_LEARNED_LENGTH => self.learn(raw, IGNORED),
            None => return Ok(START),
        };
        self.known[last].next = found;
        Ok(found)
    }
}
