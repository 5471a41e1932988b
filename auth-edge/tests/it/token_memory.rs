//! Tokens that are remembered are no better than they were.

use std::sync::Arc;
use std::time::Duration;

use mcsp_auth_edge::{TokenError, TokenPolicy, TokenVerifier};
use mcsp_runtime::ManualClock;
use serde_json::json;

use crate::support::{
    GL, NG, NOW_S, RSA_GL, RSA_NG, SigningKey, claims, claims_with, ed25519, jwks, sign, verifier,
};

fn of_one_region(key: &SigningKey) -> (TokenVerifier, Arc<ManualClock>) {
    let clock = ManualClock::new(NOW_S * 1000);
    let verifier = TokenVerifier::new(TokenPolicy::for_regions([NG]), clock.clone());
    verifier.set_keys(NG, &jwks(&[&key.jwk])).expect("keys");
    (verifier, clock)
}

#[test]
fn a_remembered_token_ends_with_its_time() {
    let (verifier, clock) = verifier();
    let token = sign(&RSA_NG, &claims());
    for _ in 0..3 {
        assert!(verifier.verify(&token).is_ok());
    }
    assert_eq!(verifier.remembered(), 1);
    clock.set((NOW_S - 31) * 1000);
    assert_eq!(verifier.verify(&token), Err(TokenError::NotYetValid));
    clock.set((NOW_S + 929) * 1000 + 999);
    assert!(verifier.verify(&token).is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(verifier.verify(&token), Err(TokenError::Expired));
}

#[test]
fn a_remembered_token_ends_with_its_session() {
    let (verifier, _) = verifier();
    let token = sign(&RSA_NG, &claims());
    assert!(verifier.verify(&token).is_ok());
    verifier
        .revocations()
        .revoke_user_session("s1", NOW_S + 900);
    assert_eq!(verifier.verify(&token), Err(TokenError::Revoked));
}

#[test]
fn a_remembered_token_ends_with_its_key() {
    let (verifier, _) = verifier();
    let token = sign(&RSA_NG, &claims());
    assert!(verifier.verify(&token).is_ok());
    let next = ed25519("ng-2");
    verifier
        .set_keys(NG, &jwks(&[&RSA_NG.jwk, &next.jwk]))
        .expect("keys");
    assert_eq!(verifier.remembered(), 0, "other keys, another memory");
    assert!(verifier.verify(&token).is_ok(), "by both");
    verifier.set_keys(NG, &jwks(&[&next.jwk])).expect("keys");
    assert_eq!(verifier.verify(&token), Err(TokenError::UnknownKey));
    // Another key under the same name.
    let mut impostor = next.jwk.clone();
    impostor["kid"] = json!("ng-1");
    verifier.set_keys(NG, &jwks(&[&impostor])).expect("keys");
    assert_eq!(verifier.verify(&token), Err(TokenError::Algorithm));
}

#[test]
fn the_same_keys_again_cost_nobody_a_signature() {
    let (verifier, _) = verifier();
    let token = sign(&RSA_NG, &claims());
    assert!(verifier.verify(&token).is_ok());
    verifier.set_keys(NG, &jwks(&[&RSA_NG.jwk])).expect("keys");
    verifier.set_keys(GL, &jwks(&[&RSA_GL.jwk])).expect("keys");
    assert_eq!(verifier.remembered(), 1);
}

#[test]
fn who_cannot_sign_fills_nothing() {
    let key = ed25519("k");
    let (verifier, _) = of_one_region(&key);
    let good = sign(&key, &claims());
    assert!(verifier.verify(&good).is_ok());
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    for number in 0..2_000_u32 {
        let forged = format!("{message}.{number:06}{}", &signature[6..]);
        assert!(verifier.verify(&forged).is_err(), "{number}");
    }
    // Signed, but of no use: expired, for others, or ended.
    verifier
        .revocations()
        .revoke_user_session("ended", NOW_S + 900);
    for (name, value) in [
        ("exp", json!(NOW_S - 100)),
        ("aud", json!("other")),
        ("iss", json!("urn:mcsp:region:other")),
        ("sid", json!("ended")),
        ("nbf", json!(NOW_S + 100)),
    ] {
        let useless = sign(&key, &claims_with(name, value));
        assert!(verifier.verify(&useless).is_err(), "{name}");
    }
    assert_eq!(verifier.remembered(), 1);
}

#[test]
fn keys_that_nobody_confirms_are_believed_for_their_time_only() {
    let key = ed25519("k");
    let (verifier, clock) = of_one_region(&key);
    let verifier = verifier.with_keys_age_max(Duration::from_secs(300));
    let lasting = sign(&key, &claims_with("exp", json!(NOW_S + 90_000)));
    assert!(verifier.verify(&lasting).is_ok());
    clock.advance(Duration::from_secs(300));
    assert!(verifier.verify(&lasting).is_ok(), "to the last");
    clock.advance(Duration::from_millis(1));
    for _ in 0..2 {
        let fault = verifier.verify(&lasting).expect_err("too old");
        assert_eq!(fault, TokenError::KeysUnavailable);
        assert!(fault.is_unavailable() && fault.is_retryable());
    }
    verifier.confirm_keys(NG);
    assert!(verifier.verify(&lasting).is_ok());
    clock.advance(Duration::from_secs(301));
    verifier.set_keys(NG, &jwks(&[&key.jwk])).expect("keys");
    assert!(verifier.verify(&lasting).is_ok());
    // A token's own end is never moved by the age of keys.
    let ending = sign(&key, &claims());
    clock.advance(Duration::from_secs(299));
    assert_eq!(
        verifier.verify(&ending),
        Ok(verifier.verify(&ending).expect("a viewer"))
    );
    clock.advance(Duration::from_secs(31));
    verifier.confirm_keys(NG);
    assert_eq!(verifier.verify(&ending), Err(TokenError::Expired));
}
