//! A connection's bytes, in and out, under deadlines.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pingora_core::protocols::Stream;
use tokio::io::AsyncWrite as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::alarm::Alarm;
use crate::error::SendError;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::stop::Stop;

/// What one read asks for. An idle connection holds this much.
const READ_BYTES: usize = 4096;

/// Room below which a buffer is made larger, or starts anew, before a read.
const READ_BYTES_MIN: usize = 1024;

/// A stream with what has been read of it and not been used.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) buffer: BytesMut,
    pub(crate) watches: Watches,
}

/// What guards a connection, whichever box its stream is in.
pub(crate) struct Watches {
    pub(crate) stop: Stop,
    alarm: Alarm,
    pace: Pace,
}

/// How a wait for bytes ended.
#[derive(Debug)]
pub(crate) enum Arrival {
    Bytes,
    /// The client sends no more.
    End,
    Broken(io::Error),
    /// The deadline has passed.
    Late,
    /// The node is to end.
    Stopped,
}

impl Wire {
    pub(crate) fn new(stream: Stream, limits: &Limits, stop: watch::Receiver<bool>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(READ_BYTES),
            watches: Watches {
                stop: Stop::new(stop),
                alarm: Alarm::new(limits.head_timeout()),
                pace: Pace::new(limits),
            },
        }
    }

    /// Whether many slices go out in one write.
    pub(crate) fn is_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Reads more into the buffer. Nothing is lost when the future is dropped.
    pub(crate) async fn read(&mut self, deadline: Option<Instant>, heeds_stop: bool) -> Arrival {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
            self.buffer.reserve(READ_BYTES);
        }
        poll_fn(|context| self.poll_read(context, deadline, heeds_stop)).await
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        deadline: Option<Instant>,
        heeds_stop: bool,
    ) -> Poll<Arrival> {
        match poll_read_buf(Pin::new(&mut *self.stream), context, &mut self.buffer) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Arrival::End),
            Poll::Ready(Ok(_)) => return Poll::Ready(Arrival::Bytes),
            Poll::Ready(Err(error)) => return Poll::Ready(Arrival::Broken(error)),
            Poll::Pending => {}
        }
        if heeds_stop && self.watches.stop.poll_stopped(context).is_ready() {
            return Poll::Ready(Arrival::Stopped);
        }
        if let Some(deadline) = deadline {
            ready!(self.watches.alarm.poll_passed(context, deadline));
            return Poll::Ready(Arrival::Late);
        }
        Poll::Pending
    }

    /// Writes all of `slices`, and everything that the stream holds back if `is_last`. What part of them has gone out
    /// is not known after an error or when the future is dropped: the connection is of no use then.
    pub(crate) async fn write(
        &mut self,
        mut slices: &mut [IoSlice<'_>],
        is_last: bool,
    ) -> Result<(), SendError> {
        // Empty ones go, so that none left means all written.
        IoSlice::advance_slices(&mut slices, 0);
        poll_fn(|context| {
            let written = self.poll_write(context, &mut slices, is_last);
            match written {
                Poll::Ready(_) => self.watches.pace.stop(),
                Poll::Pending => {
                    let Watches { alarm, pace, .. } = &mut self.watches;
                    ready!(pace.poll_too_slow(alarm, context));
                    return Poll::Ready(Err(SendError::TooSlow));
                }
            }
            written.map_err(SendError::Disconnected)
        })
        .await
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &mut &mut [IoSlice<'_>],
        is_last: bool,
    ) -> Poll<io::Result<()>> {
        while !slices.is_empty() {
            let stream = Pin::new(&mut *self.stream);
            // One slice goes by the simpler system call.
            let bytes = ready!(match &**slices {
                [slice] => stream.poll_write(context, slice),
                _ => stream.poll_write_vectored(context, slices),
            })?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.watches.pace.took(bytes);
            IoSlice::advance_slices(slices, bytes);
        }
        if is_last {
            return Pin::new(&mut *self.stream).poll_flush(context);
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the client that nothing more comes (TLS: `close_notify`; TCP: FIN), waiting no longer than `deadline`.
    pub(crate) async fn shut_down(&mut self, deadline: Instant) {
        poll_fn(|context| {
            if Pin::new(&mut *self.stream)
                .poll_shutdown(context)
                .is_ready()
            {
                return Poll::Ready(());
            }
            self.watches.alarm.poll_passed(context, deadline)
        })
        .await;
    }
}
