//! Handshakes with viewers.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::Turns;
use rustls::server::Acceptor;
use rustls::{CipherSuite, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::recording::Recording;
use crate::store::{frugal_config, server_config};
use crate::{CertificateStore, TlsError, TlsStream};

/// How connections of viewers begin. Clones share it.
///
/// Handshakes take their [`Turns`], with everything that belongs to one: those who watch already wait for one of them and no more,
/// however many begin at once, and one client's wait for each other before they wait for others'.
#[derive(Debug, Clone)]
pub struct TlsServer {
    by_client: Arc<ServerConfig>,
    by_us: Arc<ServerConfig>,
    turns: Arc<Turns>,
}

impl TlsServer {
    /// With the certificates of `store`; handshakes take their turns among `turns`.
    ///
    /// # Errors
    /// When rustls refuses the configured versions.
    pub fn new(store: &Arc<CertificateStore>, turns: Arc<Turns>) -> Result<Self, TlsError> {
        Ok(Self {
            by_client: Arc::new(server_config(store)?),
            by_us: Arc::new(frugal_config(store)?),
            turns,
        })
    }

    /// Does a handshake with `client`, which has `timeout` for it; what it waits for its turns beyond that is the node's own doing.
    /// A hello that comes by single bytes is read now and then only. Handshakes that fail or are late end in their turns too:
    /// thousands may at once.
    ///
    /// # Errors
    /// When the client breaks it off, or the two have nothing in common; [`TimedOut`](io::ErrorKind::TimedOut) when it is late.
    pub async fn accept(
        &self,
        socket: TcpStream,
        client: Option<IpAddr>,
        timeout: Duration,
    ) -> io::Result<TlsStream> {
        let deadline = Instant::now() + timeout;
        let shaking = async move {
            // What it holds is gone before its turn is over.
            let shaken = timeout_at(deadline, self.shake(socket, timeout)).await;
            shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        self.turns.all_of(client, shaking).await
    }

    async fn shake(&self, socket: TcpStream, timeout: Duration) -> io::Result<TlsStream> {
        let recording = Recording::new(socket, timeout / 4);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), recording).await?;
        let ja4 = hello.io.ja4();
        let config = match wants_chacha(hello.client_hello().cipher_suites()) {
            true => &self.by_client,
            false => &self.by_us,
        };
        let hello = StartHandshake::from_parts(hello.accepted, hello.io.into_socket());
        let stream = hello.into_stream(Arc::clone(config)).await?;
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
