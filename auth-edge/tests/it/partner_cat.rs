//! Common Access Tokens of partners, made by another implementation and by ours.

use std::collections::BTreeMap;

use common_access_token::{
    Algorithm as CatAlgorithm, CborValue, KeyId, RegisteredClaims, TokenBuilder, cat_keys, catm,
    catu, uri_components,
};
use mcsp_auth_edge::media::TokenKind;
use mcsp_auth_edge::media::partner::{CatRequest, CatSigningKey, sign_cat};
use mcsp_auth_edge::{AddressPrefix, MediaTokenError, RenditionLimits, Revocations};
use serde_json::json;

use crate::cat_support::{request, signed};
use crate::partner_support::{
    AUDIENCE, Ask, CONTENT, ISSUER, OTHER, SECRET, World, config, partner, secret,
};
use crate::support::{NOW_S, b64, unb64};

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
