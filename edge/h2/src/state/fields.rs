//! Blocks of fields that come in: requests and trailers.

use http::StatusCode;
use http::header::CONTENT_LENGTH;
use mcsp_edge_h2_wire::frame::{FRAME_BYTES, put_headers};
use mcsp_edge_h2_wire::{Code, ConnectionError, StreamError};

use super::receiving::shorten;
use super::slots::Closed;
use super::stream::{Gone, Stream};
use super::{Accepted, STREAM_WINDOW_BYTES, State};
use crate::request::{Gathering, Kind};

/// Frames that a block may be continued in, beside those that its longest would need (CVE-2024-27316).
const CONTINUATIONS: usize = 8;

/// A block whose end has not come.
#[derive(Debug)]
pub(super) struct Assembly {
    stream: u32,
    is_end: bool,
    block: Vec<u8>,
    frames: usize,
}

impl State {
    pub(super) fn headers(
        &mut self,
        stream: u32,
        block: &[u8],
        is_end: bool,
        is_whole: bool,
    ) -> Result<(), ConnectionError> {
        if stream.is_multiple_of(2) {
            return Err(ConnectionError::protocol("an even stream of a client"));
        }
        if is_whole {
            return self.block(stream, block, is_end);
        }
        self.assembly = Some(Assembly {
            stream,
            is_end,
            block: block.to_vec(),
            frames: 1,
        });
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        stream: u32,
        part: &[u8],
        is_whole: bool,
    ) -> Result<(), ConnectionError> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(());
        };
        if assembly.stream != stream {
            return Err(ConnectionError::protocol("a frame within a block"));
        }
        assembly.frames += 1;
        let bytes_max = self.fields_bytes_max.max(FRAME_BYTES);
        let frames_max = bytes_max / FRAME_BYTES + CONTINUATIONS;
        if assembly.block.len() + part.len() > bytes_max || assembly.frames > frames_max {
            let why = "a block that is too large, or in too many frames";
            return Err(ConnectionError::new(Code::ENHANCE_YOUR_CALM, why));
        }
        assembly.block.extend_from_slice(part);
        if is_whole && let Some(assembly) = self.assembly.take() {
            return self.block(assembly.stream, &assembly.block, assembly.is_end);
        }
        Ok(())
    }

    fn block(&mut self, id: u32, block: &[u8], is_end: bool) -> Result<(), ConnectionError> {
        let is_new = id > self.last_stream;
        let kind = if is_new {
            Kind::Request
        } else {
            Kind::Trailers
        };
        let mut gathering = Gathering::new(kind);
        // Whatever becomes of the stream: the table has to follow.
        let decoded = self
            .decoder
            .decode(block, self.fields_bytes_max, |field| gathering.take(field))
            .map_err(|_| {
                ConnectionError::new(Code::COMPRESSION_ERROR, "a block that cannot be decoded")
            })?;
        let is_too_large = decoded.is_too_large || gathering.is_too_many();
        if is_new {
            self.last_stream = id;
            self.request(id, gathering, is_too_large, is_end)
        } else {
            self.trailers_in(id, &gathering, is_too_large, is_end)
        }
    }

    fn request(
        &mut self,
        id: u32,
        gathering: Gathering,
        is_too_large: bool,
        is_end: bool,
    ) -> Result<(), ConnectionError> {
        if self.takes_no_more() {
            self.slots.note(id, Closed::ByUs);
            return Ok(());
        }
        if self.slots.open() >= self.streams_max {
            return self.refuse(id);
        }
        if is_too_large {
            return self.too_large(id, is_end);
        }
        let request = match gathering.into_request() {
            Ok(request) => request,
            Err(why) => return self.malformed(id, why),
        };
        // One that is none is for whoever looks at the request.
        let length = request.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if is_end && length.is_some_and(|length| length > 0) {
            return self.malformed(id, "less data than content-length says");
        }
        let mut stream = Stream::new(id, self.stream_window, STREAM_WINDOW_BYTES);
        stream.is_heard = is_end;
        stream.body_left = length;
        let slot = self.slots.insert(stream);
        self.accepted.push_back(Accepted { slot, request });
        Ok(())
    }

    /// A request that is none (section 8.1.1).
    fn malformed(&mut self, id: u32, why: &'static str) -> Result<(), ConnectionError> {
        self.malformed.push(why);
        self.fault_of_new(StreamError::new(id, Code::PROTOCOL_ERROR, why))
    }

    /// A client may not know yet how many there may be at once; later, it is a fault like any other.
    fn refuse(&mut self, id: u32) -> Result<(), ConnectionError> {
        let why = "more streams than there may be";
        if self.is_settled {
            return self.fault_of_new(StreamError::new(id, Code::REFUSED_STREAM, why));
        }
        self.reset_new(id, Code::REFUSED_STREAM);
        Ok(())
    }

    /// Resets a stream that has got no place.
    pub(super) fn fault_of_new(&mut self, error: StreamError) -> Result<(), ConnectionError> {
        self.fault(error)?;
        self.reset_new(error.stream, error.code);
        Ok(())
    }

    fn reset_new(&mut self, id: u32, code: Code) {
        self.slots.note(id, Closed::ByUs);
        self.out
            .put(|out| mcsp_edge_h2_wire::frame::put_reset(out, id, code));
    }

    /// RFC 6585 section 5; it cost much to find out, so that it counts as a fault.
    fn too_large(&mut self, id: u32, is_end: bool) -> Result<(), ConnectionError> {
        let why = "more fields than a request may have";
        self.fault(StreamError::new(id, Code::NO_ERROR, why))?;
        let (encoder, frame_bytes) = (&mut self.encoder, self.frame_bytes);
        self.out.put(|out| {
            put_headers(out, id, true, frame_bytes, |out| {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                encoder.block(out).status(status);
            });
        });
        if is_end {
            self.slots.note(id, Closed::Known);
        } else {
            self.reset_new(id, Code::NO_ERROR);
        }
        Ok(())
    }

    /// Fields after a body (section 8.1): judged, and passed over.
    fn trailers_in(
        &mut self,
        id: u32,
        gathering: &Gathering,
        is_too_large: bool,
        is_end: bool,
    ) -> Result<(), ConnectionError> {
        let closed = ConnectionError::new(Code::STREAM_CLOSED, "fields of a closed stream");
        let Some(slot) = self.slots.find(id) else {
            return match self.slots.closed(id) {
                Some(Closed::ByUs) => Ok(()),
                Some(Closed::Known) => Err(closed),
                None => Err(ConnectionError::protocol(
                    "a stream before one that was begun",
                )),
            };
        };
        let Some(stream) = self.slots.get(slot) else {
            return Ok(());
        };
        let protocol = Code::PROTOCOL_ERROR;
        let fault = match stream.gone {
            Some(Gone::ByUs(_)) => return Ok(()),
            Some(_) => return Err(closed),
            None if stream.is_closed() => return Err(closed),
            None if stream.is_heard => Some((Code::STREAM_CLOSED, "fields after the end")),
            None if !is_end => Some((protocol, "fields within a body")),
            None if is_too_large => Some((Code::ENHANCE_YOUR_CALM, "trailers that are too many")),
            None => {
                let why = gathering.malformed();
                let why = why.or_else(|| shorten(&mut stream.body_left, 0, true));
                why.map(|why| (protocol, why))
            }
        };
        if let Some((code, why)) = fault {
            return self.fault(StreamError::new(id, code, why));
        }
        stream.is_heard = true;
        stream.wake();
        self.close_if_done(slot);
        Ok(())
    }
}
