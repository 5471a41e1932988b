//! Memory that requests use one after the other: a thread keeps a little of it for all of its connections. It is still in
//! the core's cache when the next request takes it, and a connection that waits holds none.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderMap;

use crate::parse::Line;

/// What one read asks for.
const READ_BYTES: usize = 4096;

/// Room below which a buffer is made larger, or starts anew, before a read.
const READ_BYTES_MIN: usize = 1024;

/// Pieces of each kind that a thread keeps: more are in use at once only by requests that wait for something.
const KEPT_MAX: usize = 8;

/// A piece with more room than this is not kept.
const KEPT_BYTES_MAX: usize = 64 << 10;
const KEPT_FIELDS_MAX: usize = 64;
const KEPT_LINES_MAX: usize = 64;

#[derive(Default)]
struct Spare {
    buffers: Vec<BytesMut>,
    fields: Vec<HeaderMap>,
    lines: Vec<Vec<Line>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// Makes room for a read.
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = bytes();
    }
    if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
        buffer.reserve(READ_BYTES);
    }
}

/// Empty memory for bytes.
pub(crate) fn bytes() -> BytesMut {
    SPARE.with_borrow_mut(|spare| spare.buffers.pop().unwrap_or_default())
}

/// Gives it back.
pub(crate) fn keep_bytes(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.buffers.len() < KEPT_MAX {
            spare.buffers.push(buffer);
        }
    });
}

/// An empty map for fields.
pub(crate) fn fields() -> HeaderMap {
    SPARE.with_borrow_mut(|spare| spare.fields.pop().unwrap_or_default())
}

/// Gives it back.
pub(crate) fn keep_fields(fields: &mut HeaderMap) {
    let mut fields = std::mem::take(fields);
    if fields.capacity() == 0 || fields.capacity() > KEPT_FIELDS_MAX {
        return;
    }
    fields.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.fields.len() < KEPT_MAX {
            spare.fields.push(fields);
        }
    });
}

/// Empty memory for the places of lines.
pub(crate) fn lines() -> Vec<Line> {
    SPARE.with_borrow_mut(|spare| spare.lines.pop().unwrap_or_default())
}

/// Gives it back.
pub(crate) fn keep_lines(lines: &mut Vec<Line>) {
    let mut lines = std::mem::take(lines);
    if lines.capacity() == 0 || lines.capacity() > KEPT_LINES_MAX {
        return;
    }
    lines.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.lines.len() < KEPT_MAX {
            spare.lines.push(lines);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_empty_and_bounded() {
        for _ in 0..2 * KEPT_MAX {
            keep_bytes(&mut BytesMut::from(&b"a secret"[..]));
            let mut some = HeaderMap::new();
            some.insert(http::header::COOKIE, http::HeaderValue::from_static("x"));
            keep_fields(&mut some);
            assert!(some.is_empty());
            keep_lines(&mut vec![(1, 2)]);
        }
        SPARE.with_borrow(|spare| {
            assert_eq!(
                [spare.buffers.len(), spare.fields.len(), spare.lines.len()],
                [KEPT_MAX; 3]
            );
        });
        assert!(bytes().is_empty());
        assert!(fields().is_empty());
        assert!(lines().is_empty());
        keep_bytes(&mut BytesMut::with_capacity(2 * KEPT_BYTES_MAX));
        assert!(bytes().capacity() <= KEPT_BYTES_MAX);
    }

    #[test]
    fn a_read_has_room_whatever_is_kept() {
        let mut buffer = BytesMut::new();
        make_room(&mut buffer);
        assert!(buffer.capacity() >= READ_BYTES_MIN);
        buffer.extend_from_slice(&[1; 5000]);
        let kept = buffer.split_to(4990).freeze();
        make_room(&mut buffer);
        assert_eq!((buffer.len(), kept.len()), (10, 4990));
        assert!(buffer.capacity() - buffer.len() >= READ_BYTES_MIN);
    }
}
