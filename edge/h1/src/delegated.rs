//! A connection lent out for one request: it gives that request's bytes and no others. Whoever ends it properly gives it back
//! without a word: it is not closed before its client has what is on its way.

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use mcsp_edge_limits::Drip;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::body::Framing;
use crate::refusal::Refusal;

/// Bytes of further requests that are read ahead while this one is served, to notice when the client goes.
const AHEAD_BYTES_MAX: usize = 4096;

/// The stream, seen by whoever serves one request.
pub(crate) struct Delegated {
    stream: Stream,
    /// What is left of the head.
    head: Bytes,
    /// Read from the stream and not given on: of the body while that lasts, of what follows after it.
    buffer: BytesMut,
    framing: Framing,
    /// How the body comes, and how long it may gather.
    drip: Drip,
    gather_most: Duration,
    refusal: Option<Refusal>,
    /// The request asks for another protocol: what follows it may belong to that.
    is_upgrade: bool,
    /// Something that follows the request has been given on.
    is_beyond: bool,
    /// Nothing more is sent on it, and what was is whole.
    is_ended: bool,
    /// Where it goes when it is dropped at its end.
    home: Option<oneshot::Sender<Ended>>,
}

/// A stream that was ended, and is to be closed.
pub(crate) struct Ended {
    pub(crate) stream: Stream,
    /// All of the request has been read.
    pub(crate) is_read: bool,
}

/// A stream that came back.
pub(crate) struct Returned {
    pub(crate) stream: Stream,
    pub(crate) buffer: BytesMut,
}

impl Delegated {
    pub(crate) fn new(
        stream: Stream,
        head: Bytes,
        buffer: BytesMut,
        framing: Framing,
        is_upgrade: bool,
        drip: Drip,
        gather_most: Duration,
    ) -> Self {
        Self {
            stream,
            head,
            buffer,
            framing,
            drip,
            gather_most,
            refusal: None,
            is_upgrade,
            is_beyond: false,
            is_ended: false,
            home: None,
        }
    }

    /// Dropped at its end, it goes to `home`.
    pub(crate) fn at_its_end(mut self, home: oneshot::Sender<Ended>) -> Self {
        self.home = Some(home);
        self
    }

    /// Takes a lent stream apart; `None` where it is another, or does not stand at the request's end and goes home to be
    /// closed.
    pub(crate) fn take_back(stream: Stream) -> Option<Returned> {
        let delegated: Box<dyn Any> = stream.into_any();
        let mut delegated = delegated.downcast::<Self>().ok()?;
        if !delegated.is_read() || delegated.is_beyond {
            delegated.is_ended = true;
            return None;
        }
        Some(Returned {
            stream: delegated.take(),
            buffer: std::mem::take(&mut delegated.buffer),
        })
    }

    fn is_read(&self) -> bool {
        self.head.is_empty() && self.framing.is_done()
    }

    /// Leaves in its place a stream that is over.
    fn take(&mut self) -> Stream {
        std::mem::replace(&mut self.stream, Box::new(io::Cursor::new(Vec::new())))
    }

    /// Body bytes, from what was read before or from the stream.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            ready!(self.drip.poll_gathered(context));
            // Read in place: to clear the reader's memory first would touch all of it, for what may be a byte.
            let before = out.filled().len();
            ready!(Pin::new(&mut *self.stream).poll_read(context, out))?;
            let read = out.filled().get(before..).unwrap_or_default();
            let length = read.len();
            let passed = self.framing.pass(read);
            if let Ok(passed) = passed {
                self.buffer
                    .extend_from_slice(read.get(passed..).unwrap_or_default());
            }
            // What follows the body is not this reader's.
            out.set_filled(before + passed.unwrap_or(0));
            self.note(passed)?;
            if !self.framing.is_done() && length > 0 {
                self.drip.took(length, self.gather_most, Instant::now());
            }
        } else {
            let offered = self.buffer.len().min(out.remaining());
            let passed = self.framing.pass(&self.buffer[..offered]);
            let passed = self.note(passed)?;
            out.put_slice(&self.buffer[..passed]);
            self.buffer.advance(passed);
        }
        Poll::Ready(Ok(()))
    }

    fn note(&mut self, passed: Result<usize, Refusal>) -> io::Result<usize> {
        passed.map_err(|refusal| {
            self.refusal = Some(refusal);
            io::Error::new(io::ErrorKind::InvalidData, refusal)
        })
    }

    /// Nothing more for this reader, but an end is told.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.buffer.len() < AHEAD_BYTES_MAX {
            self.buffer.reserve(AHEAD_BYTES_MAX);
            if ready!(poll_read_buf(
                Pin::new(&mut *self.stream),
                context,
                &mut self.buffer
            ))? == 0
            {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    fn poll_beyond(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            let before = out.filled().len();
            ready!(Pin::new(&mut *self.stream).poll_read(context, out))?;
            self.is_beyond |= out.filled().len() > before;
        } else {
            self.is_beyond = true;
            let length = self.buffer.len().min(out.remaining());
            out.put_slice(&self.buffer[..length]);
            self.buffer.advance(length);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        if self.is_ended
            && let Some(home) = self.home.take()
        {
            let is_read = self.is_read();
            let stream = self.take();
            // Without anybody there, it is closed.
            let _ = home.send(Ended { stream, is_read });
        }
    }
}

impl AsyncRead for Delegated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.head.is_empty() {
            let length = this.head.len().min(out.remaining());
            out.put_slice(&this.head[..length]);
            this.head.advance(length);
            Poll::Ready(Ok(()))
        } else if let Some(refusal) = this.refusal {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)))
        } else if !this.framing.is_done() {
            this.poll_body(context, out)
        } else if this.is_upgrade {
            this.poll_beyond(context, out)
        } else {
            this.poll_end(context)
        }
    }
}

impl AsyncWrite for Delegated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(AsyncWrite::poll_shutdown(
            Pin::new(&mut *self.stream),
            context
        ));
        self.is_ended = true;
        Poll::Ready(ended)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Delegated {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
        self.is_ended = true;
    }
}

impl UniqueID for Delegated {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Delegated {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Delegated {
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

impl GetProxyDigest for Delegated {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Delegated {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

/// Never: what is peeked would be read past the request.
impl Peek for Delegated {}

impl fmt::Debug for Delegated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Delegated")
            .field("stream", &self.stream)
            .field("head_bytes", &self.head.len())
            .field("buffer_bytes", &self.buffer.len())
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    /// A lent stream of a request with a body of ten bytes; two bytes of the next request follow them.
    fn lent() -> Delegated {
        Delegated::new(
            Box::new(io::Cursor::new(b"0123456789GE".to_vec())),
            Bytes::new(),
            BytesMut::new(),
            Framing::length(10),
            false,
            Drip::new(0),
            Duration::ZERO,
        )
    }

    fn read(lent: &mut Delegated, out: &mut ReadBuf<'_>) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let polled = Pin::new(lent).poll_read(&mut context, out);
        assert!(matches!(polled, Poll::Ready(Ok(()))), "{polled:?}");
    }

    #[test]
    fn a_body_is_read_in_place_and_what_follows_it_is_kept_back() {
        let mut lent = lent();
        let mut memory = [MaybeUninit::uninit(); 64 << 10];
        let mut out = ReadBuf::uninit(&mut memory);
        out.put_slice(b"head ");
        read(&mut lent, &mut out);
        assert_eq!(out.filled(), b"head 0123456789");
        assert!(
            out.initialized().len() <= 5 + 12,
            "memory that nothing was read into is not touched"
        );
        let returned = Delegated::take_back(Box::new(lent)).unwrap();
        assert_eq!(&returned.buffer[..], b"GE");
    }

    #[test]
    fn a_reader_with_little_room_gets_the_body_all_the_same() {
        let mut lent = lent();
        let mut got = Vec::new();
        while got.len() < 10 {
            let mut memory = [0; 4];
            let mut out = ReadBuf::new(&mut memory);
            read(&mut lent, &mut out);
            assert!(!out.filled().is_empty());
            got.extend_from_slice(out.filled());
        }
        assert_eq!(got, b"0123456789");
    }
}
