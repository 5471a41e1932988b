//! A connection's bytes on their way: counted, frames that cost nothing by their kind, and flushed once for all frames rather
//! than for each.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use mcsp_edge_limits::{Flood, FrameMeter};
use parking_lot::Mutex;
use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that the `h2` crate writes frames to and the driver flushes. Clones share it; only one task uses it.
#[derive(Debug, Clone)]
pub(crate) struct Wire(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: Mutex<Stream>,
    taken: AtomicU64,
    frames: Mutex<Frames>,
}

/// What the client's frames cost it.
#[derive(Debug)]
struct Frames {
    meter: Option<FrameMeter>,
    flood: Option<Flood>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, meter: Option<FrameMeter>) -> Self {
        Self(Arc::new(Shared {
            stream: Mutex::new(stream),
            taken: AtomicU64::new(0),
            frames: Mutex::new(Frames { meter, flood: None }),
        }))
    }

    /// What the client has sent too much of. Nothing is read from then on: whoever polls has to look.
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.0.frames.lock().flood
    }

    /// How many bytes the stream has taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Sends what the stream holds back.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn with<T>(&self, work: impl FnOnce(Pin<&mut dyn pingora_core::protocols::IO>) -> T) -> T {
        work(Pin::new(&mut **self.0.stream.lock()))
    }

    fn count(&self, taken: usize) -> Poll<io::Result<usize>> {
        self.0.taken.fetch_add(taken as u64, Ordering::Relaxed);
        Poll::Ready(Ok(taken))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut frames = self.0.frames.lock();
        if frames.flood.is_some() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        ready!(self.with(|stream| stream.poll_read(context, out)))?;
        if let Some(meter) = &mut frames.meter {
            let read = out.filled().get(before..).unwrap_or_default();
            frames.flood = meter.read(read).err();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.with(|stream| stream.poll_write(context, bytes)))?;
        self.count(taken)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.with(|stream| stream.poll_write_vectored(context, slices)))?;
        self.count(taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream.lock().is_write_vectored()
    }

    /// Asked after each frame: it is the driver that flushes, when there are no more.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| AsyncWrite::poll_shutdown(stream, context))
    }
}
