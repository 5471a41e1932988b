//! Tokens that are what they say, and the claims that decide.

use std::collections::BTreeMap;
use std::time::Duration;

use mcsp_api::Role;
use mcsp_auth_edge::{TokenError, TokenPolicy, TokenVerifier, issuer_of};
use mcsp_runtime::ManualClock;
use serde_json::json;

use crate::support::{
    GL, NG, NOW_S, RSA_GL, RSA_NG, USER, claims, claims_with, ed25519, es256, jwks, sign, verifier,
};

#[test]
fn a_good_token_tells_the_viewer() {
    let (verifier, _) = verifier();
    let token = sign(
        &RSA_NG,
        &claims_with("org", json!("o_ng_01k9x3m5y8q2v7r4t6w1z0a3bc")),
    );
    let viewer = verifier.verify(&token).expect("a viewer");
    assert_eq!(viewer.user_id.as_str(), USER);
    assert_eq!(viewer.user_id.region().as_str(), "ng");
    assert_eq!(viewer.role, Role::Creator);
    assert_eq!(viewer.session_id, "s1");
    assert_eq!(viewer.expires_s, NOW_S + 900);
    assert!(viewer.organisation_id.is_some());
}

#[test]
fn each_allowed_algorithm_verifies() {
    for key in [es256("k"), ed25519("k")] {
        let clock = ManualClock::new(NOW_S * 1000);
        let verifier = TokenVerifier::new(TokenPolicy::for_regions([NG]), clock);
        verifier.set_keys(NG, &jwks(&[&key.jwk])).expect("keys");
        assert!(
            verifier.verify(&sign(&key, &claims())).is_ok(),
            "{:?}",
            key.algorithm
        );
    }
}

#[test]
fn times_are_checked_by_the_given_clock_with_bounded_skew() {
    let (verifier, clock) = verifier();
    let token = sign(&RSA_NG, &claims());
    clock.advance(Duration::from_secs(929));
    assert!(verifier.verify(&token).is_ok(), "within the skew");
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.verify(&token), Err(TokenError::Expired));

    clock.set(NOW_S * 1000);
    for name in ["nbf", "iat"] {
        assert!(
            verifier
                .verify(&sign(&RSA_NG, &claims_with(name, json!(NOW_S + 30))))
                .is_ok()
        );
        let early = sign(&RSA_NG, &claims_with(name, json!(NOW_S + 31)));
        assert_eq!(
            verifier.verify(&early),
            Err(TokenError::NotYetValid),
            "{name}"
        );
    }
}

#[test]
fn skew_beyond_the_bound_counts_as_the_bound() {
    let clock = ManualClock::new((NOW_S + 900 + 120) * 1000);
    let policy = TokenPolicy {
        skew_s: 86_400,
        ..TokenPolicy::for_regions([NG])
    };
    let verifier = TokenVerifier::new(policy, clock);
    verifier.set_keys(NG, &jwks(&[&RSA_NG.jwk])).expect("keys");
    assert_eq!(
        verifier.verify(&sign(&RSA_NG, &claims())),
        Err(TokenError::Expired)
    );
}

#[test]
fn extreme_times_neither_panic_nor_pass() {
    let (verifier, _) = verifier();
    for exp in [i64::MIN, -1, 0] {
        assert_eq!(
            verifier.verify(&sign(&RSA_NG, &claims_with("exp", json!(exp)))),
            Err(TokenError::Expired)
        );
    }
    assert!(
        verifier
            .verify(&sign(&RSA_NG, &claims_with("exp", json!(i64::MAX))))
            .is_ok()
    );
    for exp in [json!(1e300), json!("soon"), json!(null), json!(u64::MAX)] {
        assert_eq!(
            verifier.verify(&sign(&RSA_NG, &claims_with("exp", exp.clone()))),
            Err(TokenError::Malformed),
            "{exp}"
        );
    }
}

#[test]
fn the_audience_must_be_ours_exactly() {
    let (verifier, _) = verifier();
    for audience in [
        json!("mcsp"),
        json!("mcsp-api-admin"),
        json!("MCSP-API"),
        json!(""),
    ] {
        let token = sign(&RSA_NG, &claims_with("aud", audience.clone()));
        assert_eq!(
            verifier.verify(&token),
            Err(TokenError::Audience),
            "{audience}"
        );
    }
    for audience in [
        json!(["mcsp-api"]),
        json!(["mcsp-api", "other"]),
        json!(null),
    ] {
        let token = sign(&RSA_NG, &claims_with("aud", audience.clone()));
        assert_eq!(
            verifier.verify(&token),
            Err(TokenError::Malformed),
            "{audience}"
        );
    }
}

#[test]
fn a_region_signs_for_itself_only() {
    let (verifier, _) = verifier();
    assert_eq!(
        verifier.verify(&sign(&RSA_GL, &claims())),
        Err(TokenError::Issuer)
    );
    assert!(
        verifier
            .verify(&sign(&RSA_GL, &claims_with("iss", json!(issuer_of(GL)))))
            .is_ok()
    );

    let codes = BTreeMap::from([(GL.to_owned(), "gl".parse().expect("a code"))]);
    let verifier = verifier.with_region_codes(codes);
    let other_user = sign(&RSA_GL, &claims_with("iss", json!(issuer_of(GL))));
    assert_eq!(
        verifier.verify(&other_user),
        Err(TokenError::Issuer),
        "a Nigerian user signed by London"
    );
}

#[test]
fn every_claim_is_required() {
    let (verifier, _) = verifier();
    for name in [
        "iss", "aud", "sub", "role", "sid", "exp", "iat", "nbf", "jti",
    ] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        assert_eq!(
            verifier.verify(&sign(&RSA_NG, &claims)),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
    for (name, value) in [
        ("role", json!("root")),
        ("sub", json!("admin")),
        ("sid", json!("")),
    ] {
        assert_eq!(
            verifier.verify(&sign(&RSA_NG, &claims_with(name, value))),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
}

#[test]
fn a_revoked_session_is_refused() {
    let (verifier, _) = verifier();
    let token = sign(&RSA_NG, &claims());
    assert!(verifier.verify(&token).is_ok());
    verifier
        .revocations()
        .revoke_user_session("s1", NOW_S + 900);
    assert_eq!(verifier.verify(&token), Err(TokenError::Revoked));
    assert!(
        verifier
            .verify(&sign(&RSA_NG, &claims_with("sid", json!("s2"))))
            .is_ok()
    );
}

#[test]
fn the_age_of_keys_starts_over_when_they_are_set_or_confirmed() {
    let (verifier, clock) = verifier();
    clock.advance(Duration::from_secs(300));
    assert_eq!(verifier.keys_age(NG), Some(Duration::from_secs(300)));
    verifier.confirm_keys(NG);
    assert_eq!(verifier.keys_age(NG), Some(Duration::ZERO));
    assert_eq!(verifier.keys_age(GL), Some(Duration::from_secs(300)));
    assert_eq!(verifier.keys_age("nowhere"), None);
}

#[test]
fn without_keys_it_is_not_the_tokens_fault() {
    let verifier = TokenVerifier::new(
        TokenPolicy::for_regions([NG]),
        ManualClock::new(NOW_S * 1000),
    );
    let fault = verifier
        .verify(&sign(&RSA_NG, &claims()))
        .expect_err("no keys");
    assert_eq!(fault, TokenError::NoKeys);
    assert!(fault.is_retryable());
}
