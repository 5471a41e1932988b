//! Field lines on the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

/// Field lines made once and sent many times: those of a stored response. They cannot hold what would break a message,
/// since only names and values of the `http` crate go in; fields that belong to the connection stay out (RFC 9110 7.6.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldLines(Bytes);

impl FieldLines {
    /// The lines of `fields`, in their order.
    #[must_use]
    pub fn new<'f>(fields: impl IntoIterator<Item = (&'f HeaderName, &'f HeaderValue)>) -> Self {
        let mut lines = BytesMut::new();
        for (name, value) in fields {
            put_field(&mut lines, name, value);
        }
        Self(lines.freeze())
    }

    /// The lines, each with its CRLF.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&HeaderMap> for FieldLines {
    fn from(fields: &HeaderMap) -> Self {
        Self::new(fields)
    }
}

/// Whether the connection alone decides on this field, or it must not be passed on.
#[must_use]
pub fn belongs_to_connection(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH
        || *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == TE
        || *name == TRAILER
        || *name == "keep-alive"
        || *name == "proxy-connection"
}

/// Appends a line, unless the field belongs to the connection.
pub(super) fn put_field(lines: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    if belongs_to_connection(name) {
        return;
    }
    put_name(lines, name);
    lines.extend_from_slice(value.as_bytes());
    lines.extend_from_slice(b"\r\n");
}

/// Appends `Name: `. Each word with a capital: names are case-insensitive (RFC 9110 5.1), but not to every old player.
pub(super) fn put_name(lines: &mut BytesMut, name: &HeaderName) {
    let start = lines.len();
    lines.extend_from_slice(name.as_str().as_bytes());
    let mut is_word_start = true;
    for byte in &mut lines[start..] {
        if is_word_start {
            byte.make_ascii_uppercase();
        }
        is_word_start = *byte == b'-';
    }
    lines.extend_from_slice(b": ");
}

/// Appends a number in decimal.
pub(super) fn put_decimal(lines: &mut BytesMut, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    lines.put_slice(&digits[start..]);
}

/// Appends a number in hexadecimal, as chunk sizes are written (RFC 9112 7.1).
pub(crate) fn put_hexadecimal(lines: &mut BytesMut, number: u64) {
    let digits = (16 - number.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        let value = (number >> (digit * 4) & 15) as u8;
        lines.put_u8(if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        });
    }
}
