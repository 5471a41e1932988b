//! From bytes to frames.

use super::{Frame, HEAD_BYTES, STREAM_MAX, Settings, flag, kind};
use crate::error::{Code, ConnectionError, StreamError};

/// What stands at the beginning of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// Too few bytes for a frame; it takes this many in all, as far as can be told.
    Incomplete(usize),
    /// A frame of `length` bytes, its head included.
    Frame {
        /// The bytes that it took.
        length: usize,
        /// What it says, or what is wrong with its stream.
        frame: Result<Frame<'b>, StreamError>,
    },
}

/// Reads the frame at the beginning of `bytes`, whose payload may have `payload_bytes_max`.
///
/// # Errors
/// The frame is none that a client may send. What follows it is not to be read.
pub fn parse(bytes: &[u8], payload_bytes_max: usize) -> Result<Parsed<'_>, ConnectionError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(Parsed::Incomplete(HEAD_BYTES));
    };
    let [high, middle, low, kind, flags, a, b, c, d] = *head;
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    // Before the payload has come, which may never be.
    if length > payload_bytes_max {
        return Err(ConnectionError::size("a frame that is too long"));
    }
    let stream = u32::from_be_bytes([a, b, c, d]) & STREAM_MAX;
    let Some(payload) = rest.get(..length) else {
        return Ok(Parsed::Incomplete(HEAD_BYTES + length));
    };
    let head = Head {
        kind,
        flags,
        stream,
    };
    Ok(Parsed::Frame {
        length: HEAD_BYTES + length,
        frame: head.read(payload)?,
    })
}

#[derive(Clone, Copy)]
struct Head {
    kind: u8,
    flags: u8,
    stream: u32,
}

type Read<'b> = Result<Result<Frame<'b>, StreamError>, ConnectionError>;

impl Head {
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn read(self, payload: &[u8]) -> Read<'_> {
        match self.kind {
            kind::DATA => self.data(payload),
            kind::HEADERS => self.headers(payload),
            kind::PRIORITY => self.priority(payload),
            kind::RST_STREAM => self.reset(payload),
            kind::SETTINGS => self.settings(payload),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol("PUSH_PROMISE of a client")),
            kind::PING => self.ping(payload),
            kind::GOAWAY => self.go_away(payload),
            kind::WINDOW_UPDATE => self.window_update(payload),
            kind::CONTINUATION => self.continuation(payload),
            kind::PRIORITY_UPDATE => self.priority_update(payload),
            _ => Ok(Ok(Frame::Unknown)),
        }
    }

    /// For frames of which stream 0 has none.
    fn of_a_stream(self) -> Result<(), ConnectionError> {
        if self.stream == 0 {
            return Err(ConnectionError::protocol("a stream's frame on stream 0"));
        }
        Ok(())
    }

    /// For frames that are the connection's.
    fn of_the_connection(self) -> Result<(), ConnectionError> {
        if self.stream != 0 {
            return Err(ConnectionError::protocol(
                "the connection's frame on a stream",
            ));
        }
        Ok(())
    }

    /// What is not padding.
    fn unpadded(self, payload: &[u8]) -> Result<&[u8], ConnectionError> {
        if !self.has(flag::PADDED) {
            return Ok(payload);
        }
        let (padding, rest) = payload
            .split_first()
            .ok_or(ConnectionError::size("padding without its length"))?;
        rest.len()
            .checked_sub(usize::from(*padding))
            .and_then(|length| rest.get(..length))
            .ok_or(ConnectionError::protocol("more padding than payload"))
    }

    fn data(self, payload: &[u8]) -> Read<'_> {
        self.of_a_stream()?;
        Ok(Ok(Frame::Data {
            stream: self.stream,
            data: self.unpadded(payload)?,
            flow_bytes: payload.len(),
            is_end: self.has(flag::END_STREAM),
        }))
    }

    fn headers(self, payload: &[u8]) -> Read<'_> {
        self.of_a_stream()?;
        let mut block = self.unpadded(payload)?;
        if self.has(flag::PRIORITY) {
            let (priority, rest) = block
                .split_first_chunk::<5>()
                .ok_or(ConnectionError::size("a priority that is cut"))?;
            if depends_on(priority) == self.stream {
                // The block has to be decoded all the same, so there is no ending the stream alone here.
                return Err(ConnectionError::protocol("a stream before itself"));
            }
            block = rest;
        }
        Ok(Ok(Frame::Headers {
            stream: self.stream,
            block,
            is_end: self.has(flag::END_STREAM),
            is_whole: self.has(flag::END_HEADERS),
        }))
    }

    fn continuation(self, payload: &[u8]) -> Read<'_> {
        self.of_a_stream()?;
        Ok(Ok(Frame::Continuation {
            stream: self.stream,
            block: payload,
            is_whole: self.has(flag::END_HEADERS),
        }))
    }

    fn priority(self, payload: &[u8]) -> Read<'_> {
        self.of_a_stream()?;
        let fault = |code, why| Ok(Err(StreamError::new(self.stream, code, why)));
        match <&[u8; 5]>::try_from(payload) {
            Err(_) => fault(Code::FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes"),
            Ok(priority) if depends_on(priority) == self.stream => {
                fault(Code::PROTOCOL_ERROR, "a stream before itself")
            }
            Ok(_) => Ok(Ok(Frame::Priority)),
        }
    }

    /// RFC 9218 section 7.1.
    fn priority_update(self, payload: &[u8]) -> Read<'_> {
        self.of_the_connection()?;
        let (stream, _) = payload
            .split_first_chunk::<4>()
            .ok_or(ConnectionError::size("PRIORITY_UPDATE that is cut"))?;
        if u32::from_be_bytes(*stream) & STREAM_MAX == 0 {
            return Err(ConnectionError::protocol("PRIORITY_UPDATE of stream 0"));
        }
        Ok(Ok(Frame::Priority))
    }

    fn reset(self, payload: &[u8]) -> Read<'_> {
        self.of_a_stream()?;
        let code = word(payload, "RST_STREAM is not 4 bytes")?;
        Ok(Ok(Frame::Reset {
            stream: self.stream,
            code: Code(code),
        }))
    }

    fn settings(self, payload: &[u8]) -> Read<'_> {
        self.of_the_connection()?;
        if self.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(ConnectionError::size("an acknowledgement with settings"));
            }
            return Ok(Ok(Frame::SettingsAck));
        }
        Ok(Ok(Frame::Settings(Settings::new(payload)?)))
    }

    fn ping(self, payload: &[u8]) -> Read<'_> {
        self.of_the_connection()?;
        let payload = <[u8; 8]>::try_from(payload)
            .map_err(|_| ConnectionError::size("PING is not 8 bytes"))?;
        Ok(Ok(if self.has(flag::ACK) {
            Frame::Pong(payload)
        } else {
            Frame::Ping(payload)
        }))
    }

    fn go_away(self, payload: &[u8]) -> Read<'_> {
        self.of_the_connection()?;
        let [_, _, _, _, a, b, c, d, ..] = *payload else {
            return Err(ConnectionError::size("GOAWAY that is cut"));
        };
        Ok(Ok(Frame::GoAway {
            code: Code(u32::from_be_bytes([a, b, c, d])),
        }))
    }

    fn window_update(self, payload: &[u8]) -> Read<'_> {
        let bytes = word(payload, "WINDOW_UPDATE is not 4 bytes")? & STREAM_MAX;
        let why = "a window that grows by nothing";
        match (bytes, self.stream) {
            (0, 0) => Err(ConnectionError::protocol(why)),
            (0, stream) => Ok(Err(StreamError::new(stream, Code::PROTOCOL_ERROR, why))),
            (bytes, stream) => Ok(Ok(Frame::WindowUpdate { stream, bytes })),
        }
    }
}

fn depends_on(priority: &[u8; 5]) -> u32 {
    let [a, b, c, d, _] = *priority;
    u32::from_be_bytes([a, b, c, d]) & STREAM_MAX
}

fn word(payload: &[u8], why: &'static str) -> Result<u32, ConnectionError> {
    let bytes = <[u8; 4]>::try_from(payload).map_err(|_| ConnectionError::size(why))?;
    Ok(u32::from_be_bytes(bytes))
}
