//! The `chunked` transfer coding, undone (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};

use crate::Fault;

/// A chunk's size with its extensions, or a line of the trailer section, bytes.
const LINE_BYTES_MAX: usize = 4 << 10;
/// All extensions of a body together, bytes: they cost the reader and mean nothing to anybody.
const EXTENSIONS_BYTES_MAX: usize = 16 << 10;
/// All of the trailer section, bytes.
const TRAILERS_BYTES_MAX: usize = 16 << 10;

/// Takes a body apart as its bytes arrive. The trailer section is checked and thrown away.
#[derive(Debug, Default)]
pub(crate) struct ChunkDecoder {
    state: State,
    extensions_bytes: usize,
    trailers_bytes: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Bytes left of the chunk, at least 1.
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What was found in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// Bytes of the body, at least one.
    Data(Bytes),
    /// The buffer holds nothing more to decode.
    NeedsMore,
    /// The body is complete.
    End,
}

impl ChunkDecoder {
    /// Takes the next part of the body out of `buffer`.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Fault> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, Fault::Chunk)? else {
                        return Ok(Decoded::NeedsMore);
                    };
                    self.state = match self.size(&line)? {
                        0 => State::Trailers,
                        size => State::Data(size),
                    };
                }
                State::Data(left) => {
                    let length = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len());
                    if length == 0 {
                        return Ok(Decoded::NeedsMore);
                    }
                    self.state = match left - length as u64 {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                    return Ok(Decoded::Data(buffer.split_to(length).freeze()));
                }
                State::DataEnd => {
                    let seen = buffer.len().min(2);
                    if buffer.get(..seen) != b"\r\n".get(..seen) {
                        return Err(Fault::Chunk);
                    }
                    if seen < 2 {
                        return Ok(Decoded::NeedsMore);
                    }
                    buffer.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(line) = take_line(buffer, Fault::Trailer)? else {
                        return Ok(Decoded::NeedsMore);
                    };
                    if line.is_empty() {
                        self.state = State::Done;
                        continue;
                    }
                    self.trailers_bytes += line.len();
                    if self.trailers_bytes > TRAILERS_BYTES_MAX || !is_field(&line) {
                        return Err(Fault::Trailer);
                    }
                }
                State::Done => return Ok(Decoded::End),
            }
        }
    }

    fn size(&mut self, line: &[u8]) -> Result<u64, Fault> {
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (size, rest) = line.split_at_checked(digits).ok_or(Fault::Chunk)?;
        if size.is_empty() || size.len() > 16 {
            return Err(Fault::Chunk);
        }
        let extensions = rest.trim_ascii();
        let is_sound = extensions.is_empty()
            || extensions.starts_with(b";")
                && extensions
                    .iter()
                    .all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        self.extensions_bytes += rest.len();
        if !is_sound || self.extensions_bytes > EXTENSIONS_BYTES_MAX {
            return Err(Fault::Chunk);
        }
        size.iter().try_fold(0_u64, |sum, byte| {
            let digit = char::from(*byte).to_digit(16).ok_or(Fault::Chunk)?;
            Ok(sum << 4 | u64::from(digit))
        })
    }
}

/// A whole line without its CRLF, once it is there.
fn take_line(buffer: &mut BytesMut, fault: Fault) -> Result<Option<BytesMut>, Fault> {
    let Some(at) = buffer
        .iter()
        .take(LINE_BYTES_MAX)
        .position(|byte| *byte == b'\n')
    else {
        // Each call looks at the line from its start: what is bounded may be looked at again.
        return if buffer.len() >= LINE_BYTES_MAX {
            Err(fault)
        } else {
            Ok(None)
        };
    };
    let mut line = buffer.split_to(at + 1);
    line.truncate(at);
    if line.last() != Some(&b'\r') {
        return Err(fault);
    }
    line.truncate(at - 1);
    if line.contains(&b'\r') {
        return Err(fault);
    }
    Ok(Some(line))
}

fn is_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && http::HeaderName::from_bytes(name).is_ok()
}
