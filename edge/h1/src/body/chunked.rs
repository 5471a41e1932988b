//! The chunked transfer coding, read strictly (RFC 9112 7.1): CRLF ends every line, sizes are plain hexadecimal, size
//! lines and trailers are bounded. Extensions and trailer fields are passed over (RFC 9112 7.1.1 and 7.1.2).

use super::Step;
use crate::refusal::Refusal;

/// Bytes of a size line, with its extensions.
const SIZE_LINE_BYTES_MAX: u16 = 256;

/// Bytes of the trailer section.
const TRAILER_BYTES_MAX: u16 = 4096;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Size being read, then data left.
    size: u64,
    /// Bytes so far of the line or the section at hand.
    spent: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// White space between the size and `;`.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the last empty line.
    Trailer,
    TrailerLine,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            spent: 0,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(super) fn advance(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let mut consumed = 0;
        while let Some(byte) = input.get(consumed) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = input.len() - consumed;
                    let length = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                    self.size -= length as u64;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step {
                        consumed: consumed + length,
                        data: consumed..consumed + length,
                    });
                }
                _ => self.byte(*byte)?,
            }
            consumed += 1;
        }
        Ok(Step {
            consumed,
            data: 0..0,
        })
    }

    /// One byte of framing.
    fn byte(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.spent > 0 => State::SizeLf,
            (State::Size, b';') if self.spent > 0 => self.spend(State::Extension)?,
            (State::Size, b' ' | b'\t') if self.spent > 0 => self.spend(State::SizeSpace)?,
            (State::SizeSpace, b' ' | b'\t') => self.spend(State::SizeSpace)?,
            (State::SizeSpace, b';') => self.spend(State::Extension)?,
            (State::SizeSpace, _) => return Err(Refusal::ChunkSize),
            (State::Size, digit) => {
                self.digit(digit)?;
                self.spend(State::Size)?
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) if is_text(byte) => self.spend(State::Extension)?,
            (State::SizeLf, b'\n') => {
                self.spent = 0;
                if self.size == 0 {
                    State::Trailer
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::LastLf,
            (State::Trailer | State::TrailerLine, byte) if is_text(byte) => {
                self.spend(State::TrailerLine)?
            }
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => self.spend(State::Trailer)?,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Refusal::ChunkEnd),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Refusal> {
        let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
        self.size = self
            .size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)))
            .filter(|size| *size <= i64::MAX as u64)
            .ok_or(Refusal::ChunkSize)?;
        Ok(())
    }

    fn spend(&mut self, next: State) -> Result<State, Refusal> {
        self.spent += 1;
        let max = match next {
            State::Trailer | State::TrailerLine => TRAILER_BYTES_MAX,
            _ => SIZE_LINE_BYTES_MAX,
        };
        if self.spent > max {
            return Err(Refusal::ChunkTooLong);
        }
        Ok(next)
    }
}

/// What may stand in an extension or a trailer line: no control character but the tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
