//! Renewal without a gap, and without an end that nobody set.

use std::sync::Arc;

use mcsp_api::media_path::MediaPath;
use mcsp_api::{MediaSessionId, RegionCode};
use mcsp_auth_edge::media::{RenewalDecision, SESSION_LIFE_S_MAX};
use mcsp_auth_edge::{
    AddressPrefix, MediaAlgorithm, MediaGrant, MediaKeyring, MediaTokenError, MediaVerifier,
    RenditionLimits, Renewal, RenewalPolicy, Revocations, TokenForm,
};
use mcsp_runtime::{ManualClock, SeededEntropy};
use proptest::prelude::*;
use serde_json::json;

use crate::media_support;
use crate::partner_support::{Ask, CONTENT, config};
use crate::support::{NOW_S, b64, unb64};

struct World {
    base: media_support::World,
    verifier: MediaVerifier,
    revocations: Arc<Revocations>,
    policy: RenewalPolicy,
}

fn world() -> World {
    let base = media_support::world();
    let keyring = Arc::new(MediaKeyring::new(base.clock.clone()));
    keyring.replace(base.store.published()).expect("keys");
    World {
        verifier: MediaVerifier::new(keyring, base.clock.clone()),
        revocations: Revocations::new(base.clock.clone()),
        policy: RenewalPolicy::default(),
        base,
    }
}

/// A session that begins now, with an hour's URL.
fn grant() -> MediaGrant {
    let region: RegionCode = "ng".parse().expect("a region");
    let clock = ManualClock::new(NOW_S * 1000);
    MediaGrant {
        media_session_id: MediaSessionId::generate(region, &*clock, &*SeededEntropy::new(3)),
        expires_s: NOW_S + 3_600,
        ..media_support::grant()
    }
}

impl World {
    fn token(&self, grant: &MediaGrant) -> String {
        self.base
            .store
            .signer()
            .sign(grant, TokenForm::Hmac)
            .expect("a token")
    }

    fn renewal(&self, token: &str, ask: &Ask<'_>) -> Renewal {
        ask.with(|request| {
            self.verifier
                .renewal(token, request, &self.policy, &self.revocations)
        })
    }

    /// The token in the path of a renewal.
    fn renewed(&self, token: &str, ask: &Ask<'_>) -> Option<String> {
        match self.renewal(token, ask) {
            Renewal::Due { path, .. } => {
                let (path, _) = path.split_once('?').unwrap_or((&path, ""));
                let (token, _) = MediaPath::parse_viewer(path).expect("a viewer's path");
                Some(token.to_owned())
            }
            _ => None,
        }
    }

    fn at(&self, seconds: i64) {
        self.base.clock.set((NOW_S + seconds) * 1000);
    }
}

#[test]
fn a_manifest_is_renewed_in_good_time_and_a_segment_when_it_must() {
    let world = world();
    let token = world.token(&grant());
    let (manifest, segment) = (Ask::of("manifest.m3u8"), Ask::of("v720/1.m4s"));
    for (seconds, of_manifest, of_segment) in [
        (0, false, false),
        (2_399, false, false),
        (2_400, true, false),
        (3_599, true, false),
        (3_600, true, true),
        (40_000, true, true),
    ] {
        world.at(seconds);
        assert_eq!(
            world.renewed(&token, &manifest).is_some(),
            of_manifest,
            "{seconds}"
        );
        assert_eq!(
            world.renewed(&token, &segment).is_some(),
            of_segment,
            "{seconds}"
        );
    }
}

#[test]
fn a_player_that_never_reads_its_manifest_again_plays_on_without_a_gap() {
    let world = world();
    let token = world.token(&grant());
    // A segment every six seconds, all by the first URL; where it is over, as the answer sends it on.
    for seconds in (0..43_200).step_by(6) {
        world.at(seconds);
        let ask = Ask::of(&format!("v720/{seconds}.m4s"));
        let verify = |token: &str| ask.with(|request| world.verifier.verify(token, request));
        match verify(&token) {
            Ok(_) => assert!(seconds < 3_600),
            Err(error) => {
                assert_eq!(error, MediaTokenError::Expired, "{seconds}");
                let renewed = world.renewed(&token, &ask).expect("a renewed path");
                assert!(verify(&renewed).is_ok(), "{seconds}");
            }
        }
    }
    // The session has an end that renewals cannot move.
    world.at(43_200);
    assert_eq!(world.renewal(&token, &Ask::default()), Renewal::Over);
}

#[test]
fn chains_of_renewals_end_with_the_session_too() {
    let world = world();
    let mut token = world.token(&grant());
    let ask = Ask::of("manifest.m3u8");
    let mut renewals = 0;
    for seconds in (0..50_000).step_by(30) {
        world.at(seconds);
        if let Some(renewed) = world.renewed(&token, &ask) {
            token = renewed;
            renewals += 1;
        }
        let is_good = ask
            .with(|request| world.verifier.verify(&token, request))
            .is_ok();
        assert_eq!(is_good, seconds < 43_200, "{seconds}");
    }
    assert!((15..40).contains(&renewals), "{renewals}");
}

#[test]
fn a_renewed_token_allows_what_the_old_one_did() {
    let world = world();
    let limited = MediaGrant {
        limits: RenditionLimits {
            max_height: 720,
            max_audio_kbps: 128,
        },
        client: AddressPrefix::parse("198.51.100.0/24"),
        ..grant()
    };
    let token = world.token(&limited);
    world.at(3_700);
    let ask = Ask {
        query: Some("a=b"),
        ..Ask::from("198.51.100.9")
    };
    let Renewal::Due { path, expires_s } = world.renewal(&token, &ask) else {
        panic!("due");
    };
    assert_eq!(expires_s, NOW_S + 3_700 + 3_600);
    assert!(
        path.ends_with(&format!("/global/{CONTENT}/v720/1.m4s?a=b")),
        "{path}"
    );
    let renewed = world.renewed(&token, &ask).expect("a token");
    let access = ask
        .with(|request| world.verifier.verify(&renewed, request))
        .expect("access");
    assert_eq!(access.limits(), limited.limits);
    assert_eq!(access.media_session_id(), Some(&limited.media_session_id));
    // By another client, of another rendition or item: neither served nor renewed.
    for wrong in [
        Ask::from("198.51.101.9"),
        Ask::default(),
        Ask {
            name: format!("global/{CONTENT}/v1080/1.m4s"),
            ..ask.clone()
        },
        Ask {
            name: format!("ng/{CONTENT}/v720/1.m4s"),
            ..ask.clone()
        },
        Ask {
            name: format!("global/{}/v720/1.m4s", crate::partner_support::OTHER),
            ..ask.clone()
        },
    ] {
        assert_eq!(world.renewal(&token, &wrong), Renewal::Over, "{wrong:?}");
    }
}

#[test]
fn what_is_revoked_altered_or_made_elsewhere_is_not_renewed() {
    let world = world();
    let grant = grant();
    let token = world.token(&grant);
    world.at(3_700);
    let ask = Ask::default();
    assert!(world.renewed(&token, &ask).is_some());
    let mut bytes = unb64(&token);
    bytes[18] ^= 1;
    assert_eq!(world.renewal(&b64(&bytes), &ask), Renewal::Over);
    // Verified with a public key: who holds only that cannot sign.
    let public = world
        .base
        .store
        .signer()
        .sign(&grant, TokenForm::Ed25519)
        .expect("a token");
    let secretless = Arc::new(MediaKeyring::new(world.base.clock.clone()));
    let keys = world.base.store.published().into_iter();
    secretless
        .replace(
            keys.filter(|key| key.algorithm == MediaAlgorithm::Ed25519)
                .collect(),
        )
        .expect("keys");
    let partner_node = MediaVerifier::new(secretless, world.base.clock.clone());
    let renewal = ask
        .with(|request| partner_node.renewal(&public, request, &world.policy, &world.revocations));
    assert_eq!(renewal, Renewal::Over);
    world
        .revocations
        .revoke_media_session(&grant.media_session_id, NOW_S + 3_600);
    assert_eq!(world.renewal(&token, &ask), Renewal::Over);
}

#[test]
fn a_session_from_the_future_is_not_renewed() {
    let world = world();
    let odd = MediaGrant {
        media_session_id: "ms_ng_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id"),
        ..grant()
    };
    let token = world.token(&odd);
    world.at(3_700);
    assert_eq!(world.renewal(&token, &Ask::default()), Renewal::Over);
}

#[test]
fn renewal_goes_on_over_rotations_of_keys() {
    let world = world();
    let token = world.token(&grant());
    world.at(3_000);
    world.base.store.rotate().expect("rotated");
    world
        .verifier
        .keyring()
        .replace(world.base.store.published())
        .expect("keys");
    world.at(3_600);
    // The old key still verifies, but not as long as a new URL must: another signs.
    let ask = Ask::of("v720/1.m4s");
    let renewed = world.renewed(&token, &ask).expect("renewed");
    world.at(3_000 + 14_399);
    let by_old = world
        .renewed(&token, &ask)
        .expect("the old key verifies to its end");
    assert_ne!(unb64(&by_old)[3..11], unb64(&token)[3..11]);
    world.at(7_000);
    assert!(
        ask.with(|request| world.verifier.verify(&renewed, request))
            .is_ok()
    );
}

#[test]
fn settings_out_of_range_name_the_key() {
    let default = RenewalPolicy::default();
    assert!(default.validate().is_ok());
    for (policy, key) in [
        (
            RenewalPolicy {
                url_life_s: 59,
                ..default.clone()
            },
            "url_life_s",
        ),
        (
            RenewalPolicy {
                renew_before_s: 0,
                ..default.clone()
            },
            "renew_before_s",
        ),
        (
            RenewalPolicy {
                renew_before_s: 3_601,
                ..default.clone()
            },
            "renew_before_s",
        ),
        (
            RenewalPolicy {
                session_life_s: 3_599,
                ..default.clone()
            },
            "session_life_s",
        ),
        (
            RenewalPolicy {
                session_life_s: SESSION_LIFE_S_MAX + 1,
                ..default
            },
            "session_life_s",
        ),
    ] {
        assert_eq!(policy.validate().expect_err("out of range").key, key);
    }
    let config = config();
    for (key, value) in [
        ("id", json!("A B")),
        ("issuer", json!("")),
        ("forms", json!([])),
        ("regions", json!([])),
        ("residencies", json!([])),
        ("token_life_max_s", json!(0)),
        ("skew_s", json!(121)),
    ] {
        let mut config = config.clone();
        config[key] = value;
        let parsed: mcsp_auth_edge::media::partner::PartnerConfig =
            serde_json::from_value(config).expect("it parses");
        let fault = parsed.validate().expect_err(key);
        assert!(fault.to_string().contains(key), "{fault}");
    }
}

proptest! {
    /// Whatever the times, nothing is renewed beyond its session, nor to less than it has.
    #[test]
    fn decisions_keep_to_the_session(
        began in 0_i64..100_000, life in 1_i64..100_000, asked in 0_i64..300_000, is_manifest in any::<bool>(),
    ) {
        let policy = RenewalPolicy::default();
        let region: RegionCode = "ng".parse().expect("a region");
        let clock = ManualClock::new((NOW_S + began) * 1000);
        let grant = MediaGrant {
            media_session_id: MediaSessionId::generate(region, &*clock, &*SeededEntropy::new(3)),
            expires_s: NOW_S + began + life,
            ..media_support::grant()
        };
        let now_s = NOW_S + asked;
        if let RenewalDecision::Due { expires_s } = policy.decide(&grant, is_manifest, now_s) {
            prop_assert!(expires_s > now_s && expires_s > grant.expires_s);
            prop_assert!(expires_s <= NOW_S + began + 43_200);
            prop_assert!(expires_s <= now_s + 3_600);
            prop_assert!(now_s >= NOW_S + began - 120);
        }
    }
}
