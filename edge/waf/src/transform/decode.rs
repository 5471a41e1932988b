//! Decoders: URL, HTML, JavaScript, CSS, C and SQL escapes. Broken escapes stay as they are unless said otherwise.

use super::{hex_pair, hex_value, is_space};
use crate::transform::encode::best_fit;

/// `%HH` and `+`.
pub(super) fn url(input: &[u8], out: &mut Vec<u8>) {
    percent(input, out, false);
}

/// `%HH`, `%uHHHH` (to the one byte it looks like) and `+`.
pub(super) fn url_unicode(input: &[u8], out: &mut Vec<u8>) {
    percent(input, out, true);
}

fn percent(input: &[u8], out: &mut Vec<u8>, unicode: bool) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        match byte {
            b'+' => out.push(b' '),
            b'%' if unicode && matches!(input.get(at + 1), Some(b'u' | b'U')) => {
                if let Some(byte) = wide(input, at + 2) {
                    out.push(byte);
                    at += 6;
                    continue;
                }
                out.push(b'%');
            }
            b'%' => {
                if let Some(byte) = hex_pair(input, at + 1) {
                    out.push(byte);
                    at += 3;
                    continue;
                }
                out.push(b'%');
            }
            byte => out.push(byte),
        }
        at += 1;
    }
}

/// Four hexadecimal digits to one byte: by the best-fit table, full-width forms to ASCII, else the low byte.
fn wide(input: &[u8], at: usize) -> Option<u8> {
    let high = hex_pair(input, at)?;
    let low = hex_pair(input, at + 2)?;
    Some(best_fit(high, low))
}

/// `&#DDD;`, `&#xHH;` and the five names that matter; the semicolon is optional.
pub(super) fn html_entities(input: &[u8], out: &mut Vec<u8>) {
    const NAMES: [(&[u8], u8); 5] = [
        (b"quot", b'"'),
        (b"amp", b'&'),
        (b"lt", b'<'),
        (b"gt", b'>'),
        (b"nbsp", 0xa0),
    ];
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        let rest = &input[at + 1..];
        let decoded = match (byte, rest) {
            (b'&', [b'#', b'x' | b'X', digits @ ..]) => {
                number(digits, 16).map(|(byte, used)| (byte, used + 3))
            }
            (b'&', [b'#', digits @ ..]) => number(digits, 10).map(|(byte, used)| (byte, used + 2)),
            (b'&', rest) => {
                let length = rest
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric())
                    .count();
                let name = NAMES
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&rest[..length]));
                name.map(|(name, byte)| (*byte, name.len() + 1))
            }
            _ => None,
        };
        match decoded {
            Some((byte, used)) => {
                out.push(byte);
                at += used;
                if input.get(at) == Some(&b';') {
                    at += 1;
                }
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// The low byte of a number and the length of its digits.
fn number(digits: &[u8], radix: u32) -> Option<(u8, usize)> {
    let used = digits
        .iter()
        .take_while(|b| char::from(**b).is_digit(radix))
        .count();
    let value = digits[..used]
        .iter()
        .filter_map(|b| char::from(*b).to_digit(radix))
        .fold(0u32, |sum, digit| {
            sum.wrapping_mul(radix).wrapping_add(digit)
        });
    (used > 0).then_some(((value & 0xff) as u8, used))
}

/// JavaScript's escapes; a backslash before anything else goes.
pub(super) fn js(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let Some(&next) = input.get(at + 1) else {
            out.push(b'\\');
            return;
        };
        if next == b'u'
            && let Some(byte) = js_wide(input, at + 2)
        {
            out.push(byte);
            at += 6;
        } else if next == b'x'
            && let Some(byte) = hex_pair(input, at + 2)
        {
            out.push(byte);
            at += 4;
        } else if let Some((byte, used)) = octal(&input[at + 1..], true) {
            out.push(byte);
            at += 1 + used;
        } else {
            out.push(control(next).unwrap_or(next));
            at += 2;
        }
    }
}

fn js_wide(input: &[u8], at: usize) -> Option<u8> {
    let high = hex_pair(input, at)?;
    let low = hex_pair(input, at + 2)?;
    Some(full_width(high, low))
}

/// U+FF01 to U+FF5E look like ASCII; of all others the low byte is taken.
pub(super) fn full_width(high: u8, low: u8) -> u8 {
    if high == 0xff && low > 0 && low < 0x5f {
        low + 0x20
    } else {
        low
    }
}

/// Up to three octal digits; `bounded` keeps the value within a byte by taking two when the first is above 3.
fn octal(input: &[u8], bounded: bool) -> Option<(u8, usize)> {
    let mut used = input
        .iter()
        .take(3)
        .take_while(|b| (b'0'..=b'7').contains(b))
        .count();
    if bounded && used == 3 && input.first().is_some_and(|first| *first > b'3') {
        used = 2;
    }
    let value = input[..used]
        .iter()
        .fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
    (used > 0).then_some(((value & 0xff) as u8, used))
}

fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

/// CSS 2 escapes: up to six hexadecimal digits and one blank after them.
pub(super) fn css(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(&next) = input.get(at) else { return };
        let digits = input[at..]
            .iter()
            .take(6)
            .take_while(|b| b.is_ascii_hexdigit())
            .count();
        if digits == 0 {
            at += 1;
            if next != b'\n' {
                out.push(next);
            }
            continue;
        }
        let low = if digits == 1 {
            hex_value(next)
        } else {
            hex_pair(input, at + digits - 2)
        };
        let mut decoded = low.unwrap_or_default();
        let padded = input[at..at + digits.saturating_sub(4)]
            .iter()
            .all(|b| *b == b'0');
        if digits >= 4 && padded {
            decoded = full_width(
                hex_pair(input, at + digits - 4).unwrap_or_default(),
                decoded,
            );
        }
        out.push(decoded);
        at += digits;
        if input.get(at).is_some_and(|b| is_space(*b)) {
            at += 1;
        }
    }
}

/// C's escapes; a backslash before anything else goes.
pub(super) fn escape_sequences(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        let next = input.get(at + 1).copied();
        let (Some(next), b'\\') = (next, byte) else {
            out.push(byte);
            at += 1;
            continue;
        };
        if let Some(control) = control(next) {
            out.push(control);
            at += 2;
        } else if matches!(next, b'x' | b'X')
            && let Some(byte) = hex_pair(input, at + 2)
        {
            out.push(byte);
            at += 4;
        } else if let Some((byte, used)) = octal(&input[at + 1..], false) {
            out.push(byte);
            at += 1 + used;
        } else {
            out.push(next);
            at += 2;
        }
    }
}

/// `0xHH…` to bytes.
pub(super) fn sql_hex(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        if byte == b'0'
            && matches!(input.get(at + 1), Some(b'x' | b'X'))
            && hex_pair(input, at + 2).is_some()
        {
            at += 2;
            while let Some(byte) = hex_pair(input, at) {
                out.push(byte);
                at += 2;
            }
            continue;
        }
        out.push(byte);
        at += 1;
    }
}
