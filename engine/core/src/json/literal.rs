//! Numbers as they stand in the text, without a detour over floating point.
//!
//! Which columns accept which numbers is decided elsewhere.

/// A decimal literal: `-12.50e3`. Leading zeros are fine here; the scanner has refused them in JSON numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Literal<'a> {
    /// Reads `-?digits[.digits][e[+-]digits]`; `None` for everything else (so also for `+5`, `.5`, `NaN` and blanks).
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (negative, rest) = strip(bytes, b"-");
        let (whole, rest) = digits(rest)?;
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest)?,
            _ => (&rest[..0], rest),
        };
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => exponent(rest)?,
            Some(_) => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    fn digit(&self, index: usize) -> u8 {
        let digit = match self.whole.get(index) {
            Some(digit) => digit,
            None => self.fraction.get(index - self.whole.len()).unwrap_or(&b'0'),
        };
        digit - b'0'
    }

    /// The value times 10^`scale`, rounded half up (away from zero), and whether nothing was cut off.
    /// `None` when it has more than 38 digits.
    pub(super) fn scaled(&self, scale: u8) -> Option<(i128, bool)> {
        let present = self.whole.len() + self.fraction.len();
        let keep = self.whole.len() as i64 + self.exponent + i64::from(scale);
        let mut value: i128 = 0;
        let mut index = 0;
        while (index as i64) < keep {
            // Zeros after the last digit change nothing while the value is zero: `0e999999999` ends here.
            if index >= present && value == 0 {
                break;
            }
            value = value.checked_mul(10)?.checked_add(i128::from(self.digit(index)))?;
            index += 1;
        }
        let cut = (keep.max(0) as usize).min(present);
        let exact = (cut..present).all(|index| self.digit(index) == 0);
        if keep >= 0 && cut < present && self.digit(cut) >= 5 {
            value = value.checked_add(1)?;
        }
        (value < 10_i128.pow(38)).then_some((if self.negative { -value } else { value }, exact))
    }
}

fn strip<'a>(bytes: &'a [u8], prefix: &[u8]) -> (bool, &'a [u8]) {
    bytes.strip_prefix(prefix).map_or((false, bytes), |rest| (true, rest))
}

/// At least one digit, and what follows.
fn digits(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    (end > 0).then(|| bytes.split_at(end))
}

/// Saturates far beyond what any column holds.
fn exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, rest) = strip(bytes, b"-");
    let rest = if negative { rest } else { strip(rest, b"+").1 };
    let (digits, rest) = digits(rest)?;
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(1 << 40);
    let value = digits.iter().fold(0, add);
    rest.is_empty().then_some(if negative { -value } else { value })
}

/// A short integer literal, the common case; `None` sends the caller to [`Literal`].
#[inline]
pub(super) fn short_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = strip(bytes, b"-");
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Optional minus and digits only: what text must be for an integer column.
pub(super) fn is_integer_text(text: &str) -> bool {
    let (_, digits) = strip(text.as_bytes(), b"-");
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Appends `value` / 10^`scale` with all its digits: `-12.50`.
pub(super) fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if value != 0 {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
}
