//! Upstreams over TLS: who they are is checked, and an end that TLS does not vouch for is none.

use std::net::SocketAddr;
use std::sync::Arc;

use mcsp_edge_fetch::{FetchErrorKind, PeerIdentity, Pool, PoolPolicy, Target};
use mcsp_identity::{LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_runtime::{ManualClock, SharedClock};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Harness, get, read};

pub(crate) const NAME: &str = "origin.test";

/// An authority, and those it vouches for.
pub(crate) struct World {
    dir: TempDir,
    ca: LocalCa,
}

impl World {
    pub(crate) fn new() -> Self {
        mcsp_runtime::install_crypto_provider();
        let dir = TempDir::new().unwrap();
        let ca = LocalCa::create_or_open(&dir.path().join("ca")).unwrap();
        Self { dir, ca }
    }

    fn identity(&self, namespace: &str, account: &str, names: &[&str]) -> WorkloadIdentity {
        let id = SpiffeId::new("mcsp.test", namespace, account).unwrap();
        let dir = self.dir.path().join(namespace).join(account);
        let files = self.ca.issue(&id, names, &dir).unwrap();
        WorkloadIdentity::load(&files.config()).unwrap()
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.server_speaking(b"http/1.1")
    }

    pub(crate) fn server_speaking(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        self.identity("ng-lagos", "origin", &[NAME])
            .server_config(&[protocol])
            .unwrap()
    }

    pub(crate) fn target(&self, address: SocketAddr, name: &str) -> Target {
        let clock: SharedClock = ManualClock::new(0);
        let addresses = [address.to_string()];
        let pool = Pool::resolve(&addresses, name, PoolPolicy::default(), &clock).unwrap();
        Target::mtls(Arc::new(pool), self.edge())
    }

    /// A node's identity.
    pub(crate) fn edge(&self) -> Arc<PeerIdentity> {
        let identity = self.identity("edge", "los1", &[]);
        Arc::new(PeerIdentity::new(&identity, 0).unwrap())
    }
}

/// Gives an answer to each request; after the last of `answers`, closes the connection with or without a word of TLS.
pub(crate) async fn serve(
    config: Arc<ServerConfig>,
    answers: Vec<&'static str>,
    is_polite: bool,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else {
            return;
        };
        for answer in answers {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        if is_polite {
            stream.shutdown().await.unwrap();
        } else {
            stream.get_mut().0.shutdown().await.unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    address
}

#[tokio::test]
async fn a_connection_is_made_once_and_used_again() {
    let (world, harness) = (World::new(), Harness::new());
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let target = world.target(serve(world.server(), vec![ok; 3], true).await, NAME);
    for _ in 0..3 {
        let mut response = harness.fetch(&get(), &target).await.unwrap();
        assert_eq!(read(&mut response).await.unwrap(), (b"ok".to_vec(), true));
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_who_it_should_be_is_not_asked() {
    let (world, harness) = (World::new(), Harness::new());
    let address = serve(world.server(), vec![], true).await;
    let error = harness
        .fetch(&get(), &world.target(address, "other.test"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Tls, "{error:?}");
    let address = serve(World::new().server(), vec![], true).await;
    let error = harness
        .fetch(&get(), &world.target(address, NAME))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Tls, "{error:?}");
    // Without a name nothing would be verified.
    let address = serve(world.server(), vec![], true).await;
    let error = harness
        .fetch(&get(), &world.target(address, ""))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::NoAddress, "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_cuts_the_body_short() {
    let (world, harness) = (World::new(), Harness::new());
    let answer = "HTTP/1.1 200 OK\r\n\r\nabc";
    for is_polite in [true, false] {
        let address = serve(world.server(), vec![answer], is_polite).await;
        let mut response = harness
            .fetch(&get(), &world.target(address, NAME))
            .await
            .unwrap();
        match read(&mut response).await {
            Ok(body) => assert!(is_polite && body == (b"abc".to_vec(), false)),
            Err(error) => assert!(!is_polite && error.kind == FetchErrorKind::Truncated),
        }
    }
}
