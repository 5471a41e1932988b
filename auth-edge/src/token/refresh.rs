//! Asking issuers for their keys: on a timer, and when a token names one that is not held.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_api::ViewerIdentity;
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};

use super::error::TokenError;
use super::verify::{TOKEN_BYTES_MAX, TokenVerifier};
use crate::jose::{CompactJws, HeaderRules};

/// Why an issuer's keys could not be had. Every one may pass.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("keys of {region:?} could not be fetched: {reason}")]
pub struct JwksFetchError {
    /// Whose.
    pub region: String,
    /// What went wrong, for the log.
    pub reason: String,
}

/// Brings the JWK Set that a region publishes. Implemented by who may open connections.
#[async_trait]
pub trait JwksFetch: Send + Sync + fmt::Debug {
    /// The set's text; at most [`super::JWKS_BYTES_MAX`] bytes are of use.
    ///
    /// # Errors
    /// [`JwksFetchError`].
    async fn fetch(&self, region: &str) -> Result<String, JwksFetchError>;
}

/// How often issuers are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshConfig {
    /// An issuer is not asked again within this time, milliseconds, whoever wants to know. Default 5 000, 100 to 60 000.
    pub interval_min_ms: u32,
    /// After failures the time doubles up to this, milliseconds. Default 30 000, `interval_min_ms` to 300 000.
    pub interval_max_ms: u32,
    /// How long a fetch may take, milliseconds, and so how long a request may wait for one. Default 2 000, 100 to 10 000.
    pub fetch_timeout_ms: u32,
    /// How many requests may wait at once; more are told at once that their key is unknown. Default 256, 1 to 65 536.
    pub waiting_max: u32,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self {
            interval_min_ms: 5_000,
            interval_max_ms: 30_000,
            fetch_timeout_ms: 2_000,
            waiting_max: 256,
        }
    }
}

/// A setting of [`RefreshConfig`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("token keys: {key} is {value}; expected {expected}")]
pub struct RefreshConfigError {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: u32,
    /// What was expected.
    pub expected: &'static str,
}

impl RefreshConfig {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`RefreshConfigError`] with the first value that is out of range.
    pub fn validate(&self) -> Result<(), RefreshConfigError> {
        let min_ms = self.interval_min_ms;
        let checks = [
            ("interval_min_ms", min_ms, 100..=60_000, "100 to 60000 ms"),
            (
                "interval_max_ms",
                self.interval_max_ms,
                min_ms..=300_000,
                "interval_min_ms to 300000 ms",
            ),
            (
                "fetch_timeout_ms",
                self.fetch_timeout_ms,
                100..=10_000,
                "100 to 10000 ms",
            ),
            ("waiting_max", self.waiting_max, 1..=65_536, "1 to 65536"),
        ];
        for (key, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(RefreshConfigError {
                    key,
                    value,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// Keeps a verifier's keys fresh. However many tokens name unknown keys, an issuer gets one fetch at a time, and at most
/// one in `interval_min_ms`; only who names an issuer of ours can cause one.
#[derive(Debug)]
pub struct JwksRefresher {
    shared: Arc<Shared>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Shared {
    verifier: Arc<TokenVerifier>,
    fetch: Arc<dyn JwksFetch>,
    clock: SharedClock,
    config: RefreshConfig,
    gates: BTreeMap<String, Mutex<Gate>>,
}

/// What is under way for one issuer.
#[derive(Debug, Default)]
struct Gate {
    not_before_ms: i64,
    failures: u32,
    running: Option<watch::Receiver<Fetched>>,
}

/// How the last fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetched {
    Running,
    Done,
    Failed,
}

impl JwksRefresher {
    /// For the regions of the verifier's policy.
    #[must_use]
    pub fn new(
        verifier: Arc<TokenVerifier>,
        fetch: Arc<dyn JwksFetch>,
        clock: SharedClock,
        config: RefreshConfig,
    ) -> Self {
        let regions = verifier.policy().issuers.keys();
        let gates = regions
            .map(|region| (region.clone(), Mutex::default()))
            .collect();
        Self {
            waiting: Semaphore::new(config.waiting_max as usize),
            shared: Arc::new(Shared {
                verifier,
                fetch,
                clock,
                config,
                gates,
            }),
        }
    }

    /// Verifies a token; if its key is not held, after its issuer was asked, once. Waits at most `fetch_timeout_ms`.
    ///
    /// # Errors
    /// [`TokenError`]: [`TokenError::UnknownKey`] when the issuer has no such key either, or was asked a moment ago;
    /// [`TokenError::KeysUnavailable`] when it does not answer.
    pub async fn verify(&self, token: &str) -> Result<ViewerIdentity, TokenError> {
        let first = self.shared.verifier.verify(token);
        let Err(TokenError::UnknownKey | TokenError::NoKeys | TokenError::KeysUnavailable) = first
        else {
            return first;
        };
        let Some(region) = self.issuing_region(token) else {
            return first;
        };
        let Ok(_place) = self.waiting.try_acquire() else {
            return first;
        };
        let fetched = self.refresh(&region).await;
        if matches!(fetched, Some(Fetched::Running | Fetched::Failed)) {
            return Err(TokenError::KeysUnavailable);
        }
        // Too early to ask is not too late to know: a fetch may have ended after the token was looked at.
        match self.shared.verifier.verify(token) {
            // It did not answer a moment ago, so that its key cannot be known.
            Err(TokenError::UnknownKey | TokenError::NoKeys)
                if fetched.is_none() && self.shared.is_failing(&region) =>
            {
                Err(TokenError::KeysUnavailable)
            }
            // Or it did, and has no such key.
            verified => verified,
        }
    }

    /// Asks every issuer that may be asked now, all at once, and waits for them. For a timer; every minute is enough for
    /// keys that are published an hour before they sign.
    pub async fn refresh_all(&self) {
        let regions = self.shared.gates.keys();
        futures::future::join_all(regions.map(|region| self.refresh(region))).await;
    }

    /// The region that the token says it is of, not verified: it only decides who is asked.
    fn issuing_region(&self, token: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Issuer<'a> {
            #[serde(borrow)]
            iss: std::borrow::Cow<'a, str>,
        }
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let jws = CompactJws::parse(token, HeaderRules::Own).ok()?;
        let payload = jws.unverified_payload().ok()?;
        let issuer: Issuer<'_> = serde_json::from_slice(&payload).ok()?;
        let region = self.shared.verifier.policy().region_of(&issuer.iss)?;
        Some(region.to_owned())
    }

    /// How the fetch under way, or a new one, ended; `None` if it is too early for one.
    async fn refresh(&self, region: &str) -> Option<Fetched> {
        let mut fetched = self.shared.join(region)?;
        let ended = fetched.wait_for(|state| *state != Fetched::Running).await;
        // A fetch that died without a word is one that failed.
        Some(ended.map_or(Fetched::Failed, |state| *state))
    }
}

impl Shared {
    fn join(self: &Arc<Self>, region: &str) -> Option<watch::Receiver<Fetched>> {
        let now_ms = self.clock.now_ms();
        let mut gate = self.gates.get(region)?.lock();
        if let Some(running) = &gate.running {
            // Closed without a result: its task was ended. Another may be begun.
            if running.has_changed().is_ok() {
                return Some(running.clone());
            }
            gate.running = None;
        }
        // Further ahead than any pause is what the clock has been set back by.
        let early_ms = gate.not_before_ms.saturating_sub(now_ms);
        if early_ms > 0 && early_ms <= self.config.interval_max_ms.into() {
            return None;
        }
        let (ended, fetched) = watch::channel(Fetched::Running);
        gate.running = Some(fetched.clone());
        gate.not_before_ms = now_ms.saturating_add(self.config.interval_min_ms.into());
        let (shared, region) = (Arc::clone(self), region.to_owned());
        // A task of its own: requests that go away must not break it off for those that wait.
        tokio::spawn(async move {
            let is_done = shared.fetch(&region).await;
            shared.leave(&region, is_done);
            let result = if is_done {
                Fetched::Done
            } else {
                Fetched::Failed
            };
            ended.send_replace(result);
        });
        Some(fetched)
    }

    fn is_failing(&self, region: &str) -> bool {
        let gate = self.gates.get(region);
        gate.is_some_and(|gate| gate.lock().failures > 0)
    }

    async fn fetch(&self, region: &str) -> bool {
        let timeout = Duration::from_millis(self.config.fetch_timeout_ms.into());
        let fetched = tokio::time::timeout(timeout, self.fetch.fetch(region)).await;
        let jwks_json = match fetched {
            Ok(Ok(jwks_json)) => jwks_json,
            Ok(Err(error)) => {
                tracing::warn!(%error, "token keys not refreshed");
                return false;
            }
            Err(_) => {
                tracing::warn!(region, "token keys not refreshed: no answer in time");
                return false;
            }
        };
        if let Err(error) = self.verifier.set_keys(region, &jwks_json) {
            tracing::error!(%error, region, "token keys not refreshed");
            return false;
        }
        true
    }

    fn leave(&self, region: &str, is_done: bool) {
        let Some(gate) = self.gates.get(region) else {
            return;
        };
        let mut gate = gate.lock();
        gate.running = None;
        gate.failures = if is_done {
            0
        } else {
            gate.failures.saturating_add(1)
        };
        let doublings = gate.failures.saturating_sub(1).min(16);
        let pause_ms = (i64::from(self.config.interval_min_ms) << doublings)
            .min(self.config.interval_max_ms.into());
        gate.not_before_ms = self.clock.now_ms().saturating_add(pause_ms);
    }
}
