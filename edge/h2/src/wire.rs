//! A connection's bytes on their way: read into one buffer, written with as few calls as can be, counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use mcsp_edge_h2_wire::frame::{FRAME_BYTES, Frame, Parsed, parse};
use mcsp_edge_h2_wire::{ConnectionError, StreamError};
use mcsp_edge_limits::{Flood, FrameMeter};
use parking_lot::Mutex;
use pingora_core::protocols::Stream;
use tokio_util::io::poll_read_buf;

use crate::state::{Output, State};

/// What one read asks for, and what an idle connection holds.
const READ_BYTES: usize = 4 << 10;
/// The same while frames come that are longer.
const READ_BYTES_BUSY: usize = 32 << 10;
/// Room below which the buffer is made larger, or starts anew, before a read.
const READ_BYTES_MIN: usize = 2 << 10;

/// Slices in one write.
const SLICES_MAX: usize = 32;

/// How a read ended.
#[derive(Debug)]
pub(crate) enum Arrival {
    Bytes,
    /// The client sends no more, or the connection is broken.
    End,
}

/// A stream with what has been read of it, and what is being written to it.
pub(crate) struct Wire {
    stream: Stream,
    buffer: BytesMut,
    /// The buffer is larger than what an idle connection holds.
    is_grown: bool,
    meter: Option<FrameMeter>,
    flood: Option<Flood>,
    /// What is being written; what comes after it waits elsewhere.
    pub(crate) output: Output,
    has_unflushed: bool,
    taken: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream, meter: Option<FrameMeter>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(READ_BYTES),
            is_grown: false,
            meter,
            flood: None,
            output: Output::default(),
            has_unflushed: false,
            taken: 0,
        }
    }

    /// What the client has sent too much of.
    pub(crate) const fn flood(&self) -> Option<Flood> {
        self.flood
    }

    /// How many bytes the stream has taken so far.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Reads more.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
            // What is left is the beginning of a frame that is longer than what there was room for.
            if self.buffer.is_empty() {
                self.buffer.reserve(READ_BYTES);
            } else {
                self.buffer.reserve(READ_BYTES_BUSY);
                self.is_grown = true;
            }
        }
        let before = self.buffer.len();
        let read = poll_read_buf(Pin::new(&mut *self.stream), context, &mut self.buffer);
        match ready!(read) {
            Ok(0) | Err(_) => return Poll::Ready(Arrival::End),
            Ok(_) => {}
        }
        if let Some(meter) = &mut self.meter
            && self.flood.is_none()
        {
            let read = self.buffer.get(before..).unwrap_or_default();
            self.flood = meter.read(read).err();
        }
        Poll::Ready(Arrival::Bytes)
    }

    /// Takes `wanted` from the front, or as much of it as there is; false where something else is there.
    pub(crate) fn take(&mut self, wanted: &mut &[u8]) -> bool {
        let length = self.buffer.len().min(wanted.len());
        let (part, rest) = wanted.split_at(length);
        let is_equal = self.buffer.get(..length) == Some(part);
        self.buffer.advance(length);
        *wanted = rest;
        is_equal
    }

    /// Gives all frames that have come to `apply`.
    ///
    /// # Errors
    /// The connection is to be ended.
    pub(crate) fn frames(
        &mut self,
        mut apply: impl FnMut(Result<Frame<'_>, StreamError>) -> Result<(), ConnectionError>,
    ) -> Result<(), ConnectionError> {
        let mut at = 0;
        let result = loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            match parse(rest, FRAME_BYTES) {
                Ok(Parsed::Frame { length, frame }) => {
                    at += length;
                    if let Err(error) = apply(frame) {
                        break Err(error);
                    }
                }
                Ok(Parsed::Incomplete(_)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.buffer.advance(at);
        if self.is_grown && self.buffer.is_empty() && at < READ_BYTES {
            // Less comes again.
            self.buffer = BytesMut::with_capacity(READ_BYTES);
            self.is_grown = false;
        }
        result
    }

    /// Writes [`output`](Self::output).
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(b""); SLICES_MAX];
            let count = self.output.slices(&mut slices);
            let stream = Pin::new(&mut *self.stream);
            // One slice goes by the simpler system call.
            let taken = match slices.get(..count).unwrap_or_default() {
                [slice] => ready!(stream.poll_write(context, slice))?,
                slices => ready!(stream.poll_write_vectored(context, slices))?,
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += taken as u64;
            self.has_unflushed = true;
            self.output.advance(taken);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what there is to write, until the client takes no more.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn poll_send(
        &mut self,
        state: &Mutex<State>,
        context: &mut Context<'_>,
    ) -> Result<(), ()> {
        loop {
            if self.output.is_empty() {
                state.lock().fill(&mut self.output);
                if self.output.is_empty() {
                    break;
                }
            }
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => return Ok(()),
            }
        }
        match self.poll_flush(context) {
            Poll::Ready(Err(_)) => Err(()),
            _ => Ok(()),
        }
    }

    /// Whether something has not left yet, here or in the stream.
    pub(crate) const fn has_output(&self) -> bool {
        !self.output.is_empty() || self.has_unflushed
    }

    /// Sends what the stream holds back.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_unflushed {
            ready!(Pin::new(&mut *self.stream).poll_flush(context))?;
            self.has_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the client that nothing more comes.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // An error means that it is over already.
        let _ = ready!(Pin::new(&mut *self.stream).poll_shutdown(context));
        Poll::Ready(())
    }

    /// How much more has come, of which nothing is kept; nothing once the client sends no more.
    pub(crate) fn poll_pass_over(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        let read = ready!(poll_read_buf(
            Pin::new(&mut *self.stream),
            context,
            &mut self.buffer
        ));
        Poll::Ready(read.ok().filter(|bytes| *bytes > 0))
    }
}
