//! Handshakes against certificate files, and the connections that follow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod streams;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::Turns;
use mcsp_edge_tls::{
    CertificateConfig, CertificateStore, TlsConfig, TlsServer, TlsStream, TlsVersion,
};
use mcsp_runtime::ShutdownTrigger;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

fn write(dir: &Path, stem: &str, names: &[&str]) -> (CertificateConfig, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let config = CertificateConfig {
        cert_file: dir.join(format!("{stem}.crt")),
        key_file: dir.join(format!("{stem}.key")),
    };
    std::fs::write(&config.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&config.key_file, made.signing_key.serialize_pem()).unwrap();
    (config, made.cert.der().clone())
}

fn tls(certificates: Vec<CertificateConfig>) -> TlsConfig {
    TlsConfig {
        certificates,
        ..TlsConfig::default()
    }
}

struct Seen {
    certificate: CertificateDer<'static>,
    alpn: Option<Vec<u8>>,
}

/// The server's side of the next connection.
async fn accept(
    store: &Arc<CertificateStore>,
    listener: &TcpListener,
) -> std::io::Result<TlsStream> {
    let (socket, _) = listener.accept().await?;
    TlsServer::new(store, Arc::new(Turns::new(1)))
        .unwrap()
        .accept(socket, None, Duration::from_secs(60))
        .await
}

/// One handshake; the client trusts `roots` only.
async fn shake(
    store: &Arc<CertificateStore>,
    name: &str,
    roots: &[&CertificateDer<'static>],
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<Seen, String> {
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add((*root).clone()).unwrap();
    }
    let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (server, client) = tokio::join!(accept(store, &listener), async {
        let socket = TcpStream::connect(address).await.unwrap();
        connector.connect(name, socket).await
    });
    server.map_err(|error| error.to_string())?;
    let client = client.map_err(|error| error.to_string())?;
    let session = client.get_ref().1;
    Ok(Seen {
        certificate: session.peer_certificates().unwrap()[0].clone().into_owned(),
        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
    })
}

#[tokio::test]
async fn the_name_picks_the_certificate() {
    let dir = TempDir::new().unwrap();
    let (first, first_cert) = write(dir.path(), "a", &["los1.example", "localhost"]);
    let (wild, wild_cert) = write(dir.path(), "b", &["*.cdn.example"]);
    let store = CertificateStore::open(tls(vec![first, wild])).unwrap();
    let cases = [
        ("los1.example", Some(&first_cert)),
        ("LOS1.example", Some(&first_cert)),
        ("x.cdn.example", Some(&wild_cert)),
        // The first certificate is shown, and a client that checks names refuses it.
        ("x.y.cdn.example", None),
        ("other.example", None),
    ];
    for (name, wanted) in cases {
        let seen = shake(
            &store,
            name,
            &[&first_cert, &wild_cert],
            &rustls::version::TLS13,
        )
        .await;
        assert_eq!(
            seen.as_ref().ok().map(|seen| &seen.certificate),
            wanted,
            "{name}"
        );
        if let Ok(seen) = seen {
            assert_eq!(seen.alpn.as_deref(), Some(&b"h2"[..]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_late() {
    let dir = TempDir::new().unwrap();
    let (certificate, _) = write(dir.path(), "a", &["localhost"]);
    let store = CertificateStore::open(tls(vec![certificate])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, client) = tokio::join!(accept(&store, &listener), TcpStream::connect(address));
    let late = accepted.err().map(|error| error.kind());
    assert_eq!(late, Some(std::io::ErrorKind::TimedOut));
    // The connection is over with it.
    let mut byte = [0];
    let read = client.unwrap().read(&mut byte).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn tls_1_2_only_where_configured() {
    let dir = TempDir::new().unwrap();
    let (one, cert) = write(dir.path(), "a", &["localhost"]);
    let strict = CertificateStore::open(tls(vec![one.clone()])).unwrap();
    assert!(
        shake(&strict, "localhost", &[&cert], &rustls::version::TLS12)
            .await
            .is_err()
    );
    let old = CertificateStore::open(TlsConfig {
        version_min: TlsVersion::Tls12,
        ..tls(vec![one])
    })
    .unwrap();
    assert!(
        shake(&old, "localhost", &[&cert], &rustls::version::TLS12)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_bad_file_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let (good, _) = write(dir.path(), "a", &["localhost"]);
    let (other, _) = write(dir.path(), "b", &["localhost"]);
    let garbage = dir.path().join("garbage");
    std::fs::write(
        &garbage,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let absent = dir.path().join("absent");
    let with = |cert: &Path, key: &Path| CertificateConfig {
        cert_file: cert.to_owned(),
        key_file: key.to_owned(),
    };
    let cases = [
        (with(&absent, &good.key_file), "absent: No such file"),
        (
            with(&empty, &good.key_file),
            "empty: expected at least one PEM certificate",
        ),
        (
            with(&garbage, &good.key_file),
            "garbage: is not an X.509 certificate",
        ),
        (
            with(&good.cert_file, &garbage),
            "garbage: expected a PEM private key",
        ),
        (
            with(&good.cert_file, &other.key_file),
            "b.key: is not the key of",
        ),
    ];
    for (certificate, wanted) in cases {
        let error = CertificateStore::open(tls(vec![certificate]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(wanted), "{error} has no {wanted:?}");
    }
    let none = CertificateStore::open(tls(Vec::new()))
        .unwrap_err()
        .to_string();
    assert_eq!(none, "tls.certificates = 0: expected 1 to 1000 entries");
}

#[tokio::test]
async fn changed_files_take_effect_and_bad_ones_do_not() {
    let dir = TempDir::new().unwrap();
    let (one, old) = write(dir.path(), "a", &["localhost"]);
    let store = CertificateStore::open(TlsConfig {
        reload_check_ms: 100,
        ..tls(vec![one.clone()])
    })
    .unwrap();
    let (trigger, shutdown) = ShutdownTrigger::new();
    let registry = prometheus::Registry::new();
    let watching = {
        let (store, registry) = (Arc::clone(&store), registry.clone());
        tokio::spawn(async move { store.watch(&registry, shutdown).await })
    };
    std::fs::write(&one.cert_file, "nonsense").unwrap();
    wait_for(|| outcome(&registry, "refused") > 0).await;
    assert_eq!(
        shake(&store, "localhost", &[&old], &rustls::version::TLS13)
            .await
            .unwrap()
            .certificate,
        old
    );
    let (_, new) = write(dir.path(), "a", &["localhost"]);
    wait_for(|| outcome(&registry, "reloaded") > 0).await;
    assert_eq!(
        shake(&store, "localhost", &[&new], &rustls::version::TLS13)
            .await
            .unwrap()
            .certificate,
        new
    );
    trigger.trigger();
    watching.await.unwrap().unwrap();
}

fn outcome(registry: &prometheus::Registry, outcome: &str) -> u64 {
    registry
        .gather()
        .iter()
        .flat_map(|family| family.get_metric())
        .filter(|metric| {
            metric
                .get_label()
                .iter()
                .any(|label| label.value() == outcome)
        })
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

async fn wait_for(state: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if state() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the state did not come within two minutes");
}
