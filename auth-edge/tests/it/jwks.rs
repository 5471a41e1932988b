//! Key sets as regions publish them.

use mcsp_auth_edge::token::{JWKS_BYTES_MAX, KEYS_PER_REGION_MAX};
use mcsp_auth_edge::{KeySetError, TokenError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{GL, NG, RSA_GL, RSA_NG, claims, ed25519, es256, jwks, sign, verifier};

#[test]
fn replacing_a_set_replaces_that_region_only() {
    let (verifier, _) = verifier();
    let next = es256("ng-2");
    verifier
        .set_keys(NG, &jwks(&[&RSA_NG.jwk, &next.jwk]))
        .expect("current and next");
    assert!(verifier.verify(&sign(&RSA_NG, &claims())).is_ok());
    assert!(verifier.verify(&sign(&next, &claims())).is_ok());

    verifier
        .set_keys(NG, &jwks(&[&next.jwk]))
        .expect("the next alone");
    assert_eq!(
        verifier.verify(&sign(&RSA_NG, &claims())),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(
        verifier.verify(&sign(&RSA_GL, &claims())),
        Err(TokenError::Issuer),
        "still held"
    );
}

#[test]
fn a_region_can_disown_all_its_keys() {
    let (verifier, _) = verifier();
    verifier
        .set_keys(NG, r#"{"keys":[]}"#)
        .expect("an empty set");
    assert_eq!(
        verifier.verify(&sign(&RSA_NG, &claims())),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_refused_set_changes_nothing() {
    let (verifier, _) = verifier();
    let mut leaked = RSA_NG.jwk.clone();
    leaked["d"] = json!("AQAB");
    let mut nameless = RSA_NG.jwk.clone();
    nameless.as_object_mut().expect("an object").remove("kid");
    let mut lying = RSA_NG.jwk.clone();
    lying["alg"] = json!("ES256");
    let mut short = RSA_NG.jwk.clone();
    short["n"] = json!("A".repeat(171));
    let secret = json!({ "kty": "oct", "kid": "k", "k": "c2VjcmV0" });
    let mut trivial = RSA_NG.jwk.clone();
    trivial["e"] = json!("AQ");
    let mut even = RSA_NG.jwk.clone();
    even["e"] = json!("AAQ");
    let mut off_curve = es256("ec").jwk;
    off_curve["y"] = off_curve["x"].clone();
    let mut other_curve = es256("ec").jwk;
    other_curve["crv"] = json!("P-384");
    let many: Vec<Value> = (0..=KEYS_PER_REGION_MAX)
        .map(|i| ed25519(&format!("k{i}")).jwk)
        .collect();
    let many: Vec<&Value> = many.iter().collect();
    let bad_sets = [
        jwks(&[&RSA_NG.jwk, &leaked]),
        jwks(&[&nameless]),
        jwks(&[&lying]),
        jwks(&[&short]),
        jwks(&[&secret]),
        jwks(&[&trivial]),
        jwks(&[&even]),
        jwks(&[&off_curve]),
        jwks(&[&other_curve]),
        jwks(&[&RSA_NG.jwk, &RSA_NG.jwk]),
        jwks(&many),
        jwks(&[&json!({ "kty": "new", "kid": "k" })]),
        "{}".to_owned(),
        "[]".to_owned(),
        String::new(),
        r#"{"keys":{}}"#.to_owned(),
        format!("{{\"keys\":[]{}}}", " ".repeat(JWKS_BYTES_MAX)),
    ];
    for set in bad_sets {
        let fault = verifier.set_keys(NG, &set).expect_err("a bad set");
        assert!(!fault.is_retryable());
        assert!(
            !fault.to_string().contains("AQAB\""),
            "no key material in messages"
        );
        assert!(
            verifier.verify(&sign(&RSA_NG, &claims())).is_ok(),
            "{fault}"
        );
    }
    assert!(matches!(
        verifier.set_keys("elsewhere", &jwks(&[&RSA_NG.jwk])),
        Err(KeySetError::UnknownRegion(_))
    ));
}

#[test]
fn keys_we_do_not_know_are_left_out() {
    let (verifier, _) = verifier();
    let unknown = json!({ "kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AA" });
    let mut encryption = RSA_GL.jwk.clone();
    encryption["use"] = json!("enc");
    verifier
        .set_keys(NG, &jwks(&[&unknown, &encryption, &RSA_NG.jwk]))
        .expect("one good key");
    assert!(verifier.verify(&sign(&RSA_NG, &claims())).is_ok());
}

#[test]
fn two_regions_may_use_the_same_key_id() {
    let (verifier, _) = verifier();
    let mut other = RSA_GL.jwk.clone();
    other["kid"] = json!("ng-1");
    verifier.set_keys(GL, &jwks(&[&other])).expect("keys");
    assert!(verifier.verify(&sign(&RSA_NG, &claims())).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = verifier().0.set_keys(NG, &text);
    }

    #[test]
    fn no_key_panics(kty in "RSA|EC|OKP|oct", n in "[A-Za-z0-9_=-]{0,400}", e in "\\PC{0,8}") {
        let key = json!({ "kty": kty, "kid": "k", "crv": "P-256", "n": n, "e": e, "x": n, "y": e });
        let (verifier, _) = verifier();
        let _ = verifier.set_keys(NG, &jwks(&[&key]));
        let _ = verifier.verify(&sign(&RSA_NG, &claims()));
    }
}
