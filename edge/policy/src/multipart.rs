//! `multipart/byteranges` (RFC 9110 section 14.6): the layout of a body with several parts, its length known before
//! the first byte is sent.

use bytes::Bytes;
use http::HeaderValue;

use crate::range::{ByteRange, ContentRange};

/// A body with several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The value of `Content-Type`, with the boundary.
    pub content_type: HeaderValue,
    /// The value of `Content-Length`, bytes.
    pub length: u64,
    /// What to send, in order.
    pub pieces: Vec<Piece>,
}

/// One piece of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes: a delimiter and a part's fields.
    Framing(Bytes),
    /// This stretch of the representation.
    Content(ByteRange),
}

impl Multipart {
    /// Lays out `ranges` of a representation of `total` bytes.
    ///
    /// `boundary_seed` makes the boundary: take it from the node's entropy, so that content cannot be made to contain
    /// it. `part_type` is the representation's own `Content-Type`.
    #[must_use]
    pub fn of(
        ranges: &[ByteRange],
        total: u64,
        part_type: Option<&HeaderValue>,
        boundary_seed: u128,
    ) -> Self {
        let boundary = format!("{boundary_seed:032x}");
        let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
        let mut length = 0_u64;
        for range in ranges {
            let mut framing = format!("\r\n--{boundary}\r\n").into_bytes();
            if let Some(part_type) = part_type {
                framing.extend_from_slice(b"Content-Type: ");
                framing.extend_from_slice(part_type.as_bytes());
                framing.extend_from_slice(b"\r\n");
            }
            framing.extend_from_slice(b"Content-Range: ");
            framing.extend_from_slice(
                ContentRange {
                    range: Some(*range),
                    total: Some(total),
                }
                .value()
                .as_bytes(),
            );
            framing.extend_from_slice(b"\r\n\r\n");
            length = length
                .saturating_add(framing.len() as u64)
                .saturating_add(range.length());
            pieces.push(Piece::Framing(framing.into()));
            pieces.push(Piece::Content(*range));
        }
        let end = format!("\r\n--{boundary}--\r\n").into_bytes();
        length = length.saturating_add(end.len() as u64);
        pieces.push(Piece::Framing(end.into()));
        let content_type =
            HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"))
                .unwrap_or(HeaderValue::from_static("multipart/byteranges"));
        Self {
            content_type,
            length,
            pieces,
        }
    }
}
