//! Media tokens: what is signed is what is allowed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::events::MediaType;
use mcsp_api::media_path::MediaPath;
use mcsp_api::{ContentId, MediaSessionId, Residency, UserId};
use mcsp_auth_edge::media::TOKEN_CHARS_MAX;
use mcsp_auth_edge::{
    AddressPrefix, MediaGrant, MediaKeyError, MediaTokenError, RenditionLimits, TokenForm,
};
use proptest::prelude::*;

use crate::media_support::{CONTENT, FORMS, OTHER, grant, path, world};
use crate::support::{NOW_S, b64, unb64};

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
