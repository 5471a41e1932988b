//! Tokens in forms that some readers take for others: twice the same name, other types, other encodings, other signatures.

use jsonwebtoken::Algorithm;
use mcsp_auth_edge::TokenError;
use serde_json::json;

use crate::support::{NG, RSA_NG, b64, claims, es256, jwks, sign, unb64, verifier};

fn header(alg: &str) -> serde_json::Value {
    json!({ "alg": alg, "typ": "JWT", "kid": "ng-1" })
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
        .set_keys(NG, &jwks(&[&RSA_NG.jwk, &key.jwk]))
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
