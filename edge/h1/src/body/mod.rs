//! A request body's extent (RFC 9112 6 and 7.1): where it ends in the stream, and which of the bytes are data.

mod chunked;

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

use self::chunked::Chunked;
use crate::refusal::Refusal;

/// How far a request body goes, and how much of it has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Length(u64),
    Chunked(Chunked),
}

/// What a look at the next bytes gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes that belong to the body, framing and data.
    pub(crate) consumed: usize,
    /// Those of them that are data; empty where there are none.
    pub(crate) data: Range<usize>,
}

impl Framing {
    pub(crate) const fn length(bytes: u64) -> Self {
        Self(Kind::Length(bytes))
    }

    pub(crate) const fn chunked() -> Self {
        Self(Kind::Chunked(Chunked::new()))
    }

    /// Whether all of the body has passed.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Bytes of the stream that are still to come, where that is known.
    #[must_use]
    pub const fn left(&self) -> Option<u64> {
        match &self.0 {
            Kind::Length(left) => Some(*left),
            Kind::Chunked(chunked) if chunked.is_done() => Some(0),
            Kind::Chunked(_) => None,
        }
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        matches!(self.0, Kind::Chunked(_))
    }

    /// Moves on by at most one span of data. Consumes nothing at the body's end or when `input` is empty.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        match &mut self.0 {
            Kind::Length(left) => {
                let consumed =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= consumed as u64;
                Ok(Step {
                    consumed,
                    data: 0..consumed,
                })
            }
            Kind::Chunked(chunked) => chunked.advance(input),
        }
    }

    /// Moves over everything of the body that `input` holds. Returns how many bytes those are.
    pub(crate) fn pass(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut passed = 0;
        while passed < input.len() && !self.is_done() {
            passed += self.advance(&input[passed..])?.consumed;
        }
        Ok(passed)
    }

    /// Takes the next data off the front of `buffer`, framing with it; `None` where more bytes are needed or the body is
    /// done.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Refusal> {
        while !buffer.is_empty() && !self.is_done() {
            let step = self.advance(buffer)?;
            if step.data.is_empty() {
                buffer.advance(step.consumed);
                continue;
            }
            let mut taken = buffer.split_to(step.consumed);
            taken.truncate(step.data.end);
            taken.advance(step.data.start);
            return Ok(Some(taken.freeze()));
        }
        Ok(None)
    }
}
