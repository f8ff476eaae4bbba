//! Base64 with the standard alphabet and padding (RFC 4648, section 4), which is how JSON carries bytes.
//!
//! No line feeds, no URL alphabet: what another program cannot read back must not pass here.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the text for `bytes`.
pub fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= chunk.len() { letter } else { b'=' });
        }
    }
}

/// Appends the bytes that `text` stands for; `false`, with `out` as it was, when it is not base64.
pub fn decode_base64(text: &str, out: &mut Vec<u8>) -> bool {
    let (bytes, start) = (text.as_bytes(), out.len());
    if bytes.len() % 4 != 0 {
        return false;
    }
    let padding = bytes.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    let letters = &bytes[..bytes.len() - padding];
    for chunk in letters.chunks(4) {
        let mut group = 0u32;
        for &letter in chunk {
            let Some(value) = letter_value(letter) else {
                out.truncate(start);
                return false;
            };
            group = group << 6 | value;
        }
        group <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&group.to_be_bytes()[1..chunk.len()]);
    }
    true
}

fn letter_value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
