//! Where a head's lines are: incremental, so that no byte is looked at twice however the head is cut.

use memchr::memchr;

use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::spare;

/// Empty lines before a request line that are passed over (RFC 9112 2.2).
const EMPTY_LINES_MAX: u32 = 2;

/// A line without its CRLF, as offsets from the head's first byte.
pub(crate) type Line = (u32, u32);

/// Finds lines as bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Everything before is a complete line or known to hold no LF.
    scanned: usize,
    line_start: usize,
    empty_lines: u32,
    lines: Vec<Line>,
}

/// What a look at the bytes so far gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Nothing but empty lines: this many bytes to be thrown away before the next look.
    Skip(usize),
    /// The head does not end here.
    Partial,
    /// The head's length with its empty line.
    Complete(usize),
}

impl Scanner {
    /// Ready for the next head; keeps its memory.
    pub(crate) fn reset(&mut self) {
        self.scanned = 0;
        self.line_start = 0;
        self.empty_lines = 0;
        self.lines.clear();
    }

    /// Forgets the lines, and gives their memory back until there is another head.
    pub(crate) fn rest(&mut self) {
        spare::keep_lines(&mut self.lines);
        self.reset();
    }

    /// The lines of a complete head, the request line first.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Looks at `bytes`, which begin where they began in the look before, or after what that one said to skip.
    ///
    /// # Errors
    /// What can be refused before the head is complete.
    pub(crate) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Scan, Refusal> {
        let head_bytes_max = limits.head_bytes_max as usize;
        let window = &bytes[..bytes.len().min(head_bytes_max)];
        if self.scanned == 0
            && let Some(first) = window.first()
            && !is_first_byte(*first)
        {
            return Err(Refusal::RequestLine);
        }
        while let Some(offset) = memchr(b'\n', &window[self.scanned..]) {
            let lf = self.scanned + offset;
            let end = match lf.checked_sub(1) {
                Some(cr) if cr >= self.line_start && window[cr] == b'\r' => cr,
                _ => return Err(Refusal::BareLf),
            };
            let start = std::mem::replace(&mut self.line_start, lf + 1);
            self.scanned = lf + 1;
            if start < end {
                self.push(start, end, limits)?;
            } else if !self.lines.is_empty() {
                return Ok(Scan::Complete(lf + 1));
            } else {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES_MAX {
                    return Err(Refusal::RequestLine);
                }
                self.scanned = 0;
                self.line_start = 0;
                return Ok(Scan::Skip(lf + 1));
            }
        }
        self.scanned = window.len();
        if window.len() < head_bytes_max {
            Ok(Scan::Partial)
        } else if self.lines.is_empty() {
            Err(Refusal::TargetTooLong)
        } else {
            Err(Refusal::HeadTooLarge)
        }
    }

    fn push(&mut self, start: usize, end: usize, limits: &Limits) -> Result<(), Refusal> {
        if self.lines.capacity() == 0 {
            self.lines = spare::lines();
        }
        // The request line is one more.
        if self.lines.len() > limits.fields_max as usize {
            return Err(Refusal::TooManyFields);
        }
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else {
            return Err(Refusal::HeadTooLarge);
        };
        self.lines.push((start, end));
        Ok(())
    }
}

/// A method's first byte, or that of an empty line. What cannot begin a request, such as a TLS hello on a plain port, is
/// told so at once.
const fn is_first_byte(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n' || super::is_token_byte(byte)
}
