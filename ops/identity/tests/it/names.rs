//! Which certificates name a workload.

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use rustls::pki_types::CertificateDer;

use crate::support::{Authority, id};

fn certificate(uris: &[&str], is_ca: IsCa) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    for uri in uris {
        params
            .subject_alt_names
            .push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
    }
    params.is_ca = is_ca;
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .clone()
}

#[test]
fn exactly_one_name_of_our_trust_domain() {
    let identity = Authority::new().identity("ng-lagos", "auth");
    let peer = |uris: &[&str]| identity.peer_of(&[certificate(uris, IsCa::NoCa)]);
    const GOOD: &str = "spiffe://mcsp.internal/ns/edge/sa/los1";
    assert_eq!(peer(&[GOOD]).unwrap(), id("edge", "los1"));
    for uris in [
        vec![],
        vec![GOOD, "spiffe://mcsp.internal/ns/edge/sa/abv1"],
        vec![GOOD, GOOD],
        vec![GOOD, "https://mcsp.example/"],
        vec!["https://mcsp.example/"],
        vec!["spiffe://mcsp.internal/ns/edge"],
        vec!["spiffe://other.example/ns/edge/sa/los1"],
    ] {
        assert!(peer(&uris).is_err(), "{uris:?}");
    }
}

#[test]
fn neither_an_authority_nor_nothing_is_a_workload() {
    let identity = Authority::new().identity("ng-lagos", "auth");
    let authority = certificate(
        &["spiffe://mcsp.internal/ns/edge/sa/los1"],
        IsCa::Ca(BasicConstraints::Unconstrained),
    );
    assert!(identity.peer_of(&[authority]).is_err());
    assert!(identity.peer_of(&[]).is_err());
    assert!(
        identity
            .peer_of(&[CertificateDer::from(vec![1, 2, 3])])
            .is_err()
    );
}
