//! Signed URIs (RFC 9246) of partners: one token has one text, and one reading.

use jsonwebtoken::Algorithm;
use mcsp_auth_edge::MediaTokenError;
use mcsp_auth_edge::media::partner::UriClaims;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::partner_support::{Ask, World, secret};
use crate::partner_uri_support::{claims, hmac_key, raw, signed, value};
use crate::support::b64;

#[test]
fn headers_are_read_narrowly() {
    let world = World::with_secret();
    let header = json!({ "alg": "HS256", "kid": "k1" });
    assert!(
        world
            .verify(&raw(&header, &value(&claims())), &Ask::default())
            .is_ok()
    );
    // One key, so its name may be left out; what is not critical and not understood is ignored.
    for harmless in [
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS256", "kid": "k1", "new": 1, "cty": "x" }),
    ] {
        assert!(
            world
                .verify(&raw(&harmless, &value(&claims())), &Ask::default())
                .is_ok(),
            "{harmless}"
        );
    }
    for (name, wrong) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("jku", json!("https://attacker.example")),
        ("jwk", secret("k1")),
        ("x5u", json!("https://attacker.example")),
        ("x5c", json!(["MIIB"])),
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("hs256")),
        ("typ", json!("dpop+jwt")),
        ("kid", json!("")),
    ] {
        let mut header = header.clone();
        header[name] = wrong.clone();
        let fault = world.fault(&raw(&header, &value(&claims())), &Ask::default());
        assert_eq!(fault, Some(MediaTokenError::Malformed), "{name}: {wrong}");
    }
    let unsigned = format!(
        "{}.{}.",
        b64(br#"{"alg":"none"}"#),
        b64(value(&claims()).to_string().as_bytes())
    );
    assert_eq!(
        world.fault(&unsigned, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
}

/// What is there and says nothing would lift what it was to restrict.
#[test]
fn a_claim_that_is_null_is_not_one_that_is_absent() {
    let world = World::with_secret();
    let header = json!({ "alg": "HS256", "kid": "k1" });
    for name in [
        "iss",
        "aud",
        "exp",
        "nbf",
        "jti",
        "cdniv",
        "cdnicrit",
        "cdniip",
        "cdniuc",
        "cdniets",
        "cdnistt",
        "cdnistd",
        "mcsp_session",
        "mcsp_height",
        "mcsp_audio_kbps",
    ] {
        let mut claims = value(&claims());
        claims[name] = Value::Null;
        let fault = world.fault(&raw(&header, &claims), &Ask::default());
        let is_once = name == "jti";
        let wanted = if is_once {
            MediaTokenError::Unsupported
        } else {
            MediaTokenError::Malformed
        };
        assert_eq!(fault, Some(wanted), "{name}");
    }
}

/// One token has one text, and one reading.
#[test]
fn text_that_decoders_differ_on_is_refused() {
    let world = World::with_secret();
    let good = signed(&claims());
    assert!(world.verify(&good, &Ask::default()).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let mut texts = vec![
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}..{payload}.{signature}"),
        // A nested JWE has five parts (RFC 7516 section 7.1), with or without a key.
        format!("{header}..{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{payload}.{signature}.{signature}"),
        format!("{header}.{}.{signature}", b64(good.as_bytes())),
    ];
    // The last character of the signature has bits that are no part of it.
    let last = signature.bytes().last().expect("a signature");
    for other in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/" {
        if *other != last {
            let short = &good[..good.len() - 1];
            texts.push(format!("{short}{}", char::from(*other)));
        }
    }
    for text in texts {
        assert!(world.fault(&text, &Ask::default()).is_some(), "{text}");
    }
    // Names that occur twice in a header: readers differ on which counts.
    for header in [
        r#"{"alg":"none","alg":"HS256","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":"k2","kid":"k1"}"#,
        r#"{"alg":"HS256","\u0061lg":"none","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":"k1"} {}"#,
    ] {
        let message = format!("{}.{payload}", b64(header.as_bytes()));
        let key = hmac_key();
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key.encoding, Algorithm::HS256);
        let token = format!("{message}.{}", signature.expect("a signature"));
        let fault = world.fault(&token, &Ask::default());
        assert_eq!(fault, Some(MediaTokenError::Malformed), "{header}");
    }
}

#[test]
fn a_claim_twice_is_refused() {
    let world = World::with_secret();
    let twice = value(&claims())
        .to_string()
        .replacen('{', "{\"cdniuc\":\"regex:.*\",", 1);
    let message = format!(
        "{}.{}",
        b64(br#"{"alg":"HS256","kid":"k1"}"#),
        b64(twice.as_bytes())
    );
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &hmac_key().encoding, Algorithm::HS256)
            .expect("a signature");
    assert_eq!(
        world.fault(&format!("{message}.{signature}"), &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "[A-Za-z0-9_.-]{0,300}", any_text in "\\PC{0,100}") {
        let world = World::with_secret();
        prop_assert!(world.verify(&text, &Ask::default()).is_err());
        prop_assert!(world.verify(&any_text, &Ask::default()).is_err());
    }

    #[test]
    fn no_signed_container_panics(container in "\\PC{0,60}") {
        let world = World::with_secret();
        let token = signed(&UriClaims { cdniuc: format!("regex:{container}"), ..claims() });
        let _ = world.verify(&token, &Ask::default());
    }
}
