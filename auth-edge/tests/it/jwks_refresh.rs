//! Issuers are asked for keys when there is reason, and not more often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mcsp_auth_edge::token::{JwksFetch, JwksFetchError, JwksRefresher, RefreshConfig};
use mcsp_auth_edge::{TokenError, TokenPolicy, TokenVerifier};
use mcsp_runtime::{Clock, ManualClock};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{NG, NOW_S, SigningKey, claims, claims_with, ed25519, jwks, sign};

/// An issuer whose answers wait for permits.
#[derive(Debug)]
struct Issuer {
    jwks: Mutex<Option<String>>,
    asked: AtomicUsize,
    permits: Semaphore,
}

#[async_trait]
impl JwksFetch for Issuer {
    async fn fetch(&self, region: &str) -> Result<String, JwksFetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.expect("open").forget();
        self.jwks.lock().clone().ok_or_else(|| JwksFetchError {
            region: region.to_owned(),
            reason: "away".to_owned(),
        })
    }
}

struct World {
    issuer: Arc<Issuer>,
    refresher: Arc<JwksRefresher>,
    clock: Arc<ManualClock>,
    old: SigningKey,
    new: SigningKey,
}

impl World {
    /// The verifier knows the old key; the issuer publishes both.
    fn new(config: RefreshConfig) -> Self {
        let (old, new) = (ed25519("old"), ed25519("new"));
        let clock = ManualClock::new(NOW_S * 1000);
        let verifier = TokenVerifier::new(TokenPolicy::for_regions([NG]), clock.clone())
            .with_keys_age_max(Duration::from_secs(300));
        verifier.set_keys(NG, &jwks(&[&old.jwk])).expect("keys");
        let issuer = Arc::new(Issuer {
            jwks: Mutex::new(Some(jwks(&[&old.jwk, &new.jwk]))),
            asked: AtomicUsize::new(0),
            permits: Semaphore::new(0),
        });
        let refresher = Arc::new(JwksRefresher::new(
            Arc::new(verifier),
            issuer.clone(),
            clock.clone(),
            config,
        ));
        Self {
            issuer,
            refresher,
            clock,
            old,
            new,
        }
    }

    fn asked(&self) -> usize {
        self.issuer.asked.load(Ordering::SeqCst)
    }

    fn answer(&self, count: usize) {
        self.issuer.permits.add_permits(count);
    }
}

#[tokio::test]
async fn a_burst_of_a_new_key_is_one_question_and_nobody_is_refused() {
    let world = World::new(RefreshConfig::default());
    let token = sign(&world.new, &claims());
    let burst: Vec<_> = (0..100)
        .map(|_| {
            let (refresher, token) = (world.refresher.clone(), token.clone());
            tokio::spawn(async move { refresher.verify(&token).await })
        })
        .collect();
    while world.asked() == 0 {
        tokio::task::yield_now().await;
    }
    world.answer(1);
    for one in burst {
        assert!(one.await.expect("it ends").is_ok());
    }
    assert_eq!(world.asked(), 1);
    assert!(
        world
            .refresher
            .verify(&sign(&world.old, &claims()))
            .await
            .is_ok()
    );
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn invented_keys_cannot_make_us_ask_more_often() {
    let world = World::new(RefreshConfig::default());
    world.answer(1000);
    for number in 0..200 {
        let invented = sign(&ed25519(&format!("invented-{number}")), &claims());
        assert_eq!(
            world.refresher.verify(&invented).await,
            Err(TokenError::UnknownKey)
        );
    }
    assert_eq!(world.asked(), 1);
    world.clock.advance(Duration::from_millis(5_000));
    let invented = sign(&ed25519("invented"), &claims());
    assert_eq!(
        world.refresher.verify(&invented).await,
        Err(TokenError::UnknownKey)
    );
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn only_who_names_an_issuer_of_ours_has_it_asked() {
    let world = World::new(RefreshConfig::default());
    world.answer(10);
    for issuer in [json!("https://attacker.example"), json!(1), json!(null)] {
        let foreign = sign(&world.new, &claims_with("iss", issuer));
        assert_eq!(
            world.refresher.verify(&foreign).await,
            Err(TokenError::UnknownKey)
        );
    }
    for nonsense in ["", "a.b.c", "é.é.é"] {
        assert!(world.refresher.verify(nonsense).await.is_err());
    }
    assert_eq!(world.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_is_no_fault_of_the_token() {
    let world = World::new(RefreshConfig::default());
    *world.issuer.jwks.lock() = None;
    let new = sign(&world.new, &claims());
    // It does not answer at all: the wait is bounded.
    assert_eq!(
        world.refresher.verify(&new).await,
        Err(TokenError::KeysUnavailable)
    );
    assert_eq!(
        world.refresher.verify(&new).await,
        Err(TokenError::KeysUnavailable),
        "and is not waited for again at once"
    );
    assert_eq!(world.asked(), 1);
    // What is held stays good for five minutes.
    let lasting = sign(&world.old, &claims_with("exp", json!(NOW_S + 90_000)));
    assert!(world.refresher.verify(&lasting).await.is_ok());
    world.answer(100);
    for _ in 0..6 {
        world.clock.advance(Duration::from_secs(50));
        world.refresher.refresh_all().await;
        assert!(world.refresher.verify(&lasting).await.is_ok());
    }
    world.clock.advance(Duration::from_secs(50));
    assert_eq!(
        world.refresher.verify(&lasting).await,
        Err(TokenError::KeysUnavailable),
        "then it is closed"
    );
    *world.issuer.jwks.lock() = Some(jwks(&[&world.old.jwk]));
    world.clock.advance(Duration::from_secs(50));
    assert!(
        world.refresher.verify(&lasting).await.is_ok(),
        "and opens by itself"
    );
}

#[tokio::test]
async fn a_set_that_cannot_be_used_changes_nothing() {
    let world = World::new(RefreshConfig::default());
    world.answer(10);
    *world.issuer.jwks.lock() = Some("<html>maintenance</html>".to_owned());
    world.refresher.refresh_all().await;
    assert_eq!(world.asked(), 1);
    let old = sign(&world.old, &claims());
    assert!(world.refresher.verify(&old).await.is_ok());
}

#[tokio::test]
async fn who_finds_the_room_full_does_not_wait() {
    let config = RefreshConfig {
        waiting_max: 1,
        ..RefreshConfig::default()
    };
    let world = World::new(config);
    let token = sign(&world.new, &claims());
    let (refresher, waiting_token) = (world.refresher.clone(), token.clone());
    let waiting = tokio::spawn(async move { refresher.verify(&waiting_token).await });
    while world.asked() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        world.refresher.verify(&token).await,
        Err(TokenError::UnknownKey)
    );
    world.answer(1);
    assert!(waiting.await.expect("it ends").is_ok());
}

/// Runs something when it is asked the time.
struct Hooked(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Clock for Hooked {
    fn now_ms(&self) -> i64 {
        let hook = self.0.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        NOW_S * 1000
    }
}

/// The key arrives after the token was looked at and before its issuer could be asked, which is too early then.
#[tokio::test]
async fn a_key_that_arrives_meanwhile_is_no_unknown_one() {
    let (old, new) = (ed25519("old"), ed25519("new"));
    let policy = TokenPolicy::for_regions([NG]);
    let verifier = Arc::new(TokenVerifier::new(policy, ManualClock::new(NOW_S * 1000)));
    let issuer = Arc::new(Issuer {
        jwks: Mutex::new(Some(jwks(&[&old.jwk]))),
        asked: AtomicUsize::new(0),
        permits: Semaphore::new(1),
    });
    let clock = Arc::new(Hooked(Mutex::new(None)));
    let refresher = JwksRefresher::new(
        verifier.clone(),
        issuer.clone(),
        clock.clone(),
        RefreshConfig::default(),
    );
    refresher.refresh_all().await;
    let both = jwks(&[&old.jwk, &new.jwk]);
    *clock.0.lock() = Some(Box::new(move || {
        verifier.set_keys(NG, &both).expect("keys");
    }));
    let verified = refresher.verify(&sign(&new, &claims())).await;
    assert!(verified.is_ok(), "{verified:?}");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_off_the_next_question() {
    let world = World::new(RefreshConfig::default());
    world.answer(10);
    *world.issuer.jwks.lock() = Some(jwks(&[&world.old.jwk]));
    world.clock.set((NOW_S + 3_600) * 1000);
    world.refresher.refresh_all().await;
    world.clock.set(NOW_S * 1000);
    *world.issuer.jwks.lock() = Some(jwks(&[&world.old.jwk, &world.new.jwk]));
    let verified = world.refresher.verify(&sign(&world.new, &claims())).await;
    assert!(verified.is_ok(), "{verified:?}");
    assert_eq!(world.asked(), 2);
}

/// What was confirmed in an hour that is still to come counts as confirmed now, not for an hour and five minutes.
#[test]
fn a_clock_that_is_set_back_does_not_make_keys_younger() {
    let key = ed25519("k");
    let clock = ManualClock::new((NOW_S + 3_600) * 1000);
    let verifier = TokenVerifier::new(TokenPolicy::for_regions([NG]), clock.clone())
        .with_keys_age_max(Duration::from_secs(300));
    verifier.set_keys(NG, &jwks(&[&key.jwk])).expect("keys");
    let token = sign(&key, &claims_with("exp", json!(NOW_S + 90_000)));
    clock.set(NOW_S * 1000);
    assert!(verifier.verify(&token).is_ok());
    clock.advance(Duration::from_secs(300));
    assert!(verifier.verify(&token).is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.verify(&token), Err(TokenError::KeysUnavailable));
}

#[tokio::test]
async fn a_fetch_outlives_whoever_caused_it() {
    let world = World::new(RefreshConfig::default());
    let token = sign(&world.new, &claims());
    let (refresher, first_token) = (world.refresher.clone(), token.clone());
    let first = tokio::spawn(async move { refresher.verify(&first_token).await });
    while world.asked() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.is_err(), "it went away");
    world.answer(1);
    assert!(world.refresher.verify(&token).await.is_ok());
    assert_eq!(world.asked(), 1);
}

#[test]
fn settings_out_of_range_name_the_key() {
    assert!(RefreshConfig::default().validate().is_ok());
    for (config, key) in [
        (
            RefreshConfig {
                interval_min_ms: 0,
                ..RefreshConfig::default()
            },
            "interval_min_ms",
        ),
        (
            RefreshConfig {
                interval_max_ms: 1,
                ..RefreshConfig::default()
            },
            "interval_max_ms",
        ),
        (
            RefreshConfig {
                fetch_timeout_ms: 60_000,
                ..RefreshConfig::default()
            },
            "fetch_timeout_ms",
        ),
        (
            RefreshConfig {
                waiting_max: 0,
                ..RefreshConfig::default()
            },
            "waiting_max",
        ),
    ] {
        assert_eq!(config.validate().expect_err("out of range").key, key);
    }
}
