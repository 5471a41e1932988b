//! A connection lent out for one request: it gives that request's bytes and no others.

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
    refusal: Option<Refusal>,
    /// The request asks for another protocol: what follows it may belong to that.
    is_upgrade: bool,
    /// Something that follows the request has been given on.
    is_beyond: bool,
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
    ) -> Self {
        Self {
            stream,
            head,
            buffer,
            framing,
            refusal: None,
            is_upgrade,
            is_beyond: false,
        }
    }

    /// Takes a lent stream apart; `None` where it is another, or does not stand at the request's end.
    pub(crate) fn take_back(stream: Stream) -> Option<Returned> {
        let delegated: Box<dyn Any> = stream.into_any();
        let delegated = *delegated.downcast::<Self>().ok()?;
        let is_at_end = delegated.head.is_empty() && delegated.framing.is_done();
        (is_at_end && !delegated.is_beyond).then_some(Returned {
            stream: delegated.stream,
            buffer: delegated.buffer,
        })
    }

    /// Body bytes, from what was read before or from the stream.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = out.remaining();
        let passed = if self.buffer.is_empty() {
            let memory = out.initialize_unfilled_to(room);
            let mut read = ReadBuf::new(memory);
            ready!(Pin::new(&mut *self.stream).poll_read(context, &mut read))?;
            let length = read.filled().len();
            let passed = self.framing.pass(&memory[..length]);
            let passed = self.note(passed)?;
            self.buffer.extend_from_slice(&memory[passed..length]);
            passed
        } else {
            let offered = self.buffer.len().min(room);
            let passed = self.framing.pass(&self.buffer[..offered]);
            let passed = self.note(passed)?;
            out.initialize_unfilled_to(passed)
                .copy_from_slice(&self.buffer[..passed]);
            self.buffer.advance(passed);
            passed
        };
        out.advance(passed);
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
        AsyncWrite::poll_shutdown(Pin::new(&mut *self.stream), context)
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
