//! TLS over loopback: the authority's file, what is negotiated, a source address.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcsp_loadtest_scenario::{AllowList, HttpVersion};
use mcsp_loadtest_wire::{Client, FailureKind, Link, Network, RunClock};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{get, limits};

#[tokio::test]
async fn a_node_is_believed_when_the_file_names_its_authority_and_sees_the_users_address() {
    let made =
        rcgen::generate_simple_self_signed(vec!["pop.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1_024];
            let _ = tls.read(&mut request).await;
            let body = peer.ip().to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.flush().await;
            // Keeps the connection until the user is gone.
            let _ = tls.read(&mut request).await;
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).expect("a file");
    let authority = format!("pop.test:{}", address.port());
    let resolve = BTreeMap::from([(authority.clone(), address)]);
    let target = format!("https://{authority}/a");
    for (file, version) in [
        (true, HttpVersion::H1),
        (true, HttpVersion::H2),
        (false, HttpVersion::H1),
    ] {
        let network = Network::new(
            RunClock::starting_now(),
            limits(),
            AllowList::loopback_only(),
            resolve.clone(),
            file.then_some(ca_file.as_path()),
        );
        let source = "127.0.0.9".parse().ok();
        let network = Arc::new(network.expect("a network"));
        let mut client = Client::new(network, version, source, Link::unbounded());
        let outcome = get(&mut client, &target).await;
        if !file {
            assert_eq!(outcome.unwrap_err().kind, FailureKind::Tls);
            continue;
        }
        let (answer, body) = outcome.expect("an answer");
        assert_eq!(body, b"127.0.0.9");
        assert!(answer.times.tls_us.is_some() && !answer.is_h2);
    }
}

#[test]
fn a_file_without_authorities_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, "nothing").expect("a file");
    let network = Network::new(
        RunClock::starting_now(),
        limits(),
        AllowList::loopback_only(),
        BTreeMap::new(),
        Some(&ca_file),
    );
    assert!(network.unwrap_err().to_string().contains("ca.pem"));
}
