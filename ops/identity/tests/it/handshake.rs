//! Who gets a connection and who does not.

use std::sync::Arc;

use mcsp_identity::{LocalCa, WorkloadIdentity};
use mcsp_runtime::{ManualClock, SystemEntropy};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::support::{Authority, id, meet};

const NAME: &str = "auth.ng-lagos.mcsp.internal";

#[tokio::test]
async fn both_ends_learn_the_others_name() {
    let authority = Authority::new();
    let server = authority.identity("ng-lagos", "auth");
    let client = authority.identity("edge", "los1");
    let met = meet(
        server
            .server_config(&[b"h2", b"http/1.1".as_slice()])
            .unwrap(),
        client.client_config(&[b"h2"]).unwrap(),
        NAME,
    )
    .await
    .expect("a connection");
    assert_eq!(
        server.peer_of(&met.client_chain).unwrap(),
        id("edge", "los1")
    );
    assert_eq!(
        client.peer_of(&met.server_chain).unwrap(),
        id("ng-lagos", "auth")
    );
    assert_eq!(met.alpn.as_deref(), Some(b"h2".as_slice()));
    // The machine's own name, for a person with a browser.
    assert!(
        meet(
            server.server_config(&[]).unwrap(),
            client.client_config(&[]).unwrap(),
            "localhost"
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn a_server_of_another_name_or_another_authority_is_refused() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let client = authority
        .identity("edge", "los1")
        .client_config(&[])
        .unwrap();
    let server = authority
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    assert!(
        meet(
            server,
            Arc::clone(&client),
            "auth.global-london.mcsp.internal"
        )
        .await
        .is_err()
    );
    let forged = stranger
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    assert!(meet(forged, client, NAME).await.is_err());
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let server = authority
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    // It trusts our authority, so that only the server has a reason to refuse.
    let client = bare_client(&authority, Some(&stranger), &TLS13);
    assert!(meet(server, client, NAME).await.is_err());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let server = authority
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    assert!(
        meet(server, bare_client(&authority, None, &TLS13), NAME)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let authority = Authority::new();
    let server = authority
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    let with = |version| bare_client(&authority, Some(&authority), version);
    assert!(meet(Arc::clone(&server), with(&TLS12), NAME).await.is_err());
    assert!(
        meet(server, with(&TLS13), NAME).await.is_ok(),
        "the same client with 1.3"
    );
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let server = authority
        .identity("ng-lagos", "auth")
        .server_config(&[])
        .unwrap();
    // An authority that believes it is 40 days ago issues what has expired by now.
    let now_ms = mcsp_runtime::SystemClock::shared().now_ms();
    let past = ManualClock::new(now_ms - 40 * 86_400_000);
    let ca = LocalCa::create_or_open_with(
        &authority.dir.path().join("ca"),
        past,
        SystemEntropy::shared(),
    )
    .unwrap();
    let files = ca
        .issue(&id("edge", "los1"), &[], &authority.dir.path().join("old"))
        .unwrap();
    let client = WorkloadIdentity::load(&files.config())
        .unwrap()
        .client_config(&[])
        .unwrap();
    assert!(meet(server, client, NAME).await.is_err());
}

/// A client that knows nothing of our rules: trusts `authority`, presents a certificate of `issuer`.
fn bare_client(
    authority: &Authority,
    issuer: Option<&Authority>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.ca.cert_pem().as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match issuer {
        None => builder.with_no_client_auth(),
        Some(issuer) => {
            let files = issuer.issue("edge", "los1");
            let cert = CertificateDer::from_pem_file(&files.cert_file).unwrap();
            let key = PrivateKeyDer::from_pem_file(&files.key_file).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    Arc::new(config)
}
