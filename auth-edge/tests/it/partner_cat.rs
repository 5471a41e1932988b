//! Common Access Tokens: made by another implementation, by ours, and by people with ideas.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use common_access_token::{
    Algorithm as CatAlgorithm, CborValue, KeyId, RegisteredClaims, TokenBuilder, cat_keys, catm,
    catu, uri_components,
};
use coset::cbor::value::Value;
use coset::{AsCborValue as _, CoseMac0, CoseMac0Builder, CoseSign1Builder, HeaderBuilder, iana};
use mcsp_auth_edge::media::TokenKind;
use mcsp_auth_edge::media::partner::{CatRequest, CatSigningKey, sign_cat};
use mcsp_auth_edge::{AddressPrefix, MediaTokenError, RenditionLimits, Revocations};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::partner_support::{
    AUDIENCE, Ask, CONTENT, ISSUER, OTHER, SECRET, World, config, partner, secret,
};
use crate::support::{NOW_S, b64, unb64};

fn request<'a>() -> CatRequest<'a> {
    CatRequest {
        issuer: ISSUER,
        audience: AUDIENCE,
        expires_s: NOW_S + 600,
        ..CatRequest::default()
    }
}

fn signed(request: &CatRequest<'_>) -> String {
    sign_cat(request, "k1", &CatSigningKey::Hmac(&SECRET)).expect("a token")
}

/// The claims that every token has.
fn base() -> Vec<(i64, Value)> {
    vec![
        (1, Value::from(ISSUER)),
        (3, Value::from(AUDIENCE)),
        (4, Value::from(NOW_S + 600)),
    ]
}

fn with(claims: &[(i64, Value)]) -> Vec<(i64, Value)> {
    [&base()[..], claims].concat()
}

fn map(entries: Vec<(i64, Value)>) -> Value {
    let entry = |(label, value): (i64, Value)| (Value::from(label), value);
    Value::Map(entries.into_iter().map(entry).collect())
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::into_writer(value, &mut bytes).expect("CBOR");
    bytes
}

/// Any payload, signed with the partner's secret.
fn mac0(payload: Vec<u8>) -> CoseMac0 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    CoseMac0Builder::new()
        .protected(
            HeaderBuilder::new()
                .algorithm(iana::Algorithm::HMAC_256_256)
                .build(),
        )
        .unprotected(HeaderBuilder::new().key_id(b"k1".to_vec()).build())
        .payload(payload)
        .create_tag(b"", |data| hmac::sign(&key, data).as_ref().to_vec())
        .build()
}

fn token(claims: Vec<(i64, Value)>) -> String {
    let message = mac0(bytes_of(&map(claims))).to_cbor_value().expect("CBOR");
    b64(&bytes_of(&Value::Tag(
        61,
        Box::new(Value::Tag(17, Box::new(message))),
    )))
}

#[test]
fn another_implementations_tokens_are_understood() {
    let world = World::with_secret();
    let mut parts = BTreeMap::new();
    parts.insert(uri_components::SCHEME, catu::exact_match("https"));
    parts.insert(uri_components::HOST, catu::suffix_match(".example"));
    parts.insert(
        uri_components::PATH,
        catu::prefix_match(&format!("/media/global/{CONTENT}/")),
    );
    parts.insert(uri_components::EXTENSION, catu::exact_match(".m4s"));
    let now_s = u64::try_from(NOW_S).expect("a time");
    let token = TokenBuilder::new()
        .algorithm(CatAlgorithm::HmacSha256)
        .protected_key_id(KeyId::binary(b"k1".to_vec()))
        .registered_claims(
            RegisteredClaims::new()
                .with_issuer(ISSUER)
                .with_audience(AUDIENCE)
                .with_subject("somebody")
                .with_expiration(now_s + 600)
                .with_not_before(now_s)
                .with_issued_at(now_s)
                .with_cti(b"token-id-1234".to_vec()),
        )
        .custom_cbor(cat_keys::CATU, catu::create(parts))
        .custom_array(cat_keys::CATM, catm::create(vec!["GET", "HEAD"]))
        .custom_array(
            cat_keys::CATNIP,
            vec![CborValue::Text("198.51.100.0/24".to_owned())],
        )
        .custom_int(cat_keys::CATV, 1)
        .sign(&SECRET)
        .expect("a token");
    let token = b64(&token.to_bytes().expect("bytes"));
    let ask = Ask::from("198.51.100.7");
    for _ in 0..2 {
        let access = world.verify(&token, &ask).expect("access");
        assert_eq!(access.kind(), TokenKind::CommonAccessToken);
        assert_eq!(access.expires_s(), NOW_S + 600);
        assert_eq!(access.media_session_id(), None);
    }
    let other_request = Some(MediaTokenError::OtherRequest);
    let post = Ask {
        method: "POST",
        ..ask.clone()
    };
    assert_eq!(world.fault(&token, &post), other_request);
    let elsewhere = Ask {
        authority: "los1.example.net",
        ..ask.clone()
    };
    assert_eq!(world.fault(&token, &elsewhere), other_request);
    let manifest = Ask {
        name: format!("global/{CONTENT}/manifest.mpd"),
        ..ask.clone()
    };
    assert_eq!(world.fault(&token, &manifest), other_request);
    let other = Ask {
        name: format!("global/{OTHER}/v720/1.m4s"),
        ..ask
    };
    assert_eq!(world.fault(&token, &other), other_request);
    assert_eq!(
        world.fault(&token, &Ask::from("198.51.101.7")),
        Some(MediaTokenError::OtherClient)
    );
}

#[test]
fn ours_are_understood_by_another_implementation() {
    let token = signed(&request());
    let other = common_access_token::Token::from_bytes(&unb64(&token)).expect("a token");
    assert!(other.verify(&SECRET).is_ok());
    assert!(other.verify(&[8; 32]).is_err());
    assert_eq!(other.claims.registered.iss.as_deref(), Some(ISSUER));
    assert_eq!(other.claims.registered.exp, u64::try_from(NOW_S + 600).ok());
}

#[test]
fn each_signature_verifies_with_its_own_key_only() {
    let rng = SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    let ec =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("a key");
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).expect("a key");
    let ed = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let point = ec.public_key().as_ref();
    let jwk_ec = json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..]) });
    let jwk_ed =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(ed.public_key().as_ref()) });
    let world = World::new(vec![partner(config(), &[jwk_ec, jwk_ed])]);
    let ask = Ask::default();
    let by = |kid: &str, key: &CatSigningKey<'_>| sign_cat(&request(), kid, key).expect("a token");
    assert!(
        world
            .verify(&by("ec", &CatSigningKey::Es256(&ec)), &ask)
            .is_ok()
    );
    assert!(
        world
            .verify(&by("ed", &CatSigningKey::Ed25519(&ed)), &ask)
            .is_ok()
    );
    // A token without a key's name is for the one key of its algorithm.
    let unnamed = by("", &CatSigningKey::Ed25519(&ed));
    assert!(world.verify(&unnamed, &ask).is_ok());
    for (token, fault) in [
        (
            by("ed", &CatSigningKey::Es256(&ec)),
            MediaTokenError::Algorithm,
        ),
        (
            by("ec", &CatSigningKey::Ed25519(&ed)),
            MediaTokenError::Algorithm,
        ),
        (
            by("none", &CatSigningKey::Es256(&ec)),
            MediaTokenError::UnknownKey,
        ),
        // The public key, which everybody has, as a secret.
        (
            by("ec", &CatSigningKey::Hmac(point)),
            MediaTokenError::Algorithm,
        ),
        (
            by("ed", &CatSigningKey::Hmac(ed.public_key().as_ref())),
            MediaTokenError::Algorithm,
        ),
    ] {
        assert_eq!(world.fault(&token, &ask), Some(fault));
    }
    // Signatures that are right for any key in broken libraries, and in the form of ASN.1.
    let der = [&[0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00][..]].concat();
    for signature in [vec![0; 64], vec![0xff; 64], vec![], vec![0; 63], der] {
        let message = CoseSign1Builder::new()
            .protected(
                HeaderBuilder::new()
                    .algorithm(iana::Algorithm::ES256)
                    .build(),
            )
            .unprotected(HeaderBuilder::new().key_id(b"ec".to_vec()).build())
            .payload(bytes_of(&map(base())))
            .signature(signature)
            .build();
        let forged = b64(&bytes_of(&message.to_cbor_value().expect("CBOR")));
        assert_eq!(world.fault(&forged, &ask), Some(MediaTokenError::Signature));
    }
}

#[test]
fn every_single_bit_counts() {
    let world = World::with_secret();
    let token = signed(&request());
    let bytes = unb64(&token);
    // The unprotected header too: it names the key, and another name is no key.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(
                world.verify(&b64(&changed), &Ask::default()).is_err(),
                "{at}.{bit}"
            );
        }
    }
    for text in [
        format!("{token}="),
        format!(" {token}"),
        format!("{token}AAAA"),
        token.replace('-', "+") + "+",
    ] {
        assert!(world.verify(&text, &Ask::default()).is_err());
    }
    assert!(world.verify(&token, &Ask::default()).is_ok());
}

#[test]
fn shapes_that_are_not_ours_are_refused() {
    let world = World::with_secret();
    let message = mac0(bytes_of(&map(base()))).to_cbor_value().expect("CBOR");
    let tagged = |tags: &[u64]| {
        let wrap = |inner, tag: &u64| Value::Tag(*tag, Box::new(inner));
        b64(&bytes_of(&tags.iter().rev().fold(message.clone(), wrap)))
    };
    for tags in [&[][..], &[17], &[61, 17], &[61]] {
        assert!(
            world.verify(&tagged(tags), &Ask::default()).is_ok(),
            "{tags:?}"
        );
    }
    for tags in [
        &[18][..],
        &[61, 18],
        &[16],
        &[61, 61, 17],
        &[17, 61],
        &[17, 17],
        &[98],
        &[1],
    ] {
        assert!(
            world.verify(&tagged(tags), &Ask::default()).is_err(),
            "{tags:?}"
        );
    }
    // Something behind it.
    let mut more = unb64(&tagged(&[61, 17]));
    more.push(0);
    assert_eq!(
        world.fault(&b64(&more), &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
    let parts = message.into_array().expect("an array");
    for wrong in [parts[..3].to_vec(), [&parts[..], &[Value::Null]].concat()] {
        let text = b64(&bytes_of(&Value::Array(wrong)));
        assert_eq!(
            world.fault(&text, &Ask::default()),
            Some(MediaTokenError::Malformed)
        );
    }
    // No payload: detached.
    let mut detached = parts.clone();
    detached[2] = Value::Null;
    let text = b64(&bytes_of(&Value::Array(detached)));
    assert_eq!(
        world.fault(&text, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
    // The algorithm where nobody signs it.
    let mut moved = parts.clone();
    moved[0] = Value::Bytes(Vec::new());
    moved[1] = map(vec![(1, Value::from(5)), (4, Value::Bytes(b"k1".to_vec()))]);
    let text = b64(&bytes_of(&Value::Array(moved)));
    assert_eq!(
        world.fault(&text, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
    // Deep nesting, and a token that is too long.
    let deep = b64(&[vec![0x81; 2000], vec![0x00]].concat());
    assert_eq!(
        world.fault(&deep, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
    let long = "2D3R".repeat(1025);
    assert_eq!(
        world.fault(&long, &Ask::default()),
        Some(MediaTokenError::Malformed)
    );
}

#[test]
fn headers_that_must_be_understood_are_not_overlooked() {
    let world = World::with_secret();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let with_header = |protected: HeaderBuilder, unprotected: HeaderBuilder| {
        let message = CoseMac0Builder::new()
            .protected(protected.build())
            .unprotected(unprotected.build())
            .payload(bytes_of(&map(base())))
            .create_tag(b"", |data| hmac::sign(&key, data).as_ref().to_vec())
            .build();
        b64(&bytes_of(&message.to_cbor_value().expect("CBOR")))
    };
    let protected = || HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256);
    let named = || HeaderBuilder::new().key_id(b"k1".to_vec());
    let ask = Ask::default();
    assert!(
        world
            .verify(&with_header(protected(), named()), &ask)
            .is_ok()
    );
    let critical = protected().add_critical(iana::HeaderParameter::Alg);
    let other_name = protected().key_id(b"k2".to_vec());
    let truncated = HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_64);
    for (protected, unprotected, fault) in [
        (critical, named(), MediaTokenError::Unsupported),
        (
            protected(),
            named().add_critical(iana::HeaderParameter::Alg),
            MediaTokenError::Unsupported,
        ),
        (
            protected(),
            named().algorithm(iana::Algorithm::HMAC_256_256),
            MediaTokenError::Malformed,
        ),
        (other_name, named(), MediaTokenError::Malformed),
        (truncated, named(), MediaTokenError::Algorithm),
        (HeaderBuilder::new(), named(), MediaTokenError::Malformed),
    ] {
        let token = with_header(protected, unprotected);
        assert_eq!(world.fault(&token, &ask), Some(fault));
    }
}

#[test]
fn claims_are_understood_or_the_token_is_refused() {
    let world = World::with_secret();
    let ask = Ask::default();
    let texts = |list: &[&str]| Value::Array(list.iter().map(|text| Value::from(*text)).collect());
    let nothing = || Value::Map(Vec::new());
    for (claims, fault) in [
        (base(), None),
        (with(&[(310, Value::from(1))]), None),
        (with(&[(308, Value::from(0))]), None),
        (with(&[(322, nothing())]), None),
        (
            with(&[
                (2, Value::from("somebody")),
                (6, Value::from(1)),
                (7, Value::Bytes(vec![1])),
            ]),
            None,
        ),
        (
            with(&[(310, Value::from(2))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(308, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(308, Value::from(2))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(309, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(317, nothing())]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(319, Value::Bytes(vec![0; 32]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(321, nothing())]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(9999, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(-70_003, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(313, texts(&["HEAD"]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(313, texts(&[]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(313, Value::from("GET"))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(313, texts(&["get"]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(312, map(vec![(9, map(vec![(0, Value::from("x"))]))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(312, map(vec![(1, map(vec![(5, Value::from("x"))]))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(312, map(vec![(1, nothing())]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(312, map(vec![(1, map(vec![(0, Value::from(1))]))]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(4, Value::from(NOW_S + 600))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(323, map(vec![(0, Value::from(9)), (1, Value::from(60))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(323, map(vec![(0, Value::from(0))]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(-70_001, Value::from(0))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(-70_001, Value::from(480))]),
            Some(MediaTokenError::Rendition),
        ),
        (with(&[(-70_001, Value::from(720))]), None),
        (base()[1..].to_vec(), Some(MediaTokenError::UnknownKey)),
        (
            vec![base()[0].clone(), base()[2].clone()],
            Some(MediaTokenError::Audience),
        ),
        (base()[..2].to_vec(), Some(MediaTokenError::Malformed)),
        (
            vec![
                base()[0].clone(),
                (3, texts(&["a", AUDIENCE])),
                base()[2].clone(),
            ],
            None,
        ),
        (
            vec![
                base()[0].clone(),
                (3, texts(&["a", "b"])),
                base()[2].clone(),
            ],
            Some(MediaTokenError::Audience),
        ),
    ] {
        let shown = format!("{claims:?}");
        assert_eq!(world.fault(&token(claims), &ask), fault, "{shown}");
    }
    // A claim with a name for a label is one that nobody here knows.
    let mut named = base();
    let payload = {
        let mut entries: Vec<(Value, Value)> = named
            .drain(..)
            .map(|(label, value)| (Value::from(label), value))
            .collect();
        entries.push((Value::from("restriction"), Value::from(1)));
        bytes_of(&Value::Map(entries))
    };
    let message = mac0(payload).to_cbor_value().expect("CBOR");
    let text = b64(&bytes_of(&message));
    assert_eq!(world.fault(&text, &ask), Some(MediaTokenError::Unsupported));
}

#[test]
fn where_from_and_how_is_checked_and_unknown_is_no() {
    let world = World::with_secret();
    let list = |items: Vec<Value>| Value::Array(items);
    let tag = |tag, value| Value::Tag(tag, Box::new(value));
    let v4 = tag(
        52,
        list(vec![Value::from(24), Value::Bytes(vec![198, 51, 100])]),
    );
    let v6 = tag(
        54,
        list(vec![
            Value::from(32),
            Value::Bytes(vec![0x20, 0x01, 0x0d, 0xb8]),
        ]),
    );
    let one = tag(52, Value::Bytes(vec![203, 0, 113, 9]));
    let network = token(with(&[(311, list(vec![v4, v6, one, Value::from(29_465)]))]));
    for (client, asn, is_good) in [
        (Some("198.51.100.9"), None, true),
        (Some("198.51.101.9"), None, false),
        (Some("2001:db8:1::1"), None, true),
        (Some("2001:db9::1"), None, false),
        (Some("203.0.113.9"), None, true),
        (Some("203.0.113.8"), Some(29_465), true),
        (Some("203.0.113.8"), Some(29_466), false),
        (None, None, false),
    ] {
        let ask = Ask {
            client: client.map(|text| text.parse().expect("an address")),
            asn,
            ..Ask::default()
        };
        assert_eq!(
            world.verify(&network, &ask).is_ok(),
            is_good,
            "{client:?} {asn:?}"
        );
    }
    for bad in [
        tag(52, Value::Bytes(vec![1, 2, 3])),
        tag(52, list(vec![Value::from(33), Value::Bytes(vec![1])])),
        tag(52, list(vec![Value::from(24), Value::Bytes(vec![1, 0])])),
        tag(
            54,
            list(vec![
                Value::from(96),
                Value::Bytes([&[0; 10][..], &[0xff, 0xff]].concat()),
            ]),
        ),
        tag(99, Value::Bytes(vec![1, 2, 3, 4])),
        Value::from(-1),
        Value::from("nowhere"),
        Value::Null,
    ] {
        let token = token(with(&[(311, list(vec![bad.clone()]))]));
        assert_eq!(
            world.fault(&token, &Ask::default()),
            Some(MediaTokenError::Malformed),
            "{bad:?}"
        );
    }

    let country = token(with(&[(
        316,
        list(vec![Value::from("NG"), Value::from("GH")]),
    )]));
    for (of, is_good) in [
        (Some("NG"), true),
        (Some("GB"), false),
        (Some("ng"), false),
        (None, false),
    ] {
        let ask = Ask {
            country: of,
            ..Ask::default()
        };
        assert_eq!(world.verify(&country, &ask).is_ok(), is_good, "{of:?}");
    }
    let protocol = token(with(&[(314, list(vec![Value::Bytes(b"h2".to_vec())]))]));
    for (alpn, is_good) in [
        (Some(&b"h2"[..]), true),
        (Some(&b"http/1.1"[..]), false),
        (None, false),
    ] {
        let ask = Ask {
            alpn,
            ..Ask::default()
        };
        assert_eq!(world.verify(&protocol, &ask).is_ok(), is_good, "{alpn:?}");
    }
    let print = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let fingerprint = token(with(&[(
        324,
        map(vec![(0, Value::from(2)), (1, Value::from(print))]),
    )]));
    for (ja4, is_good) in [
        (Some(print), true),
        (Some("t13d1516h2_x_y"), false),
        (None, false),
    ] {
        let ask = Ask {
            ja4,
            ..Ask::default()
        };
        assert_eq!(world.verify(&fingerprint, &ask).is_ok(), is_good, "{ja4:?}");
    }
    let ja3 = token(with(&[(
        324,
        map(vec![(0, Value::from(0)), (1, Value::from("x"))]),
    )]));
    assert_eq!(
        world.fault(&ja3, &Ask::default()),
        Some(MediaTokenError::Unsupported)
    );

    let header = Value::Map(vec![(
        Value::from("X-Device"),
        map(vec![(1, Value::from("tv-"))]),
    )]);
    let device = token(with(&[(315, header)]));
    let asks = |values: &[&str]| {
        let mut ask = Ask::default();
        for value in values {
            ask.headers
                .append("x-device", value.parse().expect("a value"));
        }
        world.verify(&device, &ask).is_ok()
    };
    assert!(asks(&["tv-1"]));
    assert!(!asks(&["phone"]) && !asks(&[]) && !asks(&["tv-1", "phone"]));
}

#[test]
fn time_is_bounded_on_both_sides() {
    let world = World::with_secret();
    let ask = Ask::default();
    let of = |not_before_s, expires_s| {
        signed(&CatRequest {
            not_before_s,
            expires_s,
            ..request()
        })
    };
    assert!(
        world
            .verify(&of(Some(NOW_S + 30), NOW_S + 60), &ask)
            .is_ok(),
        "clocks differ"
    );
    for (token, fault) in [
        (
            of(Some(NOW_S + 31), NOW_S + 60),
            MediaTokenError::NotYetValid,
        ),
        (of(None, NOW_S), MediaTokenError::Expired),
        (of(None, i64::MIN), MediaTokenError::Expired),
        (of(None, NOW_S + 14_431), MediaTokenError::Unsupported),
        (of(None, i64::MAX), MediaTokenError::Unsupported),
    ] {
        assert_eq!(world.fault(&token, &ask), Some(fault));
    }
    let token = of(None, NOW_S + 600);
    assert!(world.verify(&token, &ask).is_ok());
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(
        world.fault(&token, &ask),
        Some(MediaTokenError::Expired),
        "remembered or not"
    );
    for exp in [
        Value::Float(NOW_S as f64 + 700.9),
        Value::Float(f64::NAN),
        Value::Float(f64::INFINITY),
        Value::from("1"),
        Value::Tag(1, Box::new(Value::from(NOW_S + 700))),
    ] {
        let good = matches!(exp, Value::Float(seconds) if seconds.is_finite());
        let claims = vec![base()[0].clone(), base()[1].clone(), (4, exp.clone())];
        assert_eq!(
            world.verify(&token_of(claims), &ask).is_ok(),
            good,
            "{exp:?}"
        );
    }
}

fn token_of(claims: Vec<(i64, Value)>) -> String {
    token(claims)
}

#[test]
fn a_partner_signs_for_what_was_agreed_only() {
    let world = World::with_secret();
    let token = signed(&request());
    let ng = Ask {
        name: format!("ng/{CONTENT}/v720/1.m4s"),
        ..Ask::default()
    };
    assert_eq!(world.fault(&token, &ng), Some(MediaTokenError::OtherItem));
    let london = Ask {
        name: format!("global/{}/v720/1.m4s", CONTENT.replace("c_ng", "c_gl")),
        ..Ask::default()
    };
    assert_eq!(
        world.fault(&token, &london),
        Some(MediaTokenError::OtherItem)
    );
    assert_eq!(
        world.fault(&token, &Ask::of("v4320/1.m4s")),
        Some(MediaTokenError::Rendition)
    );
    let generous = signed(&CatRequest {
        limits: RenditionLimits {
            max_height: 4320,
            max_audio_kbps: 128,
        },
        ..request()
    });
    assert_eq!(
        world.fault(&generous, &Ask::of("v4320/1.m4s")),
        Some(MediaTokenError::Rendition)
    );
    assert_eq!(
        world.fault(&generous, &Ask::of("a320/1.m4s")),
        Some(MediaTokenError::Rendition)
    );
    assert!(world.verify(&generous, &Ask::of("a128/1.m4s")).is_ok());
    // Another partner's name under this one's key.
    let mut other = config();
    other["id"] = json!("other");
    other["issuer"] = json!("other.example");
    let mut other_secret = secret("k1");
    other_secret["k"] = json!(b64(&[8; 32]));
    let world = World::new(vec![
        partner(config(), &[secret("k1")]),
        partner(other, &[other_secret]),
    ]);
    let posing = signed(&CatRequest {
        issuer: "other.example",
        ..request()
    });
    assert_eq!(
        world.fault(&posing, &Ask::default()),
        Some(MediaTokenError::Signature)
    );
    let nobody = signed(&CatRequest {
        issuer: "nobody.example",
        ..request()
    });
    assert_eq!(
        world.fault(&nobody, &Ask::default()),
        Some(MediaTokenError::UnknownKey)
    );
    // A partner that does not use this form.
    let mut jwt_only = config();
    jwt_only["forms"] = json!(["uri-signing"]);
    let world = World::new(vec![partner(jwt_only, &[secret("k1")])]);
    assert_eq!(
        world.fault(&token, &Ask::default()),
        Some(MediaTokenError::UnknownKey)
    );
}

#[test]
fn keys_change_without_a_refused_request_and_withdrawn_ones_are_void_at_once() {
    let partners = |keys: &[serde_json::Value]| {
        mcsp_auth_edge::media::partner::Partners::new(vec![partner(config(), keys)]).expect("one")
    };
    let mut next = secret("k2");
    next["k"] = json!(b64(&[3; 32]));
    let world = World::with_secret();
    let old = signed(&request());
    let new = sign_cat(&request(), "k2", &CatSigningKey::Hmac(&[3; 32])).expect("a token");
    let ask = Ask::default();
    assert!(world.verify(&old, &ask).is_ok());
    world
        .verifier
        .set_partners(partners(&[secret("k1"), next.clone()]));
    assert!(world.verify(&old, &ask).is_ok() && world.verify(&new, &ask).is_ok());
    world.verifier.set_partners(partners(&[next]));
    assert!(world.verify(&new, &ask).is_ok());
    assert_eq!(world.fault(&old, &ask), Some(MediaTokenError::UnknownKey));
    world.verifier.set_partners(Default::default());
    assert_eq!(world.fault(&new, &ask), Some(MediaTokenError::UnknownKey));
}

#[test]
fn our_own_sessions_are_revoked_in_this_form_too() {
    let world = World::with_secret();
    let session = "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id");
    let token = signed(&CatRequest {
        session: Some(&session),
        client: AddressPrefix::parse("198.51.100.0/24"),
        ..request()
    });
    let access = world
        .verify(&token, &Ask::from("198.51.100.1"))
        .expect("access");
    let revocations = Revocations::new(world.clock.clone());
    assert!(!access.is_revoked(&revocations));
    revocations.revoke_media_session(&session, NOW_S + 600);
    assert!(access.is_revoked(&revocations));
    assert_eq!(
        world.fault(&token, &Ask::from("198.51.101.1")),
        Some(MediaTokenError::OtherClient)
    );
}

proptest! {
    #[test]
    fn no_bytes_panic_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in 0_usize..4) {
        let world = World::with_secret();
        let head: &[u8] = [&[][..], &[0xd8, 61, 0xd1, 0x84], &[0xd2, 0x84], &[0x84, 0x43, 0xa1, 0x01, 0x05]][tag];
        let token = b64(&[head, &bytes].concat());
        prop_assert!(world.verify(&token, &Ask::default()).is_err());
    }

    #[test]
    fn no_signed_payload_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let world = World::with_secret();
        let message = mac0(bytes).to_cbor_value().expect("CBOR");
        prop_assert!(world.verify(&b64(&bytes_of(&message)), &Ask::default()).is_err());
    }
}
