//! Connections over TLS, on real sockets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mcsp_edge_tls::{CertificateStore, TlsStream};
use pingora_core::protocols::{ALPN, GetSocketDigest as _, Ssl as _};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const BOUND: Duration = Duration::from_secs(60);

type Client = tokio_rustls::client::TlsStream<TcpStream>;

/// Both ends of a connection.
async fn pair(alpn: &[&[u8]]) -> (TlsStream, Client) {
    pair_with(alpn, &[]).await
}

/// Both ends of a connection whose client wants these suites, in this order; all in rustls' order where it names none.
async fn pair_with(alpn: &[&[u8]], suites: &[CipherSuite]) -> (TlsStream, Client) {
    let dir = tempfile::TempDir::new().unwrap();
    let (config, certificate) = crate::write(dir.path(), "a", &["a.example"]);
    let store = CertificateStore::open(crate::tls(vec![config])).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let place = |suite: CipherSuite| suites.iter().position(|wanted| *wanted == suite);
    if !suites.is_empty() {
        provider
            .cipher_suites
            .retain(|suite| place(suite.suite()).is_some());
        provider
            .cipher_suites
            .sort_by_key(|suite| place(suite.suite()));
    }
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("a.example").unwrap();
    let (near, far) = tokio::join!(
        async { crate::accept(&store, &listener).await.unwrap() },
        async {
            let socket = TcpStream::connect(address).await.unwrap();
            connector.connect(name, socket).await.unwrap()
        }
    );
    (near, far)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.expect("in time")
}

#[tokio::test]
async fn what_is_written_arrives_whole_whatever_its_pieces() {
    let (mut near, mut far) = pair(&[]).await;
    // Around a record, a batch, and what many slices make.
    for length in [1, 16_384, 16_385, 65_536, 65_537, 300_000, 3_000_000] {
        for piece in [7_000, 16_375, 100_000] {
            let wanted = bytes(length);
            let send = async {
                for pieces in wanted.chunks(piece * 5) {
                    let slices: Vec<_> = pieces.chunks(piece).map(std::io::IoSlice::new).collect();
                    let mut slices = &slices[..];
                    let mut skip = 0;
                    while !slices.is_empty() {
                        let mut now = vec![std::io::IoSlice::new(&slices[0][skip..])];
                        now.extend_from_slice(&slices[1..]);
                        let mut taken = near.write_vectored(&now).await.unwrap();
                        assert!(taken > 0);
                        while !slices.is_empty() && taken >= slices[0].len() - skip {
                            taken -= slices[0].len() - skip;
                            skip = 0;
                            slices = &slices[1..];
                        }
                        skip += taken;
                    }
                }
                near.flush().await.unwrap();
            };
            let mut seen = vec![0; length];
            bounded(async { tokio::join!(send, far.read_exact(&mut seen)).1 })
                .await
                .unwrap();
            assert!(seen == wanted, "{length} in {piece}");
        }
    }
}

#[tokio::test]
async fn what_is_written_waits_for_its_flush() {
    let (mut near, mut far) = pair(&[]).await;
    near.write_all(b"waits").await.unwrap();
    let mut seen = [0; 5];
    let early = tokio::time::timeout(Duration::from_millis(50), far.read_exact(&mut seen)).await;
    assert!(early.is_err());
    near.flush().await.unwrap();
    bounded(far.read_exact(&mut seen)).await.unwrap();
    assert_eq!(&seen, b"waits");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_and_the_rest_is_not_taken() {
    let (mut near, mut far) = pair(&[]).await;
    let wanted = bytes(40 << 20);
    let mut taken = 0;
    // Until neither side's kernel takes more.
    while let Ok(more) =
        tokio::time::timeout(Duration::from_millis(200), near.write(&wanted[taken..])).await
    {
        taken += more.unwrap();
    }
    assert!(taken < wanted.len(), "nobody has read, and all was taken");
    let send = async {
        near.write_all(&wanted[taken..]).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let mut seen = Vec::new();
    bounded(async { tokio::join!(send, far.read_to_end(&mut seen)).1 })
        .await
        .unwrap();
    assert!(seen == wanted);
}

#[tokio::test]
async fn requests_come_and_ends_are_told_from_breaks() {
    let (mut near, mut far) = pair(&[]).await;
    let wanted = bytes(100_000);
    let mut seen = vec![0; wanted.len()];
    bounded(async {
        let sent = async {
            far.write_all(&wanted).await.unwrap();
            far.flush().await.unwrap();
        };
        tokio::join!(sent, near.read_exact(&mut seen)).1
    })
    .await
    .unwrap();
    assert!(seen == wanted);
    far.shutdown().await.unwrap();
    assert_eq!(bounded(near.read(&mut seen)).await.unwrap(), 0);

    let (mut near, far) = pair(&[]).await;
    let (mut socket, _) = far.into_inner();
    socket.shutdown().await.unwrap();
    let broken = bounded(near.read(&mut seen)).await.unwrap_err();
    assert_eq!(broken.kind(), std::io::ErrorKind::UnexpectedEof);

    let (mut near, far) = pair(&[]).await;
    let (mut socket, _) = far.into_inner();
    socket.write_all(b"no record at all").await.unwrap();
    let broken = bounded(near.read(&mut seen)).await.unwrap_err();
    assert_eq!(broken.kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_handshake_is_told() {
    for (alpn, wanted) in [(&b"h2"[..], ALPN::H2), (&b"http/1.1"[..], ALPN::H1)] {
        let (near, far) = pair(&[alpn]).await;
        assert_eq!(near.selected_alpn_proto(), Some(wanted));
        let digest = near.get_ssl_digest().unwrap();
        assert!(digest.version.contains("1_3"), "{}", digest.version);
        let peer = near.get_socket_digest().unwrap();
        let peer = peer.peer_addr().unwrap().as_inet().copied();
        assert_eq!(peer, far.get_ref().0.local_addr().ok());
    }
}

#[tokio::test]
async fn the_suite_is_the_frugal_one_unless_the_client_has_no_aes() {
    const AES_128: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    const AES_256: CipherSuite = CipherSuite::TLS13_AES_256_GCM_SHA384;
    const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    for (suites, wanted) in [
        (&[][..], AES_128),
        (&[AES_256, CHACHA, AES_128], AES_128),
        (&[AES_256, CHACHA], AES_256),
        (&[CHACHA, AES_128, AES_256], CHACHA),
    ] {
        let (_near, far) = pair_with(&[], suites).await;
        let suite = far.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, wanted, "{suites:?}");
    }
}

/// Writes a byte at a time.
struct Dripping(TcpStream);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, out)
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A handshake by bytes on the wire, and what was told of its client.
async fn print_of(names: usize, fragment_bytes: Option<usize>) -> Option<String> {
    let dir = tempfile::TempDir::new().unwrap();
    let (config, certificate) = crate::write(dir.path(), "a", &["a.example"]);
    let store = CertificateStore::open(crate::tls(vec![config])).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.max_fragment_size = fragment_bytes;
    client.alpn_protocols = vec![b"h2".to_vec()];
    let filling = (0..names).map(|number| format!("{number:0200}").into_bytes());
    client.alpn_protocols.extend(filling);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("a.example").unwrap();
    let far = async {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut far = connector.connect(name, Dripping(socket)).await.unwrap();
        far.write_all(b"after").await.unwrap();
        far.flush().await.unwrap();
        far
    };
    let near = async { crate::accept(&store, &listener).await.unwrap() };
    let both = Box::pin(async { tokio::join!(near, far) });
    let (mut near, _far) = bounded(both).await;
    let mut got = [0; 5];
    bounded(near.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"after", "nothing was lost on the way");
    near.ja4().map(|ja4| ja4.to_string())
}

#[tokio::test]
async fn a_hello_has_its_fingerprint_in_however_many_pieces_it_comes() {
    let whole = Box::pin(print_of(0, None)).await.unwrap();
    assert!(
        whole.starts_with("t13d") && whole.contains("h2_"),
        "{whole}"
    );
    assert_eq!(
        Box::pin(print_of(0, Some(64))).await,
        Some(whole),
        "in several records"
    );
    // One that is too long for a fingerprint is none too long for a handshake.
    assert_eq!(Box::pin(print_of(100, None)).await, None);
}
