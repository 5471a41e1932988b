//! A connection whose bytes are counted.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::meter::Meter;
use crate::{TcpConnection, Traffic};

/// A connection whose bytes are counted; TLS may be in it or not. In all else it is the connection itself.
///
/// Aligned: each request touches all of it, and of many connections it has left the core's caches meanwhile.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Counted<P> {
    /// Dropped first: the descriptor is the stream's.
    meter: Meter,
    /// Bytes that went out past this and are not noted yet.
    past: AtomicU64,
    stream: P,
}

/// A connection in a box of its own, or one that lies right here: one step less to what every read and write needs.
pub(crate) trait Held: DerefMut<Target: IO> + Debug + Send + Sync + Unpin + 'static {}

impl Held for Stream {}

/// Lies right here.
#[derive(Debug)]
pub(crate) struct Here<S>(pub(crate) S);

impl<S> Deref for Here<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> DerefMut for Here<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0
    }
}

impl<S: IO + 'static> Held for Here<S> {}

impl<P: Held> Counted<P> {
    pub(crate) fn new(stream: P, traffic: &Traffic) -> Self {
        Self {
            meter: Meter::new(stream.id(), traffic.clone()),
            past: AtomicU64::new(0),
            stream,
        }
    }

    fn note_past(&mut self) {
        let past = std::mem::take(self.past.get_mut());
        if past > 0 {
            self.meter.passed(past);
        }
    }
}

impl Counted<Here<TcpConnection>> {
    pub(crate) fn socket(&self) -> (RawFd, &AtomicU64) {
        (self.stream.as_raw_fd(), &self.past)
    }
}

impl<P: Held> AsyncRead for Counted<P> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        ready!(Pin::new(&mut *this.stream).poll_read(context, out))?;
        let read = out.filled().len().saturating_sub(before);
        this.meter.passed(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl<P: Held> AsyncWrite for Counted<P> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut *this.stream).poll_write(context, bytes))?;
        this.meter.passed(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut *this.stream).poll_write_vectored(context, slices))?;
        this.meter.passed(written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.note_past();
        Pin::new(&mut *this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(context)
    }
}

#[async_trait]
impl<P: Held> Shutdown for Counted<P> {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl<P: Held> UniqueID for Counted<P> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<P: Held> Ssl for Counted<P> {
    fn get_ssl(&self) -> Option<&pingora_core::protocols::tls::TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<P: Held> GetTimingDigest for Counted<P> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl<P: Held> GetProxyDigest for Counted<P> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl<P: Held> GetSocketDigest for Counted<P> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}

#[async_trait]
impl<P: Held> Peek for Counted<P> {
    async fn try_peek(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(bytes).await
    }
}
