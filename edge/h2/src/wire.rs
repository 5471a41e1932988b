//! A connection's bytes on their way: read into one buffer, written with as few calls as can be, counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use mcsp_edge_h2_wire::frame::{FRAME_BYTES, Frame, Parsed, parse};
use mcsp_edge_h2_wire::{ConnectionError, StreamError};
use mcsp_edge_limits::{Flood, FrameMeter};
use pingora_core::protocols::Stream;
use tokio::io::ReadBuf;
use tokio_util::io::poll_read_buf;

use crate::state::Output;

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
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Sends what the stream holds back.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_unflushed {
            ready!(Pin::new(&mut *self.stream).poll_flush(context))?;
            self.has_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the client that nothing more comes, and reads what it has sent meanwhile: a socket that is closed before takes
    /// back what is on its way to the client.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // An error means that it is over already.
        let _ = ready!(Pin::new(&mut *self.stream).poll_shutdown(context));
        let mut bytes = [0; READ_BYTES];
        for _ in 0..READ_BYTES_BUSY / READ_BYTES {
            let mut read = ReadBuf::new(&mut bytes);
            let poll = Pin::new(&mut *self.stream).poll_read(context, &mut read);
            if !matches!(poll, Poll::Ready(Ok(()))) || read.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}
