//! The first bytes of a connection, noted on their way to rustls.
//!
//! Noted as they are read rather than peeked at before: that takes no system call and no wait of its own, so that no
//! handshake is later for it or fails by it, in however many pieces its ClientHello comes.

use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mcsp_edge_fingerprint::{Ja4, PEEK_BYTES_MAX, Peeked, Transport, peek};
use mcsp_edge_limits::Drip;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A ClientHello of today, mostly; bytes.
const HELLO_BYTES: usize = 2048;

/// A socket of which the first bytes are noted, at most [`PEEK_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Recording {
    socket: TcpStream,
    seen: Vec<u8>,
    drip: Drip,
    gather_most: Duration,
}

impl Recording {
    /// A hello that drips gathers for `gather_most` at the longest, each time.
    pub(crate) fn new(socket: TcpStream, gather_most: Duration) -> Self {
        // Those that are open at once have different ones.
        let number = socket.as_raw_fd().unsigned_abs() & 0xffff;
        Self {
            socket,
            seen: Vec::with_capacity(HELLO_BYTES),
            drip: Drip::new(u16::try_from(number).unwrap_or_default()),
            gather_most,
        }
    }

    /// The fingerprint of the ClientHello that was read; none of one that is longer than is worth reading.
    pub(crate) fn ja4(&self) -> Option<Ja4> {
        match peek(&self.seen) {
            Ok(Peeked::Hello(hello)) => Some(Ja4::of(&hello, Transport::Tcp)),
            _ => None,
        }
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.drip.poll_gathered(context));
        let before = out.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, out))?;
        let new = out.filled().get(before..).unwrap_or_default();
        let room = PEEK_BYTES_MAX.saturating_sub(this.seen.len());
        this.seen.extend(new.iter().take(room));
        if !new.is_empty() {
            this.drip.took(new.len(), this.gather_most, Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recording {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
