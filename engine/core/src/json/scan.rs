//! Strict scanning of JSON text (RFC 8259): where a value begins and ends, and of which kind it is.
//!
//! The text is already known to be UTF-8. Nothing is converted here, except escapes on demand.

/// Objects and arrays may nest so deep, the record itself included.
pub(super) const MAX_DEPTH: u32 = 64;

/// What a span of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The field does not occur.
    Missing,
    Null,
    True,
    False,
    Number,
    /// Text without escapes; the span excludes the quotes.
    Text,
    /// Text with escapes; the span excludes the quotes.
    Escaped,
    Object,
    Array,
}

/// A value that has been found and checked, but not converted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const MISSING: Span = Span { kind: Kind::Missing, start: 0, end: 0 };

    /// The text of the span in the document that it was found in.
    pub(super) fn of(self, document: &str) -> &str {
        &document[self.start..self.end]
    }
}

/// Where the text stops being JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

pub(super) type Scanned<T> = Result<T, Broken>;

/// A place in a text that is being scanned.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    /// Begins at byte `at` of the text.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { bytes: text.as_bytes(), at }
    }

    /// The next byte; 0 at the end, which no rule of JSON accepts.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn broken<T>(&self, what: &'static str) -> Scanned<T> {
        Err(Broken { at: self.at, what })
    }

    /// Passes over blanks.
    #[inline]
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Passes over `:` and the blanks around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Scanned<()> {
        self.blanks();
        if self.peek() != b':' {
            return self.broken("expected ':'");
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// After a member of an object or array that ends with `close`: true when another one follows.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Scanned<bool> {
        self.blanks();
        match self.peek() {
            b',' => {
                self.at += 1;
                self.blanks();
                Ok(true)
            }
            found if found == close => {
                self.at += 1;
                Ok(false)
            }
            _ if close == b'}' => self.broken("expected ',' or '}'"),
            _ => self.broken("expected ',' or ']'"),
        }
    }

    /// After `{` or `[`: true when there is nothing before `close`.
    #[inline]
    pub(super) fn empty(&mut self, close: u8) -> bool {
        self.blanks();
        let empty = self.peek() == close;
        self.at += usize::from(empty);
        empty
    }

    /// The value that begins here. `depth` counts the objects and arrays around it.
    // Left to itself the compiler inlines it or not as the crate around it changes, which is a tenth of what a record costs.
    #[inline(always)]
    pub(super) fn value(&mut self, depth: u32) -> Scanned<Span> {
        let start = self.at;
        let kind = match self.peek() {
            b'"' => return self.text(),
            b'-' | b'0'..=b'9' => self.number()?,
            b'{' => self.object(depth + 1)?,
            b'[' => self.array(depth + 1)?,
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => return self.broken("expected a value"),
        };
        Ok(Span { kind, start, end: self.at })
    }

    /// The text that begins at this quote.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Scanned<Span> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Text;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Span { kind, start, end: self.at - 1 });
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                Some(_) => return self.broken("a control character in text must be escaped"),
                None => return self.broken("the text does not end"),
            }
        }
    }

    fn escape(&mut self) -> Scanned<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match unicode_escape(self.bytes, self.at) {
                Some((_, length)) => {
                    self.at += length;
                    Ok(())
                }
                None => self.broken("not a character: four hex digits or a pair of surrogates must follow '\\u'"),
            },
            _ => self.broken("unknown escape"),
        }
    }

    #[inline]
    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at > start
    }

    #[inline]
    fn number(&mut self) -> Scanned<Kind> {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return self.broken("a number must not begin with 0");
            }
        } else if !self.digits() {
            return self.broken("expected a digit");
        }
        if self.peek() == b'.' {
            self.at += 1;
            if !self.digits() {
                return self.broken("expected a digit after '.'");
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            if !self.digits() {
                return self.broken("expected a digit in the exponent");
            }
        }
        Ok(Kind::Number)
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Scanned<Kind> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.broken("expected a value");
        }
        self.at += word.len();
        Ok(kind)
    }

    fn object(&mut self, depth: u32) -> Scanned<Kind> {
        self.enter(depth)?;
        if self.empty(b'}') {
            return Ok(Kind::Object);
        }
        loop {
            if self.peek() != b'"' {
                return self.broken("expected a field's name");
            }
            self.text()?;
            self.colon()?;
            self.value(depth)?;
            if !self.more(b'}')? {
                return Ok(Kind::Object);
            }
        }
    }

    fn array(&mut self, depth: u32) -> Scanned<Kind> {
        self.enter(depth)?;
        if self.empty(b']') {
            return Ok(Kind::Array);
        }
        loop {
            self.value(depth)?;
            if !self.more(b']')? {
                return Ok(Kind::Array);
            }
        }
    }

    fn enter(&mut self, depth: u32) -> Scanned<()> {
        if depth > MAX_DEPTH {
            return self.broken("nested deeper than 64 levels");
        }
        self.at += 1;
        Ok(())
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character; the length when there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 16) {
        let hits = stops(chunk.try_into().expect("the slice has sixteen bytes"));
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += 16;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    at
}

/// One bit for each byte that ends plain text.
#[cfg(target_arch = "x86_64")]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let word = |at: usize| i64::from_le_bytes(chunk[at..at + 8].try_into().expect("the slice has eight bytes"));
    // SAFETY: every x86-64 processor has SSE2; the calls take and give values, no pointers.
    unsafe {
        let text = _mm_set_epi64x(word(8), word(0));
        let quotes = _mm_cmpeq_epi8(text, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(text, _mm_set1_epi8(b'\\' as i8));
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1F)), text);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)) as u32
    }
}

/// One bit for each byte that ends plain text.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    let stops = |byte: u8| u32::from(byte == b'"' || byte == b'\\' || byte < 0x20);
    chunk.iter().enumerate().fold(0, |bits, (at, &byte)| bits | stops(byte) << at)
}

/// The character and the length of the `\u` escape at `at` (twelve bytes for a pair of surrogates).
fn unicode_escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let escape = bytes.get(at..at + 6)?;
        let hex = |value: u32, &digit: &u8| Some(value * 16 + char::from(digit).to_digit(16)?);
        (escape[0] == b'\\' && escape[1] == b'u').then(|| escape[2..].iter().try_fold(0, hex)).flatten()
    };
    let first = unit(at)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(at + 6).filter(|second| (0xDC00..0xE000).contains(second))?;
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12))
}

/// Appends the characters that checked text with escapes stands for.
pub(super) fn unescape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let plain = bytes[at..].iter().position(|&byte| byte == b'\\').map_or(bytes.len(), |found| at + found);
        out.extend_from_slice(&bytes[at..plain]);
        at = plain;
        let Some(&escape) = bytes.get(at + 1) else { return };
        let mut length = 2;
        match escape {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, used) = unicode_escape(bytes, at).unwrap_or((char::REPLACEMENT_CHARACTER, 6));
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                length = used;
            }
            plain => out.push(plain),
        }
        at += length;
    }
}
