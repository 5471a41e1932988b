//! A folder with an authority, and a handshake over a socket.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mcsp_identity::{IdentityFiles, LocalCa, SpiffeId, WorkloadIdentity};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) struct Authority {
    pub(crate) dir: TempDir,
    pub(crate) ca: LocalCa,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let ca = LocalCa::create_or_open(&dir.path().join("ca")).expect("an authority");
        Self { dir, ca }
    }

    pub(crate) fn issue(&self, namespace: &str, account: &str) -> IdentityFiles {
        self.ca
            .issue(
                &id(namespace, account),
                &[],
                &self.dir.path().join(namespace).join(account),
            )
            .expect("a certificate")
    }

    pub(crate) fn identity(&self, namespace: &str, account: &str) -> WorkloadIdentity {
        WorkloadIdentity::load(&self.issue(namespace, account).config()).expect("an identity")
    }
}

pub(crate) fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::new("mcsp.internal", namespace, account).expect("a name")
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

/// What both ends saw of each other: the client's certificates as the server has them, and the other way round.
pub(crate) struct Met {
    pub(crate) client_chain: Vec<CertificateDer<'static>>,
    pub(crate) server_chain: Vec<CertificateDer<'static>>,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// One handshake and one byte each way: in TLS 1.3 a client learns only by reading that it was refused.
pub(crate) async fn meet(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    server_name: &str,
) -> io::Result<Met> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(server).accept(stream).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default().to_vec();
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        io::Result::Ok((chain, alpn))
    });
    let name = ServerName::try_from(server_name.to_owned()).expect("a DNS name");
    let mut stream = TlsConnector::from(client)
        .connect(name, TcpStream::connect(addr).await?)
        .await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    stream.write_all(&byte).await?;
    stream.flush().await?;
    let server_chain = stream
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .to_vec();
    let (client_chain, alpn) = serving.await.expect("the server's task")?;
    Ok(Met {
        client_chain,
        server_chain,
        alpn,
    })
}
