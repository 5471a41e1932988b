//! Tokens that somebody made who may not (RFC 8725, and known attacks on JWT libraries).

use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_auth_edge::TokenError;
use mcsp_auth_edge::token::TOKEN_BYTES_MAX;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    RSA_NG, SigningKey, b64, claims, ed25519, es256, pem, rsa, sign, sign_raw, verifier,
};

fn header(alg: &str) -> Value {
    json!({ "alg": alg, "typ": "JWT", "kid": "ng-1" })
}

#[test]
fn no_algorithm_is_no_signature() {
    let (verifier, _) = verifier();
    let good = sign(&RSA_NG, &claims());
    let signature = good.rsplit('.').next().expect("a signature");
    let mut spellings: Vec<String> = (0..16_u8)
        .map(|upper| {
            let spell = |(at, letter): (usize, char)| match upper >> at & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter,
            };
            "none".chars().enumerate().map(spell).collect()
        })
        .collect();
    spellings.extend(["", " none", "none ", "no\u{0}ne", "nonе"].map(str::to_owned));
    for alg in &spellings {
        let unsigned = format!(
            "{}.{}.",
            b64(header(alg).to_string().as_bytes()),
            b64(claims().to_string().as_bytes())
        );
        assert!(verifier.verify(&unsigned).is_err(), "{alg:?}");
        assert!(
            verifier.verify(&format!("{unsigned}{signature}")).is_err(),
            "{alg:?} with a signature"
        );
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let (verifier, _) = verifier();
    let modulus = RSA_NG.jwk["n"].as_str().expect("a modulus");
    let public_pem = pem("RSA PUBLIC KEY", &RSA_NG.public_der);
    let secrets: [&[u8]; 4] = [
        &RSA_NG.public_der,
        public_pem.as_bytes(),
        modulus.as_bytes(),
        b"",
    ];
    for (alg, algorithm) in [
        ("HS256", Algorithm::HS256),
        ("HS384", Algorithm::HS384),
        ("HS512", Algorithm::HS512),
    ] {
        for secret in secrets {
            let forged = SigningKey {
                algorithm,
                encoding: EncodingKey::from_secret(secret),
                jwk: RSA_NG.jwk.clone(),
                public_der: Vec::new(),
            };
            let token = sign_raw(&forged, &header(alg), &claims());
            assert_eq!(verifier.verify(&token), Err(TokenError::Algorithm), "{alg}");
        }
    }
}

#[test]
fn a_key_does_one_algorithm_and_no_other() {
    let (verifier, _) = verifier();
    // The same RSA key would verify these, if the header decided.
    for (alg, algorithm) in [
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
    ] {
        let key = SigningKey {
            algorithm,
            encoding: RSA_NG.encoding.clone(),
            jwk: RSA_NG.jwk.clone(),
            public_der: Vec::new(),
        };
        assert_eq!(
            verifier.verify(&sign_raw(&key, &header(alg), &claims())),
            Err(TokenError::Algorithm),
            "{alg}"
        );
    }
    // Another key's token under the id of an RSA key.
    for key in [es256("ng-1"), ed25519("ng-1")] {
        assert_eq!(
            verifier.verify(&sign(&key, &claims())),
            Err(TokenError::Algorithm)
        );
    }
    // The header says RS256, the signature is by another RSA key.
    assert_eq!(
        verifier.verify(&sign(&rsa("ng-1"), &claims())),
        Err(TokenError::Signature)
    );
}

#[test]
fn keys_inside_the_token_are_never_looked_at() {
    let (verifier, _) = verifier();
    let own = rsa("mine");
    for (name, value) in [
        ("jwk", own.jwk.clone()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("zip", json!("DEF")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("x5t", json!("AAAA")),
        ("cty", json!("JWT")),
        ("enc", json!("A128GCM")),
        ("epk", json!({})),
        ("ALG", json!("none")),
    ] {
        for kid in ["mine", "ng-1"] {
            let mut header = header("RS256");
            header["kid"] = json!(kid);
            header[name] = value.clone();
            assert!(
                verifier
                    .verify(&sign_raw(&own, &header, &claims()))
                    .is_err(),
                "{name} {kid}"
            );
        }
    }
    // Not even when the rest is right: our own regions write no such parameters.
    for (name, value) in [
        ("b64", json!(false)),
        ("crit", json!(["b64"])),
        ("cty", json!("JWT")),
    ] {
        let mut header = header("RS256");
        header[name] = value;
        assert_eq!(
            verifier.verify(&sign_raw(&RSA_NG, &header, &claims())),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
    let mut header = header("RS256");
    header["jwk"] = own.jwk.clone();
    assert_eq!(
        verifier.verify(&sign_raw(&RSA_NG, &header, &claims())),
        Err(TokenError::Malformed)
    );
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let (verifier, _) = verifier();
    for kid in [
        json!("../../../../dev/null"),
        json!("/dev/null"),
        json!("ng-1\0"),
        json!("ng-1 "),
        json!("NG-1"),
        json!("' OR 1=1 --"),
        json!("http://attacker.example/key"),
    ] {
        let mut header = header("RS256");
        header["kid"] = kid.clone();
        assert_eq!(
            verifier.verify(&sign_raw(&RSA_NG, &header, &claims())),
            Err(TokenError::UnknownKey),
            "{kid}"
        );
    }
    for kid in [
        json!(null),
        json!(""),
        json!("k".repeat(129)),
        json!(1),
        json!(["ng-1"]),
    ] {
        let mut header = header("RS256");
        header["kid"] = kid.clone();
        assert_eq!(
            verifier.verify(&sign_raw(&RSA_NG, &header, &claims())),
            Err(TokenError::Malformed),
            "{kid}"
        );
    }
}

#[test]
fn another_kind_of_token_is_refused() {
    let (verifier, _) = verifier();
    for typ in ["JOSE", "dpop+jwt", "logout+jwt", ""] {
        let mut header = header("RS256");
        header["typ"] = json!(typ);
        assert_eq!(
            verifier.verify(&sign_raw(&RSA_NG, &header, &claims())),
            Err(TokenError::Malformed),
            "{typ:?}"
        );
    }
    let mut access = header("RS256");
    access["typ"] = json!("at+jwt");
    assert!(
        verifier
            .verify(&sign_raw(&RSA_NG, &access, &claims()))
            .is_ok()
    );
}

#[test]
fn length_is_bounded_before_anything_is_parsed() {
    let (verifier, _) = verifier();
    assert_eq!(
        verifier.verify(&"a".repeat(TOKEN_BYTES_MAX + 1)),
        Err(TokenError::TooLong)
    );
    assert_eq!(
        verifier.verify(&".".repeat(TOKEN_BYTES_MAX)),
        Err(TokenError::Malformed)
    );
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(
        verifier.verify(&format!("{}.{}.x", b64(deep.as_bytes()), b64(b"{}"))),
        Err(TokenError::Malformed)
    );
}

#[test]
fn every_single_change_of_a_character_is_seen() {
    let (verifier, _) = verifier();
    let token = sign(&RSA_NG, &claims());
    assert!(verifier.verify(&token).is_ok());
    for at in 0..token.len() {
        for replacement in ["A", "b", "-", "_", ".", "=", " "] {
            if token[at..].starts_with(replacement) {
                continue;
            }
            let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
            assert!(
                verifier.verify(&changed).is_err(),
                "character {at} became {replacement:?}"
            );
        }
        let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
        assert!(
            verifier.verify(&shorter).is_err(),
            "character {at} is missing"
        );
    }
    for tail in ["A", "=", ".", " ", "\n"] {
        assert!(verifier.verify(&format!("{token}{tail}")).is_err());
        assert!(verifier.verify(&format!("{tail}{token}")).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "\\PC{0,300}") {
        prop_assert!(verifier().0.verify(&text).is_err());
    }

    #[test]
    fn no_parts_panic_or_pass(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        claims in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let token = format!("{}.{}.{}", b64(&header), b64(&claims), b64(&signature));
        prop_assert!(verifier().0.verify(&token).is_err());
    }

    #[test]
    fn no_signature_but_the_keys_own_passes(signature in proptest::collection::vec(any::<u8>(), 0..300)) {
        let token = sign(&RSA_NG, &claims());
        let message = &token[..token.rfind('.').expect("a dot")];
        let forged = format!("{message}.{}", b64(&signature));
        prop_assert_eq!(verifier().0.verify(&forged), Err(TokenError::Signature));
    }
}
