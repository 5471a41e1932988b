//! A connection over TLS, from the server's side.
//!
//! Our own rather than a general one, for what large answers cost: as many records as the client is quick enough for are
//! made and leave in one system call, where others stop at four. And a record that is made waits for its flush, so that
//! protocols in frames (HTTP/2) do not pay for a system call a frame.

use std::fmt;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mcsp_edge_fingerprint::Ja4;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are encrypted before they leave: of a client that takes no more at the moment, of any at first, and of one
/// that has taken everything so far. What a slow client keeps here is no more than the last of these, and only once. The
/// system makes segments of up to 64 KiB of them: no multiple of that, or what records add would leave behind each batch
/// as a segment of its own.
const BATCH_BYTES_SLOW: usize = 32 << 10;
const BATCH_BYTES: usize = 96 << 10;
const BATCH_BYTES_FAST: usize = 160 << 10;

/// The most that one record holds (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 16 << 10;

/// Slices that are encrypted together.
const SLICES_MAX: usize = 32;

/// A connection whose handshake is over. What is written may wait for [`poll_flush`](AsyncWrite::poll_flush).
pub struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    /// Bytes that were taken and wait, encrypted; at `batch` they leave unasked.
    waiting: usize,
    batch: usize,
    is_closing: bool,
    ja4: Option<Ja4>,
    digest: Arc<SslDigest>,
    socket_digest: Option<Arc<SocketDigest>>,
    timing: TimingDigest,
}

impl TlsStream {
    /// A connection whose handshake tokio-rustls has done.
    pub(crate) fn new(
        stream: tokio_rustls::server::TlsStream<TcpStream>,
        ja4: Option<Ja4>,
    ) -> Self {
        let (socket, mut session) = stream.into_inner();
        let socket_digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // How much may wait is decided here.
        session.set_buffer_limit(None);
        let suite = session.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str());
        let version = session.protocol_version();
        let version = version.and_then(|version| version.as_str());
        let digest = SslDigest::new(
            suite.unwrap_or_default(),
            version.unwrap_or_default(),
            None,
            None,
            Vec::new(),
        );
        Self {
            socket,
            session,
            waiting: 0,
            batch: BATCH_BYTES,
            is_closing: false,
            ja4,
            digest: Arc::new(digest),
            socket_digest: Some(Arc::new(socket_digest)),
            timing: TimingDigest {
                established_ts: SystemTime::now(),
                ..TimingDigest::default()
            },
        }
    }

    /// The same connection, of this client, whatever the socket is connected to.
    #[must_use]
    pub fn of_client(mut self, client: SocketAddr) -> Self {
        self.socket_digest = Some(Arc::new(digest_of_client(&self.socket, client)));
        self
    }

    /// The fingerprint of the client's hello; none of a hello that is too long for one.
    #[must_use]
    pub fn ja4(&self) -> Option<Ja4> {
        self.ja4
    }

    /// Sends what is encrypted.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut writer = Outward {
                socket: &mut self.socket,
                context,
            };
            match self.session.write_tls(&mut writer) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.batch = BATCH_BYTES_SLOW;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.waiting = 0;
        Poll::Ready(Ok(()))
    }

    /// How many bytes may be encrypted now, in whole records. What waits leaves first, if it is a batch.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting >= self.batch {
            ready!(self.poll_drain(context))?;
            self.batch = (self.batch * 2).clamp(BATCH_BYTES, BATCH_BYTES_FAST);
        }
        let room = self.batch - self.waiting;
        Poll::Ready(Ok(room.next_multiple_of(RECORD_BYTES)))
    }

    fn took(&mut self, taken: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(bytes) = taken {
            self.waiting += bytes;
        }
        Poll::Ready(taken)
    }

    /// Reads records, and decrypts them.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut reader = Inward {
            socket: &mut self.socket,
            context,
        };
        match self.session.read_tls(&mut reader) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        let processed = self.session.process_new_packets();
        if self.session.wants_write() {
            // An alert, or the answer to a change of keys. If it has to wait, it leaves with what is written next.
            let _ = self.poll_drain(context);
        }
        let processed = processed.map(|_| ());
        Poll::Ready(processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let mut plain = this.session.reader();
            match plain.fill_buf() {
                // Empty: the client has said that it sends no more.
                Ok(bytes) => {
                    let length = bytes.len().min(out.remaining());
                    out.put_slice(&bytes[..length]);
                    plain.consume(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.poll_records(context))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(context))?;
        let taken = self.session.writer().write(&bytes[..bytes.len().min(room)]);
        self.took(taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let mut room = ready!(self.poll_room(context))?;
        let mut fitting = [IoSlice::new(b""); SLICES_MAX];
        let mut count = 0;
        for (fitting, slice) in fitting.iter_mut().zip(slices) {
            let length = slice.len().min(room);
            *fitting = IoSlice::new(&slice[..length]);
            count += 1;
            room -= length;
            if room == 0 {
                break;
            }
        }
        let taken = self.session.writer().write_vectored(&fitting[..count]);
        self.took(taken)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_closing {
            this.is_closing = true;
            this.session.send_close_notify();
        }
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

/// What is known of a socket of `client`, whatever it is connected to.
#[must_use]
pub fn digest_of_client(socket: &impl AsRawFd, client: SocketAddr) -> SocketDigest {
    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    // Nobody has looked at it yet, so there is nothing that this could be too late for.
    let _ = digest.peer_addr.set(Some(client.into()));
    digest
}

/// The socket as rustls reads it.
struct Inward<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    context: &'c mut Context<'w>,
}

impl Read for Inward<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut out = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.context, &mut out) {
            Poll::Ready(read) => read.map(|()| out.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The socket as rustls writes to it.
struct Outward<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    context: &'c mut Context<'w>,
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Write for Outward<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = Pin::new(&mut *self.socket);
        // One record goes by the simpler system call.
        blocking(match slices {
            [slice] => socket.poll_write(self.context, slice),
            _ => socket.poll_write_vectored(self.context, slices),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Shutdown for TlsStream {
    async fn shutdown(&mut self) {
        // The other side may be gone.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for TlsStream {
    fn id(&self) -> UniqueIDType {
        self.socket.as_raw_fd()
    }
}

impl Ssl for TlsStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.digest))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.session.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            _ => Some(ALPN::H1),
        }
    }
}

impl GetTimingDigest for TlsStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(self.timing.clone())]
    }

    fn get_read_pending_time(&self) -> Duration {
        Duration::ZERO
    }

    fn get_write_pending_time(&self) -> Duration {
        Duration::ZERO
    }
}

impl GetProxyDigest for TlsStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for TlsStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket_digest.clone()
    }
}

impl Peek for TlsStream {}

impl fmt::Debug for TlsStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsStream")
            .field("socket", &self.socket)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
