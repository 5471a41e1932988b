//! New files without a restart.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::{Authority, meet, read};

const NAME: &str = "auth.ng-lagos.mcsp.internal";

#[tokio::test]
async fn both_ends_present_the_new_certificate_from_the_next_handshake_on() {
    let authority = Authority::new();
    let (server, client) = (
        authority.identity("ng-lagos", "auth"),
        authority.identity("edge", "los1"),
    );
    let (server_config, client_config) = (
        server.server_config(&[]).unwrap(),
        client.client_config(&[]).unwrap(),
    );
    let before = meet(server_config.clone(), client_config.clone(), NAME)
        .await
        .unwrap();

    let server_files = authority.issue("ng-lagos", "auth");
    let client_files = authority.issue("edge", "los1");
    let unread = meet(server_config.clone(), client_config.clone(), NAME)
        .await
        .unwrap();
    assert_eq!(
        unread.server_chain, before.server_chain,
        "nothing changes by itself"
    );

    server.reload().unwrap();
    client.reload().unwrap();
    let after = meet(server_config, client_config, NAME).await.unwrap();
    let cert = |path| CertificateDer::from_pem_file(path).unwrap();
    assert_eq!(after.server_chain[0], cert(&server_files.cert_file));
    assert_eq!(after.client_chain[0], cert(&client_files.cert_file));
    assert_eq!(server.cert_chain_pem(), read(&server_files.cert_file));
    assert_eq!(server.key_pem(), read(&server_files.key_file));
}

#[tokio::test]
async fn a_new_authority_is_believed_and_the_old_one_no_longer() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = old.identity("ng-lagos", "auth");
    let server_config = server.server_config(&[]).unwrap();
    let new_files = new.issue("ng-lagos", "auth");
    let config = server.config();
    for (from, to) in [
        (&new_files.cert_file, &config.cert_file),
        (&new_files.key_file, &config.key_file),
        (&new_files.ca_file, &config.ca_file),
    ] {
        fs::copy(from, to).unwrap();
    }
    server.reload().unwrap();
    let of_new = new.identity("edge", "los1").client_config(&[]).unwrap();
    assert!(meet(server_config.clone(), of_new, NAME).await.is_ok());
    let of_old = old.identity("edge", "los1").client_config(&[]).unwrap();
    assert!(meet(server_config, of_old, NAME).await.is_err());
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let authority = Authority::new();
    let identity = authority.identity("ng-lagos", "auth");
    let before = identity.cert_chain_pem();
    let config = identity.config().clone();
    // A key alone, as in the middle of a replacement.
    let key = read(&config.key_file);
    fs::write(
        &config.key_file,
        read(&authority.issue("ng-lagos", "other").key_file),
    )
    .unwrap();
    assert!(identity.reload().is_err());
    fs::write(&config.key_file, key).unwrap();
    identity.reload().expect("whole again");
    // Another workload's files.
    let other = authority.issue("ng-lagos", "other");
    fs::copy(other.cert_file, &config.cert_file).unwrap();
    fs::copy(other.key_file, &config.key_file).unwrap();
    let error = identity.reload().expect_err("another name").to_string();
    assert!(
        error.contains("sa/other") && error.contains("sa/auth"),
        "{error}"
    );
    assert_eq!(identity.cert_chain_pem(), before);
}
