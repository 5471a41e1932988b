//! From frames to bytes, appended to a buffer.

use bytes::{BufMut as _, BytesMut};

use super::{FRAME_BYTES_MAX, HEAD_BYTES, Setting, flag, kind};
use crate::error::Code;

/// What [`put_data_head`] writes.
pub const DATA_HEAD_BYTES_MAX: usize = HEAD_BYTES;

fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD_BYTES] {
    debug_assert!(length <= FRAME_BYTES_MAX, "a payload is cut before");
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [high, middle, low, kind, flags, a, b, c, d]
}

/// The head of a `DATA` frame of `length` bytes, at most 2^24-1, which follow.
pub fn put_data_head(out: &mut BytesMut, stream: u32, length: usize, is_end: bool) {
    let flags = if is_end { flag::END_STREAM } else { 0 };
    out.extend_from_slice(&head(length, kind::DATA, flags, stream));
}

/// A `HEADERS` frame whose block `write` appends, and `CONTINUATION` frames if it is longer than `payload_bytes_max`
/// (1 to 2^24-1).
pub fn put_headers(
    out: &mut BytesMut,
    stream: u32,
    is_end: bool,
    payload_bytes_max: usize,
    write: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    out.put_bytes(0, HEAD_BYTES);
    write(out);
    let length = out.len().saturating_sub(start + HEAD_BYTES);
    let end_stream = if is_end { flag::END_STREAM } else { 0 };
    if length <= payload_bytes_max {
        let flags = end_stream | flag::END_HEADERS;
        patch(out, start, &head(length, kind::HEADERS, flags, stream));
        return;
    }
    let block = out.split_off(start + HEAD_BYTES);
    let mut parts = block.chunks(payload_bytes_max.max(1));
    let first = parts.next().unwrap_or_default();
    patch(
        out,
        start,
        &head(first.len(), kind::HEADERS, end_stream, stream),
    );
    out.extend_from_slice(first);
    while let Some(part) = parts.next() {
        let flags = if parts.len() == 0 {
            flag::END_HEADERS
        } else {
            0
        };
        out.extend_from_slice(&head(part.len(), kind::CONTINUATION, flags, stream));
        out.extend_from_slice(part);
    }
}

fn patch(out: &mut BytesMut, at: usize, head: &[u8; HEAD_BYTES]) {
    if let Some(place) = out.get_mut(at..at + HEAD_BYTES) {
        place.copy_from_slice(head);
    }
}

/// `RST_STREAM`.
pub fn put_reset(out: &mut BytesMut, stream: u32, code: Code) {
    out.extend_from_slice(&head(4, kind::RST_STREAM, 0, stream));
    out.put_u32(code.0);
}

/// `SETTINGS`.
pub fn put_settings(out: &mut BytesMut, settings: &[Setting]) {
    out.extend_from_slice(&head(6 * settings.len(), kind::SETTINGS, 0, 0));
    for setting in settings {
        let (id, value) = setting.pair();
        out.put_u16(id);
        out.put_u32(value);
    }
}

/// The answer to the other side's `SETTINGS`.
pub fn put_settings_ack(out: &mut BytesMut) {
    out.extend_from_slice(&head(0, kind::SETTINGS, flag::ACK, 0));
}

/// `PING`, or the answer to one.
pub fn put_ping(out: &mut BytesMut, payload: [u8; 8], is_answer: bool) {
    let flags = if is_answer { flag::ACK } else { 0 };
    out.extend_from_slice(&head(8, kind::PING, flags, 0));
    out.extend_from_slice(&payload);
}

/// `GOAWAY` without words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoAway {
    /// The highest stream that was, or may be, looked at.
    pub last_stream: u32,
    /// Why.
    pub code: Code,
}

/// `GOAWAY`.
pub fn put_go_away(out: &mut BytesMut, go_away: GoAway) {
    out.extend_from_slice(&head(8, kind::GOAWAY, 0, 0));
    out.put_u32(go_away.last_stream);
    out.put_u32(go_away.code.0);
}

/// `WINDOW_UPDATE` of a stream, or with stream 0 of the connection; 1 to 2^31-1 bytes.
pub fn put_window_update(out: &mut BytesMut, stream: u32, bytes: u32) {
    out.extend_from_slice(&head(4, kind::WINDOW_UPDATE, 0, stream));
    out.put_u32(bytes);
}
