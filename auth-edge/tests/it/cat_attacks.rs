//! Common Access Tokens that somebody made who may not.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use coset::cbor::value::Value;
use coset::{AsCborValue as _, CoseMac0Builder, CoseSign1Builder, HeaderBuilder, iana};
use mcsp_auth_edge::MediaTokenError;
use mcsp_auth_edge::media::partner::{CatSigningKey, sign_cat};
use proptest::prelude::*;
use serde_json::json;

use crate::cat_support::{base, bytes_of, mac0, map, request, signed};
use crate::partner_support::{Ask, SECRET, World, config, partner};
use crate::support::{b64, unb64};

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
