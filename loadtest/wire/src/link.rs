//! A user's link: no faster than its trace says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use mcsp_loadtest_scenario::Bandwidth;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::clock::RunClock;
use crate::connect::BoxedIo;

/// The most that is taken off the wire before its time, ms.
const AHEAD_MS: u64 = 50;
const READ_BYTES_MIN: u64 = 1_460;
const READ_BYTES_MAX: u64 = 16 << 10;

/// One user's link; its connections share it. Bytes have passed when the trace says that they have: a bucket of tokens that holds
/// none when it is idle, filled at the trace's rate.
#[derive(Debug, Clone, Default)]
pub struct Link(Option<Arc<Shaping>>);

#[derive(Debug)]
struct Shaping {
    bandwidth: Arc<Bandwidth>,
    clock: RunClock,
    since_us: u64,
    /// When what was received has passed, µs after the run's start.
    down_us: AtomicU64,
    up_us: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Down,
    Up,
}

impl Link {
    /// Without bounds.
    #[must_use]
    pub fn unbounded() -> Self {
        Self(None)
    }

    /// A link whose trace begins at `since_us` of the run.
    #[must_use]
    pub fn shaped(bandwidth: Arc<Bandwidth>, clock: RunClock, since_us: u64) -> Self {
        Self(Some(Arc::new(Shaping {
            bandwidth,
            clock,
            since_us,
            down_us: AtomicU64::new(0),
            up_us: AtomicU64::new(0),
        })))
    }

    /// Waits until all that was received has passed.
    pub(crate) async fn settle(&self) {
        if let Some(shaping) = &self.0 {
            let down_us = shaping.down_us.load(Ordering::Relaxed);
            if down_us > shaping.clock.now_us() {
                shaping.clock.until(down_us).await;
            }
        }
    }
}

impl Shaping {
    fn piece(&self) -> usize {
        let at_us = self.clock.now_us().saturating_sub(self.since_us);
        let bytes = self.bandwidth.bits_per_s(at_us) / 8 * AHEAD_MS / 1_000;
        usize::try_from(bytes.clamp(READ_BYTES_MIN, READ_BYTES_MAX)).unwrap_or(usize::MAX)
    }

    /// Books bytes; when they have passed.
    fn book(&self, direction: Direction, bytes: usize) -> Instant {
        let booked = match direction {
            Direction::Down => &self.down_us,
            Direction::Up => &self.up_us,
        };
        // One task of one user books at a time.
        let from_us = self
            .clock
            .now_us()
            .max(booked.load(Ordering::Relaxed))
            .max(self.since_us);
        let passed_us = self
            .bandwidth
            .passed_at(from_us - self.since_us, bytes as u64)
            .saturating_add(self.since_us);
        booked.store(passed_us, Ordering::Relaxed);
        self.clock.instant(passed_us)
    }
}

type Pause = Option<Pin<Box<Sleep>>>;

/// Waits in `pause`, and forgets it when it is over.
fn poll_pause(pause: &mut Pause, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(sleep) = pause {
        ready!(sleep.as_mut().poll(cx));
        *pause = None;
    }
    Poll::Ready(())
}

fn pause_until(pause: &mut Pause, until: Instant) {
    if until > Instant::now() {
        *pause = Some(Box::pin(tokio::time::sleep_until(until)));
    }
}

/// A connection over a [`Link`].
pub(crate) struct Shaped {
    io: BoxedIo,
    link: Link,
    reading: Pause,
    writing: Pause,
}

impl Shaped {
    pub(crate) fn new(io: BoxedIo, link: Link) -> Self {
        Self {
            io,
            link,
            reading: None,
            writing: None,
        }
    }
}

impl AsyncRead for Shaped {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(shaping) = &this.link.0 else {
            return Pin::new(&mut this.io).poll_read(cx, buffer);
        };
        ready!(poll_pause(&mut this.reading, cx));
        let length = shaping.piece().min(buffer.remaining());
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(length));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
        let bytes = piece.filled().len();
        buffer.advance(bytes);
        if bytes > 0 {
            pause_until(&mut this.reading, shaping.book(Direction::Down, bytes));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(shaping) = &this.link.0 else {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        };
        ready!(poll_pause(&mut this.writing, cx));
        let piece = bytes.get(..shaping.piece()).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, piece))?;
        pause_until(&mut this.writing, shaping.book(Direction::Up, written));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
