//! Signed URIs (RFC 9246) of partners: what their claims and keys allow.

use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_auth_edge::MediaTokenError;
use mcsp_auth_edge::media::TokenKind;
use mcsp_auth_edge::media::partner::{Audience, UriClaims, sign_uri};
use serde_json::{Value, json};

use crate::partner_support::{
    ADDRESS_KEY, AUDIENCE, Ask, CONTENT, OTHER, World, config, key_pairs, partner,
};
use crate::partner_uri_support::{claims, raw, signed, value};
use crate::support::{NOW_S, b64};

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
        // A limit that limits nothing is no limit that anybody means.
        (set("mcsp_height", json!(0)), Some(Malformed)),
        (set("mcsp_audio_kbps", json!(0)), Some(Malformed)),
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
