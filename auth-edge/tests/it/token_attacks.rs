//! Tokens that somebody made who may not (RFC 8725, and known attacks on JWT libraries).

use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_auth_edge::TokenError;
use mcsp_auth_edge::token::TOKEN_BYTES_MAX;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    RSA_NG, SigningKey, b64, claims, ed25519, es256, jwks, pem, rsa, sign, sign_raw, unb64,
    verifier,
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
fn a_claim_twice_is_refused() {
    let (verifier, _) = verifier();
    let twice = claims()
        .to_string()
        .replacen('{', "{\"role\":\"platform_admin\",", 1);
    let message = format!(
        "{}.{}",
        b64(header("RS256").to_string().as_bytes()),
        b64(twice.as_bytes())
    );
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &RSA_NG.encoding, Algorithm::RS256)
            .expect("a signature");
    assert_eq!(
        verifier.verify(&format!("{message}.{signature}")),
        Err(TokenError::Malformed)
    );
}

#[test]
fn a_header_twice_is_refused() {
    let (verifier, _) = verifier();
    for header in [
        r#"{"alg":"none","alg":"RS256","typ":"JWT","kid":"ng-1"}"#,
        r#"{"alg":"RS256","typ":"JWT","kid":"other","kid":"ng-1"}"#,
        r#"{"alg":"RS256","typ":"JWT","kid":"ng-1"}{}"#,
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"ng-1\"}\0",
        "\u{feff}{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"ng-1\"}",
        r#"["RS256"]"#,
        "null",
    ] {
        let token = sign_text(header, &claims().to_string());
        assert_eq!(
            verifier.verify(&token),
            Err(TokenError::Malformed),
            "{header}"
        );
    }
}

/// Any text as header and claims, signed by the region's own key.
fn sign_text(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &RSA_NG.encoding, Algorithm::RS256)
            .expect("a signature");
    format!("{message}.{signature}")
}

#[test]
fn claims_have_one_type_and_are_all_there() {
    let (verifier, _) = verifier();
    let exp = claims()["exp"].as_i64().expect("a number");
    for (name, values) in [
        (
            "exp",
            vec![
                json!(exp as f64 + 0.5),
                json!(exp.to_string()),
                json!([exp]),
                json!({}),
                json!(true),
                json!(u64::MAX),
                json!(1e19),
                json!(null),
            ],
        ),
        ("nbf", vec![json!("0"), json!(0.5), json!(null)]),
        (
            "aud",
            vec![
                json!(["mcsp-api"]),
                json!(["mcsp-api", "x"]),
                json!({}),
                json!(null),
            ],
        ),
        (
            "sub",
            vec![
                json!(["u"]),
                json!("c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc"),
                json!(""),
            ],
        ),
        (
            "role",
            vec![
                json!("root"),
                json!("CREATOR"),
                json!(["creator"]),
                json!(null),
            ],
        ),
        (
            "sid",
            vec![json!(""), json!("s".repeat(129)), json!(1), json!(null)],
        ),
    ] {
        for value in values {
            let mut wrong = claims();
            wrong[name] = value.clone();
            assert_eq!(
                verifier.verify(&sign(&RSA_NG, &wrong)),
                Err(TokenError::Malformed),
                "{name}: {value}"
            );
        }
        let mut lacking = claims();
        lacking.as_object_mut().expect("an object").remove(name);
        assert_eq!(
            verifier.verify(&sign(&RSA_NG, &lacking)),
            Err(TokenError::Malformed),
            "without {name}"
        );
    }
    // Nested: the payload is a token, or a text of claims, or has something behind it.
    let header = header("RS256").to_string();
    for payload in [
        sign(&RSA_NG, &claims()),
        json!(claims().to_string()).to_string(),
        format!("[{}]", claims()),
        format!("{} {{}}", claims()),
        format!("{}\u{0}", claims()),
        "[".repeat(1500),
        format!("{{\"deep\":{}}}", "[".repeat(1400)),
    ] {
        assert_eq!(
            verifier.verify(&sign_text(&header, &payload)),
            Err(TokenError::Malformed)
        );
    }
}

#[test]
fn signatures_that_psychics_write() {
    let (verifier, _) = verifier();
    let key = es256("ec");
    verifier
        .set_keys(crate::support::NG, &jwks(&[&RSA_NG.jwk, &key.jwk]))
        .expect("keys");
    let good = sign(&key, &claims());
    assert!(verifier.verify(&good).is_ok());
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let raw = unb64(signature);
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let zero = [0; 32];
    let (r, s) = raw.split_at(32);
    // The same signature as ASN.1 writes it (RFC 3279).
    let integer = |value: &[u8]| {
        let padded: Vec<u8> = [&[0], value].concat();
        [&[2, padded.len() as u8], &padded[..]].concat()
    };
    let sequence = [integer(r), integer(s)].concat();
    let der = [&[0x30, sequence.len() as u8], &sequence[..]].concat();
    for forged in [
        [zero, zero].concat(),
        [&zero[..], s].concat(),
        [r, &zero[..]].concat(),
        [ORDER, ORDER].concat(),
        [&ORDER[..], s].concat(),
        [r, &ORDER[..]].concat(),
        vec![0xff; 64],
        vec![0; 64],
        vec![0; 1],
        vec![],
        der,
        [&raw[..], &[0]].concat(),
        [&[0], &raw[..]].concat(),
        raw[..63].to_vec(),
        [s, r].concat(),
    ] {
        assert_eq!(
            verifier.verify(&format!("{message}.{}", b64(&forged))),
            Err(TokenError::Signature),
            "{forged:02x?}"
        );
    }
}

#[test]
fn base64_has_one_form() {
    let (verifier, _) = verifier();
    let good = sign(&RSA_NG, &claims());
    let parts: Vec<&str> = good.split('.').collect();
    for at in 0..3 {
        for change in [
            |part: &str| format!("{part}="),
            |part: &str| format!("{part}=="),
            |part: &str| format!(" {part}"),
            |part: &str| format!("{part}\n"),
            |part: &str| format!("{part}\t"),
            |part: &str| format!("{}\r\n{}", &part[..4], &part[4..]),
            |part: &str| part.replace('-', "+").replace('_', "/") + "+",
        ] {
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            parts[at] = change(&parts[at]);
            assert!(verifier.verify(&parts.join(".")).is_err(), "part {at}");
        }
    }
    // 256 bytes of signature leave 4 bits of the last character unused: each of the 15 other texts is another token.
    let (head, last) = good.split_at(good.len() - 1);
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        if !last.starts_with(other) {
            assert!(
                verifier.verify(&format!("{head}{other}")).is_err(),
                "{other}"
            );
        }
    }
    // Another serialization (RFC 7515 section 7.2) of the very same token.
    let json = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] });
    assert_eq!(
        verifier.verify(&json.to_string()),
        Err(TokenError::Malformed)
    );
    // Detached, encrypted, cut.
    for text in [
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{good}.{}.{}", parts[1], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
    ] {
        assert!(verifier.verify(&text).is_err(), "{text}");
    }
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
