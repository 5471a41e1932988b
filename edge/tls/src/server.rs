//! Handshakes with viewers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::server::Acceptor;
use rustls::{CipherSuite, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::recording::Recording;
use crate::share::Share;
use crate::store::{frugal_config, server_config};
use crate::{CertificateStore, TlsError, TlsStream};

/// Less than any handshake takes: at least one is done each time.
const ONE_HANDSHAKE: Duration = Duration::from_nanos(1);

/// How connections of viewers begin. Clones share it.
///
/// Handshakes take their turns: of all that could go on, one for each processor calculates, and as a [`Share`] of its thread's time.
/// Those who watch already wait for one of them and no more, however many begin at once.
#[derive(Debug, Clone)]
pub struct TlsServer {
    by_client: Arc<ServerConfig>,
    by_us: Arc<ServerConfig>,
    turns: Arc<Semaphore>,
    share: Arc<Share>,
}

impl TlsServer {
    /// With the certificates of `store`.
    ///
    /// # Errors
    /// When rustls refuses the configured versions.
    pub fn new(store: &Arc<CertificateStore>) -> Result<Self, TlsError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            by_client: Arc::new(server_config(store)?),
            by_us: Arc::new(frugal_config(store)?),
            turns: Arc::new(Semaphore::new(processors)),
            share: Arc::new(Share::new(ONE_HANDSHAKE)),
        })
    }

    /// Does a handshake, as long as it takes.
    ///
    /// # Errors
    /// When the client breaks it off, or the two have nothing in common.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let recording = Recording::new(socket);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), recording).await?;
        let turn = self.turns.acquire().await.map_err(io::Error::other)?;
        self.share.turn().await;
        let began = Instant::now();
        let ja4 = hello.io.ja4();
        let config = match wants_chacha(hello.client_hello().cipher_suites()) {
            true => &self.by_client,
            false => &self.by_us,
        };
        let hello = StartHandshake::from_parts(hello.accepted, hello.io.into_socket());
        let mut shaking = hello.into_stream(Arc::clone(config));
        // The first step calculates; what comes after waits for the client, which is nobody's turn.
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut shaking).poll(context))).await;
        self.share.spent(began.elapsed());
        drop(turn);
        let stream = match first {
            Poll::Ready(done) => done?,
            Poll::Pending => shaking.await?,
        };
        Ok(TlsStream::new(stream, ja4))
    }
}

/// Does the client put ChaCha20 first? Then its processor has no instructions for AES, and its preference is minded.
fn wants_chacha(suites: &[CipherSuite]) -> bool {
    // What nobody has registered is there to be passed over (RFC 8701).
    let known = suites.iter().find(|suite| suite.as_str().is_some());
    known.is_some_and(|suite| {
        matches!(
            suite,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha_is_minded_where_it_comes_first() {
        const AES: CipherSuite = CipherSuite::TLS13_AES_256_GCM_SHA384;
        const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        const GREASE: CipherSuite = CipherSuite::Unknown(0x0a0a);
        for (suites, wanted) in [
            (&[CHACHA, AES][..], true),
            (&[GREASE, CHACHA, AES], true),
            (&[AES, CHACHA], false),
            (&[GREASE, AES, CHACHA], false),
            (&[], false),
        ] {
            assert_eq!(wants_chacha(suites), wanted, "{suites:?}");
        }
    }
}
