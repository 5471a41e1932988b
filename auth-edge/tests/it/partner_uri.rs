//! Signed URIs (RFC 9246) of partners.

use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_auth_edge::MediaTokenError;
use mcsp_auth_edge::media::TokenKind;
use mcsp_auth_edge::media::partner::{Audience, UriClaims, sign_uri};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::partner_support::{
    ADDRESS_KEY, AUDIENCE, Ask, CONTENT, ISSUER, OTHER, SECRET, World, config, key_pairs, partner,
    secret,
};
use crate::support::{NOW_S, SigningKey, b64, sign_raw};

fn claims() -> UriClaims {
    UriClaims {
        iss: Some(ISSUER.to_owned()),
        exp: Some((NOW_S + 600) as f64),
        cdniuc: format!("regex:https://los1\\.example/media/global/{CONTENT}/.*"),
        ..UriClaims::default()
    }
}

fn signed(claims: &UriClaims) -> String {
    sign_uri(
        claims,
        "k1",
        Algorithm::HS256,
        &EncodingKey::from_secret(&SECRET),
    )
    .expect("a token")
}

/// The secret as the tests' other helpers want it.
fn hmac_key() -> SigningKey {
    SigningKey {
        algorithm: Algorithm::HS256,
        encoding: EncodingKey::from_secret(&SECRET),
        jwk: secret("k1"),
        public_der: Vec::new(),
    }
}

/// Claims as any JSON, in a token with any header.
fn raw(header: &Value, claims: &Value) -> String {
    sign_raw(&hmac_key(), header, claims)
}

fn value(claims: &UriClaims) -> Value {
    serde_json::to_value(claims).expect("JSON")
}

fn encrypted(address: &str) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &ADDRESS_KEY).expect("a key"));
    let header = b64(br#"{"alg":"dir","enc":"A128GCM"}"#);
    let mut sealed = address.as_bytes().to_vec();
    let nonce = [5; 12];
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header.as_bytes()),
            &mut sealed,
        )
        .expect("sealed");
    format!(
        "{header}..{}.{}.{}",
        b64(&nonce),
        b64(&sealed),
        b64(tag.as_ref())
    )
}

#[test]
fn a_signed_uri_opens_what_it_names() {
    let world = World::with_secret();
    let token = signed(&claims());
    for _ in 0..2 {
        let access = world.verify(&token, &Ask::default()).expect("access");
        assert_eq!(access.kind(), TokenKind::UriSigning);
        assert_eq!(access.expires_s(), NOW_S + 600);
    }
    assert!(
        world
            .verify(
                &token,
                &Ask {
                    method: "HEAD",
                    ..Ask::of("manifest.m3u8")
                }
            )
            .is_ok()
    );
    for ask in [
        Ask {
            name: format!("global/{OTHER}/v720/1.m4s"),
            ..Ask::default()
        },
        Ask {
            authority: "abv1.example",
            ..Ask::default()
        },
        Ask {
            authority: "los1.example:8443",
            ..Ask::default()
        },
        Ask {
            method: "POST",
            ..Ask::default()
        },
    ] {
        assert_eq!(
            world.fault(&token, &ask),
            Some(MediaTokenError::OtherRequest),
            "{ask:?}"
        );
    }
    assert!(
        world
            .verify(
                &token,
                &Ask {
                    authority: "LOS1.example:443",
                    ..Ask::default()
                }
            )
            .is_ok()
    );
    let address = format!("https://los1.example/media/global/{CONTENT}/v720/1.m4s");
    let hash = b64(digest(&SHA256, address.as_bytes()).as_ref());
    let by_hash = signed(&UriClaims {
        cdniuc: format!("hash:sha-256;{hash}"),
        ..claims()
    });
    assert!(world.verify(&by_hash, &Ask::default()).is_ok());
    for ask in [
        Ask::of("v720/2.m4s"),
        Ask {
            query: Some("x"),
            ..Ask::default()
        },
    ] {
        assert_eq!(
            world.fault(&by_hash, &ask),
            Some(MediaTokenError::OtherRequest)
        );
    }
}

#[test]
fn public_keys_verify_and_are_no_secrets() {
    let pairs = key_pairs();
    let jwks: Vec<Value> = pairs.iter().map(|key| key.jwk.clone()).collect();
    let world = World::new(vec![partner(config(), &jwks)]);
    for key in &pairs {
        let kid = key.jwk["kid"].as_str().expect("a name");
        let sign =
            |kid: &str| sign_uri(&claims(), kid, key.algorithm, &key.encoding).expect("a token");
        assert!(world.verify(&sign(kid), &Ask::default()).is_ok(), "{kid}");
        assert_eq!(
            world.fault(&sign("none"), &Ask::default()),
            Some(MediaTokenError::UnknownKey)
        );
        let forged = sign_uri(
            &claims(),
            kid,
            Algorithm::HS256,
            &EncodingKey::from_secret(&key.public_der),
        );
        assert_eq!(
            world.fault(&forged.expect("a token"), &Ask::default()),
            Some(MediaTokenError::Algorithm)
        );
    }
    let swapped =
        sign_uri(&claims(), "ed", pairs[0].algorithm, &pairs[0].encoding).expect("a token");
    assert_eq!(
        world.fault(&swapped, &Ask::default()),
        Some(MediaTokenError::Algorithm)
    );
}

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

#[test]
fn claims_are_held_to_the_rfc() {
    let world = World::with_secret();
    let header = json!({ "alg": "HS256", "kid": "k1" });
    let set = |name: &str, to: Value| {
        let mut claims = value(&claims());
        claims[name] = to;
        claims
    };
    let unset = |name: &str| {
        let mut claims = value(&claims());
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    use MediaTokenError::{
        Audience as ForOthers, Expired, Malformed, NotYetValid, UnknownKey, Unsupported,
    };
    for (claims, fault) in [
        (set("cdniv", json!(1)), None),
        (set("cdniv", json!(2)), Some(Unsupported)),
        (set("cdniv", json!("1")), Some(Malformed)),
        (set("sub", json!("anybody")), None),
        (set("unknown", json!({ "a": [1] })), None),
        (set("aud", json!(AUDIENCE)), None),
        (set("aud", json!(["x", AUDIENCE])), None),
        (set("aud", json!("x")), Some(ForOthers)),
        (set("aud", json!([])), Some(ForOthers)),
        (set("aud", json!(1)), Some(Malformed)),
        (set("jti", json!("once")), Some(Unsupported)),
        (set("exp", json!(NOW_S + 600)), None),
        (set("exp", json!(NOW_S as f64 + 0.9)), Some(Expired)),
        (set("exp", json!(NOW_S)), Some(Expired)),
        (set("exp", json!(-1)), Some(Expired)),
        (set("exp", json!(1e300)), Some(Malformed)),
        (set("exp", json!(NOW_S + 14_431)), Some(Unsupported)),
        (set("exp", json!("soon")), Some(Malformed)),
        (unset("exp"), Some(Malformed)),
        (set("nbf", json!(NOW_S + 30)), None),
        (set("nbf", json!(NOW_S + 31)), Some(NotYetValid)),
        (unset("iss"), Some(UnknownKey)),
        (set("iss", json!("somebody")), Some(UnknownKey)),
        (unset("cdniuc"), Some(Malformed)),
        (
            set("cdniuc", json!("https://los1.example/")),
            Some(Unsupported),
        ),
        (set("cdniuc", json!("hash:sha-1;AAAA")), Some(Unsupported)),
        (set("cdniuc", json!("hash:sha-256;AAAA")), Some(Malformed)),
        (set("cdniuc", json!("regex:(")), Some(Unsupported)),
        (set("cdniuc", json!("regex:.*)|(.*")), Some(Unsupported)),
        (
            set("cdniuc", json!("regex:")),
            Some(MediaTokenError::OtherRequest),
        ),
        (set("cdnicrit", json!("")), Some(Unsupported)),
        (set("cdnicrit", json!("exp")), Some(Unsupported)),
        (set("cdnicrit", json!("new")), Some(Unsupported)),
        (set("cdnicrit", json!("mcsp_height")), Some(Unsupported)),
        (set("cdnicrit", json!(["mcsp_height"])), Some(Malformed)),
        (set("cdnistt", json!(0)), None),
        (set("cdnistt", json!(2)), Some(Unsupported)),
        (set("cdnistt", json!(1)), Some(Malformed)),
        (set("cdniip", json!("198.51.100.1")), Some(Malformed)),
        (
            set("mcsp_height", json!(480)),
            Some(MediaTokenError::Rendition),
        ),
        (set("mcsp_height", json!(-1)), Some(Malformed)),
    ] {
        let token = raw(&header, &claims);
        assert_eq!(world.fault(&token, &Ask::default()), fault, "{claims}");
    }
    let mut critical = set("mcsp_height", json!(720));
    critical["cdnicrit"] = json!("mcsp_height");
    assert!(
        world
            .verify(&raw(&header, &critical), &Ask::default())
            .is_ok()
    );
    critical["cdnicrit"] = json!("mcsp_height,mcsp_height");
    assert_eq!(
        world.fault(&raw(&header, &critical), &Ask::default()),
        Some(Unsupported)
    );
    critical["cdnicrit"] = json!("mcsp_height,restriction");
    critical["restriction"] = json!(1);
    assert_eq!(
        world.fault(&raw(&header, &critical), &Ask::default()),
        Some(Unsupported)
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
fn an_address_that_its_client_made_long_is_held_against_no_pattern() {
    let world = World::with_secret();
    let token = signed(&UriClaims {
        cdniuc: "regex:.*".to_owned(),
        ..claims()
    });
    let ask = |query: &'static str| Ask {
        query: Some(query),
        ..Ask::default()
    };
    assert!(world.verify(&token, &ask("CMCD=bl%3D1000")).is_ok());
    let long: &'static str = Box::leak("x".repeat(5000).into_boxed_str());
    let fault = world.fault(&token, &ask(long));
    assert_eq!(fault, Some(MediaTokenError::OtherRequest));
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

#[test]
fn addresses_are_encrypted_and_kept_to() {
    let world = World::with_secret();
    for (address, inside, outside) in [
        ("198.51.100.0/24", "198.51.100.200", "198.51.101.1"),
        ("[2001:db8::1/32]", "2001:db8:ffff::1", "2001:db9::1"),
        ("203.0.113.5", "203.0.113.5", "203.0.113.6"),
    ] {
        let token = signed(&UriClaims {
            cdniip: Some(encrypted(address)),
            ..claims()
        });
        assert!(
            world.verify(&token, &Ask::from(inside)).is_ok(),
            "{address}"
        );
        let elsewhere = world.fault(&token, &Ask::from(outside));
        assert_eq!(elsewhere, Some(MediaTokenError::OtherClient), "{address}");
        let nowhere = world.fault(&token, &Ask::default());
        assert_eq!(nowhere, Some(MediaTokenError::OtherClient), "{address}");
    }
    let nonsense = signed(&UriClaims {
        cdniip: Some(encrypted("anywhere")),
        ..claims()
    });
    assert_eq!(
        world.fault(&nonsense, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
}

#[test]
fn several_audiences_and_sessions_survive_being_signed() {
    let world = World::with_secret();
    let session: mcsp_api::MediaSessionId =
        "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id");
    let token = signed(&UriClaims {
        aud: Some(Audience::Several(vec!["x".to_owned(), AUDIENCE.to_owned()])),
        mcsp_session: Some(session.clone()),
        mcsp_audio_kbps: Some(128),
        ..claims()
    });
    let access = world
        .verify(&token, &Ask::of("a128/1.m4s"))
        .expect("access");
    assert_eq!(access.media_session_id(), Some(&session));
    assert_eq!(access.limits().max_audio_kbps, 128);
    assert_eq!(
        world.fault(&token, &Ask::of("a192/1.m4s")),
        Some(MediaTokenError::Rendition)
    );
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(
        world.fault(&token, &Ask::of("a128/1.m4s")),
        Some(MediaTokenError::Expired)
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
