//! Over real sockets: a plain one as a node has it, and pingora's TLS stream.

use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_h1::{CloseReason, Closed, Limits, serve_connection};
use mcsp_edge_traffic::TcpConnection;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::Stream;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::site::{Site, statuses};

const BOUND: Duration = Duration::from_secs(60);

/// A listener that serves one connection.
async fn serve_one(
    site: &Arc<Site>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> (std::net::SocketAddr, JoinHandle<Closed>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = Arc::clone(site);
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TcpConnection::from(stream);
        let stream: Stream = match tls {
            None => Box::new(stream),
            Some(config) => Box::new(
                Acceptor::from_server_config(config)
                    .tls_handshake(stream)
                    .await
                    .unwrap(),
            ),
        };
        let (_stop, stopped) = watch::channel(false);
        // It is for clients to end here, however slow the machine is.
        let limits = Limits {
            linger_ms: 30_000,
            ..Limits::default()
        };
        serve_connection(stream, &limits, &site, stopped).await
    });
    (address, served)
}

async fn converse(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    served: JoinHandle<Closed>,
) -> Vec<u8> {
    let talk = async {
        client.write_all(b"GET /full/1024 HTTP/1.1\r\nHost: a\r\n\r\nGET /known/3000000 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        client.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc").await.unwrap();
        let mut output = Vec::new();
        client.read_to_end(&mut output).await.unwrap();
        drop(client);
        assert_eq!(served.await.unwrap().reason, CloseReason::Answered);
        output
    };
    tokio::time::timeout(BOUND, talk).await.unwrap()
}

#[tokio::test]
async fn a_conversation_over_tcp() {
    let site = Site::new();
    let (address, served) = serve_one(&site, None).await;
    let output = converse(TcpStream::connect(address).await.unwrap(), served).await;
    assert_eq!(statuses(&output), [200, 200, 200]);
    assert!(output.len() > 3_001_024 && output.ends_with(b"\r\n\r\nabc"));
}

/// The answer to a request that is refused reaches a client that goes on sending (RFC 9112 9.6).
#[tokio::test]
async fn a_refusal_survives_what_is_still_being_sent() {
    let site = Site::new();
    let (address, served) = serve_one(&site, None).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let talk = async {
        client
            .write_all(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            )
            .await
            .unwrap();
        // What comes now meets a server that has given its answer.
        for _ in 0..20 {
            if client.write_all(&[b'x'; 1000]).await.is_err() {
                break;
            }
        }
        let mut output = String::new();
        client.read_to_string(&mut output).await.unwrap();
        output
    };
    let output = tokio::time::timeout(BOUND, talk).await.unwrap();
    assert!(output.starts_with("HTTP/1.1 400 "), "{output}");
    drop(client);
    assert!(matches!(
        served.await.unwrap().reason,
        CloseReason::Refused(_)
    ));
}

#[tokio::test]
async fn a_conversation_over_tls() {
    let key = rcgen::generate_simple_self_signed(vec!["edge.test".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.clone()],
            key.signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let site = Site::new();
    let (address, served) = serve_one(&site, Some(Arc::new(server))).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("edge.test").unwrap();
    let client = tokio_rustls::TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .unwrap();
    // An end without `close_notify` would be an error to this reader.
    let output = converse(client, served).await;
    assert_eq!(statuses(&output), [200, 200, 200]);
}
