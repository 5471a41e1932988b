//! Media tokens: what is signed is what is allowed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::events::MediaType;
use mcsp_api::media_path::MediaPath;
use mcsp_api::{ContentId, MediaSessionId, Residency, UserId};
use mcsp_auth_edge::media::{KEYS_MAX, TOKEN_CHARS_MAX};
use mcsp_auth_edge::{
    AddressPrefix, MediaAlgorithm, MediaGrant, MediaKeyConfig, MediaKeyError, MediaKeyMaterial,
    MediaKeyStore, MediaKeyring, MediaTokenError, RenditionLimits, TokenForm,
};
use mcsp_runtime::{ManualClock, SeededEntropy};
use proptest::prelude::*;

use crate::support::{NOW_S, b64};

const FORMS: [TokenForm; 2] = [TokenForm::Hmac, TokenForm::Ed25519];
const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
const OTHER: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd";

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: MediaKeyStore,
    pub(crate) ring: MediaKeyring,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn world() -> World {
    let clock = ManualClock::new(NOW_S * 1000);
    let folder = tempfile::tempdir().expect("a folder");
    let store = MediaKeyStore::open(
        folder.path().join("media-keys.json"),
        "ng".parse().expect("a region"),
        MediaKeyConfig::default(),
        clock.clone(),
        SeededEntropy::new(7),
    )
    .expect("a store");
    let ring = MediaKeyring::new(clock.clone());
    ring.replace(store.published()).expect("keys");
    World {
        clock,
        store,
        ring,
        folder,
    }
}

pub(crate) fn grant() -> MediaGrant {
    MediaGrant {
        content_id: CONTENT.parse().expect("an id"),
        user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
        media_session_id: "ms_gl_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id"),
        residency: Residency::Global,
        media_type: MediaType::Video,
        expires_s: NOW_S + 3600,
        limits: RenditionLimits {
            max_height: 1080,
            max_audio_kbps: 192,
        },
        client: None,
    }
}

fn path(name: &str) -> MediaPath<'_> {
    MediaPath::parse_object_name(name).expect("a path")
}

#[test]
fn a_token_says_what_was_granted_and_fits_a_path() {
    let world = world();
    for form in FORMS {
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        assert!(token.len() <= TOKEN_CHARS_MAX && token.len() < 300);
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        );
        let url = format!("/media/{token}/global/{CONTENT}/v360/12.m4s");
        let (in_url, path) = MediaPath::parse_viewer(&url).expect("a viewer's path");
        // Twice: the second time from memory.
        for _ in 0..2 {
            assert_eq!(world.ring.verify(in_url, &path), Ok(Arc::new(grant())));
        }
    }
}

#[test]
fn any_other_item_or_residency_is_refused() {
    let world = world();
    for form in FORMS {
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        let own = format!("global/{CONTENT}/manifest.m3u8");
        // Before it was ever verified, and when it is remembered.
        for name in [
            format!("global/{OTHER}/manifest.m3u8"),
            own,
            format!("global/{OTHER}/manifest.m3u8"),
            format!("ng/{CONTENT}/manifest.m3u8"),
            format!("ng/{OTHER}/manifest.m3u8"),
        ] {
            let verified = world.ring.verify(&token, &path(&name));
            if name.starts_with(&format!("global/{CONTENT}/")) {
                assert!(verified.is_ok(), "{name}");
            } else {
                assert_eq!(verified, Err(MediaTokenError::OtherItem), "{name}");
            }
        }
    }
}

#[test]
fn a_bound_token_says_for_whom_and_no_bit_of_that_may_change() {
    let world = world();
    let network = AddressPrefix::parse("198.51.100.0/24");
    let bound = MediaGrant {
        client: network,
        ..grant()
    };
    let client = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
    for form in FORMS {
        let token = world.store.signer().sign(&bound, form).expect("a token");
        assert!(token.len() <= TOKEN_CHARS_MAX);
        for _ in 0..2 {
            let verified = world.ring.verify_token(&token).expect("a grant");
            assert_eq!(*verified, bound);
            assert!(verified.allows_client(client("198.51.100.77")));
            assert!(verified.allows_client(client("::ffff:198.51.100.77")));
            assert!(!verified.allows_client(client("198.51.101.1")));
            assert!(!verified.allows_client(client("2001:db8::1")));
            assert!(!verified.allows_client(None), "nobody knows from where");
        }
        let bytes = unb64(&token);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(
                    world.ring.verify_token(&b64(&changed)).is_err(),
                    "{at}.{bit}"
                );
            }
        }
        // Without its binding, and with the flag that says so turned off.
        let mut unbound = bytes.clone();
        unbound.drain(80..97);
        assert!(world.ring.verify_token(&b64(&unbound)).is_err());
        unbound[2] &= !4;
        assert!(world.ring.verify_token(&b64(&unbound)).is_err());
    }
    assert!(grant().allows_client(None));
}

#[test]
fn a_limit_that_a_token_cannot_say_is_not_signed_away() {
    let world = world();
    for limits in [(65_536, 0), (0, 65_536)] {
        let unsayable = MediaGrant {
            limits: RenditionLimits {
                max_height: limits.0,
                max_audio_kbps: limits.1,
            },
            ..grant()
        };
        let signed = world.store.signer().sign(&unsayable, TokenForm::Hmac);
        assert!(matches!(signed, Err(MediaKeyError::Signing)));
    }
}

#[test]
fn expiry_is_to_the_second() {
    let world = world();
    let name = format!("global/{CONTENT}/manifest.m3u8");
    for form in FORMS {
        world.clock.set(NOW_S * 1000);
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        world.clock.set((NOW_S + 3600) * 1000 - 1);
        assert!(world.ring.verify(&token, &path(&name)).is_ok());
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(
            world.ring.verify(&token, &path(&name)),
            Err(MediaTokenError::Expired)
        );
    }
}

#[test]
fn every_single_change_of_a_character_is_seen() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.%/ ";
    let world = world();
    let name = format!("global/{CONTENT}/manifest.m3u8");
    for form in FORMS {
        let token = world.store.signer().sign(&grant(), form).expect("a token");
        assert!(world.ring.verify(&token, &path(&name)).is_ok());
        for at in 0..token.len() {
            for replacement in ALPHABET.chars().filter(|c| !token[at..].starts_with(*c)) {
                let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
                assert!(
                    world.ring.verify(&changed, &path(&name)).is_err(),
                    "{form:?} {at} {replacement:?}"
                );
            }
            let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
            assert!(world.ring.verify(&shorter, &path(&name)).is_err());
        }
        assert!(
            world
                .ring
                .verify(&format!("{token}A"), &path(&name))
                .is_err()
        );
    }
}

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

fn unb64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .expect("base64url")
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

prop_compose! {
    fn any_grant()(
        region in "[a-z]{2}",
        unique in proptest::collection::vec("[0-9a-hjkmnp-tv-z]{26}", 3),
        ng in any::<bool>(),
        audio in any::<bool>(),
        life_s in 1_i64..100_000,
        limits in any::<(u16, u16)>(),
        client in proptest::option::of(any::<(IpAddr, u8, u8)>()),
    ) -> MediaGrant {
        let id = |prefix: &str, region: &str, i: usize| format!("{prefix}_{region}_{}", unique[i]);
        MediaGrant {
            content_id: id("c", "ng", 0).parse::<ContentId>().expect("an id"),
            user_id: id("u", &region, 1).parse::<UserId>().expect("an id"),
            media_session_id: id("ms", &region, 2).parse::<MediaSessionId>().expect("an id"),
            residency: if ng { Residency::Ng } else { Residency::Global },
            media_type: if audio { MediaType::Audio } else { MediaType::Video },
            expires_s: NOW_S + life_s,
            limits: RenditionLimits {
                max_height: limits.0.into(),
                max_audio_kbps: limits.1.into(),
            },
            client: client.map(|(address, v4, v6)| AddressPrefix::around(address, v4, v6)),
        }
    }
}

proptest! {
    #[test]
    fn every_grant_survives(grant in any_grant(), hmac in any::<bool>()) {
        let world = world();
        let form = if hmac { TokenForm::Hmac } else { TokenForm::Ed25519 };
        let token = world.store.signer().sign(&grant, form).expect("a token");
        prop_assert_eq!(world.ring.verify_token(&token), Ok(Arc::new(grant)));
    }

    #[test]
    fn only_its_own_item_passes(grant in any_grant(), other in any_grant()) {
        let world = world();
        let token = world.store.signer().sign(&grant, TokenForm::Hmac).expect("a token");
        let name = format!("{}/{}/manifest.mpd", other.residency.prefix(), other.content_id);
        let same = grant.content_id == other.content_id && grant.residency == other.residency;
        prop_assert_eq!(world.ring.verify(&token, &path(&name)).is_ok(), same);
    }

    #[test]
    fn no_bytes_panic_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..150), known_head in any::<bool>()) {
        let world = world();
        let mut bytes = bytes;
        if known_head {
            // Past the first checks: version, algorithm, and the id of a real key.
            let token = unb64(&world.store.signer().sign(&grant(), TokenForm::Hmac).expect("a token"));
            bytes.splice(0..bytes.len().min(11), token[..11].iter().copied());
            bytes.resize(112, 0);
        }
        prop_assert!(world.ring.verify_token(&b64(&bytes)).is_err());
    }

    #[test]
    fn no_text_panics_or_passes(text in "\\PC{0,250}") {
        prop_assert!(world().ring.verify_token(&text).is_err());
    }
}
