//! The authority's files and what it issues.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use mcsp_identity::{LocalCa, WorkloadIdentity};
use mcsp_runtime::{ManualClock, SeededEntropy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::{Authority, id, read};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path)
        .expect("a file")
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn keys_are_for_their_owner_only() {
    let authority = Authority::new();
    let files = authority.issue("ng-lagos", "auth");
    assert_eq!(mode(&files.key_file), 0o600);
    assert_eq!(mode(&authority.dir.path().join("ca/ca-key.pem")), 0o600);
    assert!(!read(&files.ca_file).contains("PRIVATE KEY"));
    assert!(!read(&authority.dir.path().join("ca/ca.pem")).contains("PRIVATE KEY"));
    let left: Vec<_> = std::fs::read_dir(files.key_file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "no temporary files: {left:?}");
}

#[test]
fn a_certificate_is_for_one_workload_at_both_ends_and_bounded_in_time() {
    let clock = ManualClock::new(1_800_000_000_000);
    let dir = TempDir::new().unwrap();
    let ca = LocalCa::create_or_open_with(dir.path(), clock, SeededEntropy::new(1)).unwrap();
    let files = ca
        .with_validity_days(7)
        .issue(
            &id("edge", "los1"),
            &["los1.example"],
            &dir.path().join("los1"),
        )
        .unwrap();
    let der = CertificateDer::from_pem_file(&files.cert_file).unwrap();
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(cert.validity().not_before.timestamp(), 1_800_000_000 - 300);
    assert_eq!(
        cert.validity().not_after.timestamp(),
        1_800_000_000 + 7 * 86_400
    );
    assert!(!cert.is_ca());
    let usage = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let names: Vec<String> = cert
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::URI(uri) => format!("uri:{uri}"),
            GeneralName::DNSName(dns) => format!("dns:{dns}"),
            other => panic!("unexpected name {other:?}"),
        })
        .collect();
    assert_eq!(
        names,
        [
            "uri:spiffe://mcsp.internal/ns/edge/sa/los1",
            "dns:los1.edge.mcsp.internal",
            "dns:localhost",
            "dns:los1.example"
        ]
    );
}

#[test]
fn serial_numbers_differ() {
    let authority = Authority::new();
    let serial = |_| {
        let files = authority.issue("ng-lagos", "auth");
        let der = CertificateDer::from_pem_file(&files.cert_file).unwrap();
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        cert.raw_serial_as_string()
    };
    let serials: std::collections::BTreeSet<_> = (0..8).map(serial).collect();
    assert_eq!(serials.len(), 8);
}

#[test]
fn an_authority_is_opened_again_and_made_once_by_many() {
    let dir = TempDir::new().unwrap();
    let barrier = Barrier::new(8);
    let certs: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    LocalCa::create_or_open(dir.path())
                        .unwrap()
                        .cert_pem()
                        .to_owned()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(certs.iter().all(|cert| *cert == certs[0]));
    assert_eq!(read(&dir.path().join("ca.pem")), certs[0]);
}

#[test]
fn a_damaged_authority_is_an_error_not_a_new_authority() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ca-key.pem");
    drop(LocalCa::create_or_open(dir.path()).unwrap());
    let whole = read(&path);
    for damaged in ["", "x", &whole[..whole.len() / 2]] {
        std::fs::write(&path, damaged).unwrap();
        let error = LocalCa::create_or_open(dir.path())
            .expect_err("damaged")
            .to_string();
        assert!(error.contains("ca-key.pem"), "{error}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let authority = Authority::new();
    let (a, b) = (
        authority.issue("ng-lagos", "a"),
        authority.issue("ng-lagos", "b"),
    );
    let mut config = a.config();
    config.key_file = b.key_file;
    let error = WorkloadIdentity::load(&config)
        .expect_err("another's key")
        .to_string();
    assert!(
        error.contains("b/key.pem") && error.contains("does not fit"),
        "{error}"
    );
    config = a.config();
    config.cert_file = a.ca_file.clone();
    assert!(
        WorkloadIdentity::load(&config).is_err(),
        "an authority is no workload"
    );
    config = a.config();
    config.ca_file = a.ca_file.with_file_name("absent.pem");
    let error = WorkloadIdentity::load(&config).expect_err("no file");
    assert!(error.to_string().contains("absent.pem") && error.is_retryable());
}

#[test]
fn debug_output_holds_no_key() {
    let authority = Authority::new();
    let identity = authority.identity("ng-lagos", "auth");
    let shown = format!("{identity:?} {:?}", authority.ca);
    assert!(
        shown.contains("ns/ng-lagos/sa/auth") && !shown.contains("PRIVATE"),
        "{shown}"
    );
}

#[test]
fn validity_is_at_least_a_day() {
    let clock = ManualClock::new(0);
    clock.advance(Duration::from_secs(1_800_000_000));
    let dir = TempDir::new().unwrap();
    let ca = LocalCa::create_or_open_with(dir.path(), clock, SeededEntropy::new(2)).unwrap();
    let files = ca
        .with_validity_days(0)
        .issue(&id("a", "b"), &[], &dir.path().join("b"))
        .unwrap();
    let der = CertificateDer::from_pem_file(&files.cert_file).unwrap();
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(
        cert.validity().not_after.timestamp(),
        1_800_000_000 + 86_400
    );
}
