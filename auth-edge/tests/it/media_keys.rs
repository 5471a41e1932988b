//! Media keys: what each verifies, for whom, and how long.

use mcsp_auth_edge::media::KEYS_MAX;
use mcsp_auth_edge::{
    MediaAlgorithm, MediaKeyError, MediaKeyMaterial, MediaKeyring, MediaTokenError, TokenForm,
};

use crate::media_support::{CONTENT, FORMS, World, grant, path, world};
use crate::support::{NOW_S, b64, unb64};

#[test]
fn a_public_key_signs_nothing() {
    // An attacker at a partner's node knows the public key and makes an HMAC token with it, under its id.
    let world = world();
    let public = world
        .store
        .published()
        .into_iter()
        .find(|key| key.algorithm == MediaAlgorithm::Ed25519)
        .expect("a public key");
    let token = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Ed25519)
        .expect("a token");
    let name = format!("global/{CONTENT}/manifest.m3u8");

    let mut bytes = unb64(&token)[..80].to_vec();
    bytes[1] = 1;
    let message = [b"mcsp media token v1\0".as_slice(), &bytes].concat();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public.key);
    bytes.extend_from_slice(aws_lc_rs::hmac::sign(&secret, &message).as_ref());
    assert_eq!(
        world.ring.verify(&b64(&bytes), &path(&name)),
        Err(MediaTokenError::Algorithm)
    );
}

#[test]
fn a_partners_ring_without_secrets_verifies_its_own_form_only() {
    let world = world();
    let partner = MediaKeyring::new(world.clock.clone());
    for key in world.store.published() {
        if key.algorithm == MediaAlgorithm::Ed25519 {
            partner.upsert(key).expect("a key");
        }
    }
    let name = format!("global/{CONTENT}/manifest.m3u8");
    let signer = world.store.signer();
    let theirs = signer.sign(&grant(), TokenForm::Ed25519).expect("a token");
    let ours = signer.sign(&grant(), TokenForm::Hmac).expect("a token");
    assert!(partner.verify(&theirs, &path(&name)).is_ok());
    assert_eq!(
        partner.verify(&ours, &path(&name)),
        Err(MediaTokenError::UnknownKey)
    );
}

/// All keys of the store, held as another region's: what a taken-over region would publish.
fn as_london(world: &World) -> Vec<MediaKeyMaterial> {
    let mut keys = world.store.published();
    for key in &mut keys {
        key.region = "gl".parse().expect("a region");
    }
    keys
}

#[test]
fn a_key_is_good_for_its_own_regions_content_only() {
    let world = world();
    let name = format!("global/{CONTENT}/manifest.m3u8");
    let london = MediaKeyring::new(world.clock.clone());
    london.replace(as_london(&world)).expect("keys");
    assert_eq!(london.len(), world.ring.len());
    for form in FORMS {
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        assert!(world.ring.verify(&token, &path(&name)).is_ok());
        assert_eq!(
            london.verify(&token, &path(&name)),
            Err(MediaTokenError::UnknownKey),
            "{form:?}: the signature is right, the region is not"
        );
        assert_eq!(
            london.verify_token(&token),
            Err(MediaTokenError::UnknownKey)
        );
    }
}

#[test]
fn a_region_cannot_replace_or_crowd_out_anothers_keys() {
    let world = world();
    let name = format!("global/{CONTENT}/manifest.m3u8");
    let tokens = FORMS.map(|form| world.store.signer().sign(&grant(), form).expect("a token"));
    let good = || {
        tokens
            .iter()
            .all(|token| world.ring.verify(token, &path(&name)).is_ok())
    };
    // Under the very ids of Lagos' keys.
    for mut key in as_london(&world) {
        key.key = vec![7; 32];
        world.ring.upsert(key).expect("a key");
    }
    assert!(good());
    let template = as_london(&world).remove(0);
    let flood = |n: usize| MediaKeyMaterial {
        key_id: format!("{n:016x}"),
        ..template.clone()
    };
    let refused = (0..=KEYS_MAX).find_map(|n| world.ring.upsert(flood(n)).err());
    assert!(matches!(refused, Some(MediaKeyError::TooMany { .. })));
    assert!(good());
    for key in world.store.published() {
        world.ring.upsert(key).expect("Lagos has its places still");
    }
    let all = (0..=KEYS_MAX).map(flood).collect();
    assert!(matches!(
        world.ring.replace(all),
        Err(MediaKeyError::TooMany { .. })
    ));
    assert!(good());
}

#[test]
fn a_region_signs_for_no_other() {
    let world = world();
    let mut foreign = grant();
    foreign.content_id = CONTENT.replace("c_ng_", "c_gl_").parse().expect("an id");
    for form in FORMS {
        let refused = world.store.signer().sign(&foreign, form);
        assert!(matches!(refused, Err(MediaKeyError::OtherRegion { .. })));
    }
}

#[test]
fn a_withdrawn_key_takes_its_verified_tokens_along() {
    let name = format!("global/{CONTENT}/manifest.m3u8");
    for form in FORMS {
        let world = world();
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        for _ in 0..2 {
            assert!(world.ring.verify(&token, &path(&name)).is_ok());
        }
        world.ring.replace(Vec::new()).expect("no keys");
        assert!(world.ring.is_empty());
        let unknown = Err(MediaTokenError::UnknownKey);
        assert_eq!(world.ring.verify(&token, &path(&name)), unknown);
        // Under its id, but another.
        for mut key in world.store.published() {
            key.key = vec![7; 32];
            world.ring.upsert(key).expect("a key");
        }
        let wrong = Err(MediaTokenError::Signature);
        assert_eq!(world.ring.verify(&token, &path(&name)), wrong, "{form:?}");
    }
}

#[test]
fn a_key_outside_its_time_verifies_nothing() {
    let world = world();
    let name = format!("global/{CONTENT}/manifest.m3u8");
    let token = world
        .store
        .signer()
        .sign(&grant(), TokenForm::Hmac)
        .expect("a token");
    let id = world
        .store
        .published()
        .into_iter()
        .find(|key| key.algorithm == MediaAlgorithm::HmacSha256);
    let mut key: MediaKeyMaterial = id.expect("a key");
    key.not_before_s = NOW_S + 10;
    key.not_after_s = NOW_S + 20;
    world.ring.upsert(key).expect("a key");
    for (now_s, good) in [
        (NOW_S + 9, false),
        (NOW_S + 10, true),
        (NOW_S + 19, true),
        (NOW_S + 20, false),
    ] {
        world.clock.set(now_s * 1000);
        assert_eq!(
            world.ring.verify(&token, &path(&name)).is_ok(),
            good,
            "{now_s}"
        );
    }
}

#[test]
fn bad_keys_are_refused_and_secrets_stay_out_of_debug_output() {
    let world = world();
    let good = world.store.published().remove(0);
    let before = world.ring.len();
    for (key_id, key) in [
        ("", vec![7; 32]),
        ("00000000000000zz", vec![7; 32]),
        ("00000000000000AA", vec![7; 32]),
        (good.key_id.as_str(), vec![7; 31]),
    ] {
        let bad = MediaKeyMaterial {
            key_id: key_id.to_owned(),
            key,
            ..good.clone()
        };
        assert!(matches!(
            world.ring.upsert(bad),
            Err(MediaKeyError::BadKey { .. })
        ));
    }
    assert_eq!(world.ring.len(), before);
    let shown = format!("{good:?} {:?}", world.ring);
    assert!(
        !shown.contains(&format!(
            "{}, {}, {}",
            good.key[0], good.key[1], good.key[2]
        )),
        "{shown}"
    );
}
