//! Encoders, digests, and Unicode to one byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::hex_pair;
use crate::transform::decode::full_width;

/// The length in bytes, in decimal.
pub(super) fn length(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(input.len().to_string().as_bytes());
}

/// The digest's 20 bytes.
pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Sha1::digest(input));
}

/// The digest's 16 bytes.
pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&md5::Md5::digest(input));
}

/// Two lower-case digits a byte.
pub(super) fn hex_encode(input: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in input {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Pairs of digits to bytes; stops at the first that is none.
pub(super) fn hex_decode(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = hex_pair(input, at) {
        out.push(byte);
        at += 2;
    }
}

/// RFC 4648 section 4, padded.
pub(super) fn base64_encode(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(input).as_bytes());
}

/// Decodes up to the first byte outside the alphabet.
pub(super) fn base64_decode(input: &[u8], out: &mut Vec<u8>) {
    sextets(input.iter().copied().map_while(sextet), out);
}

/// Decodes what is in the alphabet and skips what is not.
pub(super) fn base64_decode_ext(input: &[u8], out: &mut Vec<u8>) {
    sextets(
        input
            .iter()
            .copied()
            .take_while(|b| *b != b'=')
            .filter_map(sextet),
        out,
    );
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn sextets(values: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut bits = 0u32;
    let mut held = 0;
    for value in values {
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
}

/// Everything but letters, digits, `*`, `-`, `.` and `_`; a blank becomes `+`.
pub(super) fn url_encode(input: &[u8], out: &mut Vec<u8>) {
    for &byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => out.push(byte),
            byte if byte.is_ascii_alphanumeric() => out.push(byte),
            byte => {
                out.push(b'%');
                hex_encode(&[byte], out);
            }
        }
    }
}

/// UTF-8 sequences of two bytes and more to `%uHHHH`; broken ones stay.
pub(super) fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_ascii() {
                out.push(letter as u8);
            } else {
                out.extend_from_slice(format!("%u{:04x}", u32::from(letter)).as_bytes());
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
}

/// Code points that look like ASCII to a server that maps them to Windows code page 20127 by best fit.
const BEST_FIT: &[(u16, u16, &[u8])] = &[
    (0x00a0, 0x00a0, b" "),
    (0x00ab, 0x00ab, b"<"),
    (0x00ad, 0x00ad, b"-"),
    (0x00b4, 0x00b4, b"'"),
    (0x00bb, 0x00bb, b">"),
    (0x02b9, 0x02b9, b"'"),
    (0x02ba, 0x02ba, b"\""),
    (0x02bc, 0x02bc, b"'"),
    (0x02c4, 0x02c4, b"^"),
    (0x02c6, 0x02c6, b"^"),
    (0x02c8, 0x02c8, b"'"),
    (0x02cb, 0x02cb, b"`"),
    (0x02dc, 0x02dc, b"~"),
    (0x0300, 0x0303, b"`^^~"),
    (0x030e, 0x030e, b"\""),
    (0x037e, 0x037e, b";"),
    (0x2000, 0x2006, b"       "),
    (0x2010, 0x2014, b"-----"),
    (0x2018, 0x201e, b"'','\"\"\""),
    (0x2032, 0x2033, b"'\""),
    (0x2035, 0x2036, b"`\""),
    (0x2039, 0x203a, b"<>"),
    (0x2044, 0x2044, b"/"),
    (0x2212, 0x2212, b"-"),
    (0x2215, 0x2216, b"/\\"),
    (0x2217, 0x2217, b"*"),
    (0x2223, 0x2223, b"|"),
    (0x2236, 0x2236, b":"),
    (0x223c, 0x223c, b"~"),
    (0x2329, 0x232a, b"<>"),
    (0x3000, 0x3000, b" "),
    (0x3008, 0x3009, b"<>"),
    (0x301a, 0x301b, b"[]"),
];

/// One byte for a code point of the basic plane.
pub(super) fn best_fit(high: u8, low: u8) -> u8 {
    let point = u16::from_be_bytes([high, low]);
    let found = BEST_FIT
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&point));
    found
        .and_then(|(first, _, bytes)| bytes.get(usize::from(point - first)).copied())
        .unwrap_or_else(|| full_width(high, low))
}
