//! A response head as it is written.

use std::fmt::{self, Write as _};

use bytes::BytesMut;
use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue};

use super::date::imf_fixdate;
use super::lines::{FieldLines, belongs_to_connection, put_decimal, put_field, put_name};

/// A response head under construction, straight into the bytes that go out. Made by
/// [`Exchange::head`](crate::Exchange::head).
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and the like are left out wherever they come from: the connection
/// writes them itself.
#[derive(Debug)]
pub struct Head {
    status: StatusCode,
    bytes: BytesMut,
}

impl Head {
    pub(crate) fn new(status: StatusCode, mut bytes: BytesMut) -> Self {
        bytes.clear();
        if status == StatusCode::OK {
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            bytes.extend_from_slice(b"HTTP/1.1 ");
            bytes.extend_from_slice(status.as_str().as_bytes());
            bytes.extend_from_slice(b" ");
            bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        Self { status, bytes }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds lines that were made before.
    pub fn lines(&mut self, lines: &FieldLines) {
        self.bytes.extend_from_slice(lines.as_bytes());
    }

    /// Adds a field.
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        put_field(&mut self.bytes, name, value);
    }

    /// Adds all fields of a map.
    pub fn fields(&mut self, fields: &HeaderMap) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    /// Adds a field whose value is a number.
    pub fn field_u64(&mut self, name: &HeaderName, value: u64) {
        if !belongs_to_connection(name) {
            put_name(&mut self.bytes, name);
            put_decimal(&mut self.bytes, value);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Adds a field whose value is formatted in place: `head.field_fmt(&name, format_args!("hit; ttl={ttl_s}"))`. What no
    /// field value may hold is written as a space.
    pub fn field_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>) {
        if !belongs_to_connection(name) {
            put_name(&mut self.bytes, name);
            // Appending to memory does not fail; a `Display` that does leaves its value cut, which is still a value.
            let _ = Clean(&mut self.bytes).write_fmt(value);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Adds `Date` (RFC 9110 6.6.1).
    pub fn date(&mut self, unix_s: i64) {
        put_name(&mut self.bytes, &DATE);
        self.bytes.extend_from_slice(&imf_fixdate(unix_s));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// What is written so far: the status line and the fields.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the head with what the connection says about the body and itself.
    pub(crate) fn seal(
        mut self,
        length: WireLength,
        connection: Option<&'static [u8]>,
    ) -> BytesMut {
        match length {
            WireLength::Unsaid => {}
            WireLength::Known(bytes) => {
                self.bytes.extend_from_slice(b"Content-Length: ");
                put_decimal(&mut self.bytes, bytes);
                self.bytes.extend_from_slice(b"\r\n");
            }
            WireLength::Chunked => self
                .bytes
                .extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if let Some(connection) = connection {
            self.bytes.extend_from_slice(connection);
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes
    }
}

/// What a head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireLength {
    /// Nothing: there is no body, or the connection's end delimits it.
    Unsaid,
    Known(u64),
    Chunked,
}

/// Lets no control character through.
struct Clean<'b>(&'b mut BytesMut);

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        for byte in &mut self.0[start..] {
            if byte.is_ascii_control() && *byte != b'\t' {
                *byte = b' ';
            }
        }
        Ok(())
    }
}
