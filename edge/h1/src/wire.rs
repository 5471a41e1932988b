//! A connection's bytes, in and out, under deadlines.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use mcsp_edge_mapped::{Parts, Sent};
use mcsp_edge_traffic::bare_socket;
use pingora_core::protocols::Stream;
use tokio::io::AsyncWrite as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::alarm::Alarm;
use crate::error::SendError;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::spare;
use crate::stop::Stop;

/// What goes out at once before other connections of the thread have their turn. The system makes segments of up to 64 KiB
/// of it, and a cut that leaves a sliver behind the last whole one costs both sides a wakeup for nothing: so no multiple
/// of that. With 0.4 to 0.7 MB, which stay in the core's own cache until they are read, a large answer cost a quarter less
/// than in one piece.
const TURN_BYTES: usize = (64 << 10) * 10 + (32 << 10);

/// What is written the ordinary way to wait until the socket takes more.
const PROBE_BYTES: usize = 4 << 10;

/// Slices that are looked at for one turn.
const TURN_SLICES_MAX: usize = 32;

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

impl Watches {
    /// What is told of a write: how it ended, or that its client has taken too little for too long.
    fn poll_keeps_pace(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<()>>,
    ) -> Poll<Result<(), SendError>> {
        if written.is_ready() {
            self.pace.stop();
            return written.map_err(SendError::Disconnected);
        }
        ready!(self.pace.poll_too_slow(&mut self.alarm, context));
        Poll::Ready(Err(SendError::TooSlow))
    }
}

impl Wire {
    pub(crate) fn new(stream: Stream, limits: &Limits, stop: watch::Receiver<bool>) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
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
        poll_fn(|context| self.poll_read(context, deadline, heeds_stop, None)).await
    }

    /// The same, for one who has just read the clock, without having waited since.
    pub(crate) async fn read_at(
        &mut self,
        now: Option<Instant>,
        deadline: Instant,
        heeds_stop: bool,
    ) -> Arrival {
        let mut now = now;
        poll_fn(|context| self.poll_read(context, Some(deadline), heeds_stop, now.take())).await
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        deadline: Option<Instant>,
        heeds_stop: bool,
        now: Option<Instant>,
    ) -> Poll<Arrival> {
        spare::make_room(&mut self.buffer);
        match poll_read_buf(Pin::new(&mut *self.stream), context, &mut self.buffer) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Arrival::End),
            Poll::Ready(Ok(_)) => return Poll::Ready(Arrival::Bytes),
            Poll::Ready(Err(error)) => return Poll::Ready(Arrival::Broken(error)),
            Poll::Pending => {}
        }
        if self.buffer.is_empty() {
            spare::keep_bytes(&mut self.buffer);
        }
        if heeds_stop && self.watches.stop.poll_stopped(context).is_ready() {
            return Poll::Ready(Arrival::Stopped);
        }
        if let Some(deadline) = deadline {
            ready!(self.watches.alarm.poll_passed(context, deadline, now));
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
            self.watches.poll_keeps_pace(context, written)
        })
        .await
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &mut &mut [IoSlice<'_>],
        is_last: bool,
    ) -> Poll<io::Result<()>> {
        let mut left = TURN_BYTES;
        while !slices.is_empty() {
            if left == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let stream = Pin::new(&mut *self.stream);
            let mut turn = [IoSlice::new(b""); TURN_SLICES_MAX];
            // One slice goes by the simpler system call.
            let bytes = ready!(match of_turn(slices, left, &mut turn) {
                [slice] => stream.poll_write(context, slice),
                some => stream.poll_write_vectored(context, some),
            })?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.watches.pace.took(bytes);
            IoSlice::advance_slices(slices, bytes);
            left = left.saturating_sub(bytes);
        }
        if is_last {
            return Pin::new(&mut *self.stream).poll_flush(context);
        }
        Poll::Ready(Ok(()))
    }

    /// Can parts be sent as they lie?
    pub(crate) fn takes_parts(&self) -> bool {
        bare_socket(&self.stream).is_some()
    }

    /// Sends `before`, and then the parts as they lie. Returns how many bytes of the parts went out; fewer than all when the next
    /// one is not to be had so. What of `before` did not go out stays in it.
    pub(crate) async fn write_parts(
        &mut self,
        before: &mut BytesMut,
        parts: &Parts,
    ) -> Result<u64, SendError> {
        let mut sent = 0;
        poll_fn(|context| {
            let written = self.poll_write_parts(context, before, parts, &mut sent);
            self.watches.poll_keeps_pace(context, written)
        })
        .await?;
        Ok(sent)
    }

    fn poll_write_parts(
        &mut self,
        context: &mut Context<'_>,
        before: &mut BytesMut,
        parts: &Parts,
        sent: &mut u64,
    ) -> Poll<io::Result<()>> {
        let mut left = TURN_BYTES;
        while *sent < parts.bytes() {
            if left == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // What the stream holds back comes first.
            ready!(Pin::new(&mut *self.stream).poll_flush(context))?;
            let Some(socket) = bare_socket(&self.stream) else {
                break;
            };
            let bytes = match parts.send(socket.descriptor(), before, *sent, left) {
                Sent::Some(bytes) => {
                    socket.sent(bytes as u64);
                    bytes
                }
                Sent::SocketFull => match self.poll_probe(context, before, parts, *sent) {
                    Some(probed) => ready!(probed)?,
                    None => break,
                },
                Sent::NotHere => break,
                Sent::Broken(error) => return Poll::Ready(Err(error)),
            };
            self.watches.pace.took(bytes);
            let of_before = bytes.min(before.len());
            before.advance(of_before);
            *sent += (bytes - of_before) as u64;
            left = left.saturating_sub(bytes);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a little the ordinary way, which waits for the socket where that has to be waited for; nothing when the next byte
    /// is not here.
    fn poll_probe(
        &mut self,
        context: &mut Context<'_>,
        before: &[u8],
        parts: &Parts,
        from: u64,
    ) -> Option<Poll<io::Result<usize>>> {
        let mut copied = [0; PROBE_BYTES];
        let probe = if before.is_empty() {
            let bytes = parts.copy(from, &mut copied)?;
            &copied[..bytes]
        } else {
            before
        };
        Some(
            match Pin::new(&mut *self.stream).poll_write(context, probe) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => written,
            },
        )
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
            self.watches.alarm.poll_passed(context, deadline, None)
        })
        .await;
    }
}

/// The first `bytes` of `slices`.
fn of_turn<'t>(
    slices: &'t [IoSlice<'_>],
    bytes: usize,
    turn: &'t mut [IoSlice<'t>],
) -> &'t [IoSlice<'t>] {
    if slices.len() <= turn.len() && slices.iter().map(|slice| slice.len()).sum::<usize>() <= bytes
    {
        return slices;
    }
    let mut left = bytes;
    let mut count = 0;
    for (place, slice) in turn.iter_mut().zip(slices) {
        let taken = slice.len().min(left);
        *place = IoSlice::new(&slice[..taken]);
        count += 1;
        left -= taken;
        if left == 0 {
            break;
        }
    }
    &turn[..count]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(slices: &[IoSlice<'_>]) -> Vec<usize> {
        slices.iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn a_turn_is_the_first_bytes_and_never_empty() {
        let bytes = [7; 100];
        let slices: Vec<IoSlice<'_>> = [10, 0, 60, 30]
            .map(|length| IoSlice::new(&bytes[..length]))
            .into();
        let mut turn = [IoSlice::new(b""); 3];
        assert_eq!(lengths(of_turn(&slices[..3], 70, &mut turn)), [10, 0, 60]);
        let mut turn = [IoSlice::new(b""); 3];
        assert_eq!(lengths(of_turn(&slices[..3], 69, &mut turn)), [10, 0, 59]);
        let mut turn = [IoSlice::new(b""); 3];
        assert_eq!(lengths(of_turn(&slices, 1000, &mut turn)), [10, 0, 60]);
        let mut turn = [IoSlice::new(b""); 3];
        assert_eq!(lengths(of_turn(&slices, 4, &mut turn)), [4]);
    }
}
