//! Chunked transfer coding (RFC 9112 section 7.1), decoded as it comes.

/// The longest line: a size with extensions, or a trailer field.
const LINE_BYTES_MAX: usize = 4_096;
const TRAILERS_MAX: usize = 64;

/// A chunk that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ChunkError(&'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size {
        value: u64,
        digits: u32,
    },
    /// In what follows them.
    Extension {
        value: u64,
        bytes: usize,
    },
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// In a trailer line.
    Trailer {
        bytes: usize,
        lines: usize,
    },
    TrailerLf {
        is_last: bool,
        lines: usize,
    },
    Done,
}

/// Decodes one body.
#[derive(Debug)]
pub(crate) struct Chunked(State);

const SIZE: State = State::Size {
    value: 0,
    digits: 0,
};

impl Chunked {
    pub(crate) fn new() -> Self {
        Self(SIZE)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Takes bytes off the wire and gives the body's to the sink; how many of them it took. It takes all until it is done.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at)
            && !self.is_done()
        {
            if let State::Data(left) = self.0 {
                let here = usize::try_from(left).unwrap_or(usize::MAX);
                let end = at.saturating_add(here).min(bytes.len());
                let piece = bytes.get(at..end).unwrap_or_default();
                sink(piece);
                at = end;
                let left = left - piece.len() as u64;
                self.0 = if left == 0 {
                    State::DataCr
                } else {
                    State::Data(left)
                };
                continue;
            }
            self.0 = step(self.0, byte)?;
            at += 1;
        }
        Ok(at)
    }
}

fn step(state: State, byte: u8) -> Result<State, ChunkError> {
    let wrong = |what| Err(ChunkError(what));
    match state {
        State::Size { value, digits } => match (char::from(byte).to_digit(16), byte) {
            (Some(_), _) if digits == 16 => wrong("a chunk's size with more than 16 digits"),
            (Some(digit), _) => Ok(State::Size {
                value: value << 4 | u64::from(digit),
                digits: digits + 1,
            }),
            (None, _) if digits == 0 => wrong("a chunk without a size"),
            (None, b'\r') => Ok(State::SizeEnd(value)),
            (None, b';' | b' ' | b'\t') => Ok(State::Extension { value, bytes: 0 }),
            (None, _) => wrong("a chunk's size that is no number"),
        },
        State::Extension { value, bytes } => match byte {
            b'\r' => Ok(State::SizeEnd(value)),
            b'\n' => wrong("a bare line feed in a chunk's size"),
            _ if bytes >= LINE_BYTES_MAX => wrong("a chunk's extension that is too long"),
            _ => Ok(State::Extension {
                value,
                bytes: bytes + 1,
            }),
        },
        State::SizeEnd(value) => match (byte, value) {
            (b'\n', 0) => Ok(State::Trailer { bytes: 0, lines: 0 }),
            (b'\n', value) => Ok(State::Data(value)),
            _ => wrong("a chunk's size that does not end with CRLF"),
        },
        State::DataCr if byte == b'\r' => Ok(State::DataLf),
        State::DataLf if byte == b'\n' => Ok(SIZE),
        State::DataCr | State::DataLf => wrong("a chunk that is longer than its size"),
        State::Trailer { bytes, lines } => match byte {
            b'\r' => Ok(State::TrailerLf {
                is_last: bytes == 0,
                lines: lines + 1,
            }),
            _ if bytes >= LINE_BYTES_MAX || lines >= TRAILERS_MAX => {
                wrong("trailers that are too long")
            }
            _ => Ok(State::Trailer {
                bytes: bytes + 1,
                lines,
            }),
        },
        State::TrailerLf { is_last, lines } => match byte {
            b'\n' if is_last => Ok(State::Done),
            b'\n' => Ok(State::Trailer { bytes: 0, lines }),
            _ => wrong("a trailer that does not end with CRLF"),
        },
        State::Data(_) | State::Done => Ok(state),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(wire: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let mut body = Vec::new();
        let mut chunked = Chunked::new();
        let mut taken = 0;
        for part in wire.chunks(piece.max(1)) {
            taken += chunked.feed(part, |bytes| body.extend_from_slice(bytes))?;
        }
        Ok((body, taken, chunked.is_done()))
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
            piece in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:X};n=v\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nchecksum: 1\r\n\r\n");
            let length = wire.len();
            wire.extend_from_slice(b"next");
            let (body, taken, is_done) = decode(&wire, piece).expect("it is well coded");
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(taken, length);
            prop_assert!(is_done);
            // No part of it is the whole.
            for cut in 0..length {
                prop_assert!(!decode(&wire[..cut], piece).expect("so far").2);
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for wire in [
            "x",
            "\r\n",
            "5\n",
            "2\r\nabc",
            "2 x\n",
            "11111111111111111\r\n",
            "1\r\na\n",
            "0\r\n\rx",
        ] {
            assert!(decode(wire.as_bytes(), 3).is_err(), "{wire:?}");
        }
    }
}
