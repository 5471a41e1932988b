//! Verification of access tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use mcsp_api::{RegionCode, ViewerIdentity};
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;

use super::claims::AccessClaims;
use super::error::TokenError;
use super::keys::{KeyUnion, RegionKeys, VerifyKey};
use super::{AUDIENCE, issuer_of};
use crate::Revocations;
use crate::jose::{CompactJws, HeaderRules, KeySetError, KeyUse, parse_key_set};
use crate::memory::{TokenMemory, name_of};

/// The longest token that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// The largest clock skew that a policy may allow, seconds.
pub const SKEW_S_MAX: u32 = 120;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
const SESSION_ID_BYTES_MAX: usize = 128;

/// What a token must say to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPolicy {
    /// Region id to the issuer its tokens name.
    pub issuers: BTreeMap<String, String>,
    /// What `aud` must be, exactly.
    pub audience: String,
    /// How far clocks may be apart, seconds; at most [`SKEW_S_MAX`], more counts as that.
    pub skew_s: u32,
}

impl TokenPolicy {
    /// The policy for these regions, with the usual issuers and audience, and 30 s of skew.
    #[must_use]
    pub fn for_regions<'a>(regions: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            issuers: regions
                .into_iter()
                .map(|region| (region.to_owned(), issuer_of(region)))
                .collect(),
            audience: AUDIENCE.to_owned(),
            skew_s: 30,
        }
    }

    /// The region whose tokens name this issuer.
    #[must_use]
    pub fn region_of(&self, issuer: &str) -> Option<&str> {
        let is_its = |entry: &(&String, &String)| entry.1 == issuer;
        self.issuers
            .iter()
            .find(is_its)
            .map(|(region, _)| region.as_str())
    }
}

/// Verifies access tokens against the union of the regions' keys, which may be replaced at any time.
///
/// Tokens whose signature was right are remembered, so that a session pays for it once; time, revocation and the age of
/// the keys are asked about at every use, and a change of keys forgets all.
#[derive(Debug)]
pub struct TokenVerifier {
    policy: TokenPolicy,
    clock: SharedClock,
    region_codes: BTreeMap<String, RegionCode>,
    revocations: Arc<Revocations>,
    keys_age_max_ms: Option<i64>,
    state: ArcSwap<State>,
    sets: Mutex<BTreeMap<String, RegionKeys>>,
}

/// Replaced as a whole by every change of keys. What a verification under way finds with former keys is remembered where
/// nobody looks any more.
#[derive(Debug, Default)]
struct State {
    keys: KeyUnion,
    verified: TokenMemory<Verified>,
}

/// A token whose signature, issuer and audience are right.
#[derive(Debug, Clone)]
struct Verified {
    claims: Arc<AccessClaims>,
    keys_confirmed_ms: Arc<AtomicI64>,
}

impl TokenVerifier {
    /// A verifier without keys and with revocations of its own.
    #[must_use]
    pub fn new(policy: TokenPolicy, clock: SharedClock) -> Self {
        Self {
            policy,
            revocations: Revocations::new(clock.clone()),
            clock,
            region_codes: BTreeMap::new(),
            keys_age_max_ms: None,
            state: ArcSwap::default(),
            sets: Mutex::default(),
        }
    }

    /// Refuses tokens of the login sessions in `revocations`, which others fill.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = revocations;
        self
    }

    /// Lets each region listed issue tokens for its own users only: the region code in `sub` must be that of the region
    /// whose key signed. A region that is not listed may speak for any user.
    #[must_use]
    pub fn with_region_codes(mut self, codes: BTreeMap<String, RegionCode>) -> Self {
        self.region_codes = codes;
        // What was verified before was verified by other rules.
        self.rebuild(&self.sets.lock());
        self
    }

    /// Believes a region's keys for so long after they were last set or confirmed, then no token of it
    /// ([`TokenError::KeysUnavailable`]). Without it the caller decides by [`Self::keys_age`] or its own means.
    #[must_use]
    pub fn with_keys_age_max(mut self, age_max: Duration) -> Self {
        self.keys_age_max_ms = Some(i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// The revocations that are consulted.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What tokens must say.
    #[must_use]
    pub fn policy(&self) -> &TokenPolicy {
        &self.policy
    }

    /// Replaces the keys of a region, atomically: a verification sees the old union or the new one. An empty set is
    /// taken too: that is how a region disowns all its keys. The same text again only confirms what is held.
    ///
    /// # Errors
    /// [`KeySetError`]; the keys held before stay in force.
    pub fn set_keys(&self, region: &str, jwks_json: &str) -> Result<(), KeySetError> {
        if !self.policy.issuers.contains_key(region) {
            return Err(KeySetError::UnknownRegion(
                region.chars().take(64).collect(),
            ));
        }
        let now_ms = self.clock.now_ms();
        let mut sets = self.sets.lock();
        if let Some(held) = sets.get(region)
            && *held.jwks_json == *jwks_json
        {
            held.confirmed_ms.store(now_ms, Ordering::Relaxed);
            return Ok(());
        }
        let keys = parse_key_set(jwks_json, KeyUse::Public)?;
        let set = RegionKeys {
            jwks_json: jwks_json.into(),
            keys,
            confirmed_ms: Arc::new(AtomicI64::new(now_ms)),
        };
        sets.insert(region.to_owned(), set);
        self.rebuild(&sets);
        Ok(())
    }

    fn rebuild(&self, sets: &BTreeMap<String, RegionKeys>) {
        self.state.store(Arc::new(State {
            keys: KeyUnion::build(sets.iter()),
            verified: TokenMemory::default(),
        }));
    }

    /// Says that the region's keys are known to be current now, though they did not change.
    pub fn confirm_keys(&self, region: &str) {
        if let Some(set) = self.sets.lock().get(region) {
            set.confirmed_ms
                .store(self.clock.now_ms(), Ordering::Relaxed);
        }
    }

    /// How long ago the region's keys were last set or confirmed; `None` when there are none.
    #[must_use]
    pub fn keys_age(&self, region: &str) -> Option<Duration> {
        let sets = self.sets.lock();
        let confirmed_ms = sets.get(region)?.confirmed_ms.load(Ordering::Relaxed);
        let age_ms = self.clock.now_ms().saturating_sub(confirmed_ms);
        Some(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }

    /// How many verified tokens are remembered; for metrics.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.state.load().verified.len()
    }

    /// Verifies a compact JWT (RFC 7519, RFC 8725): algorithm bound to the key's type, key by `kid`, signature, issuer,
    /// audience, times, revocation.
    ///
    /// # Errors
    /// [`TokenError`], the first fault found.
    pub fn verify(&self, token: &str) -> Result<ViewerIdentity, TokenError> {
        self.verified_claims(token).map(|claims| ViewerIdentity {
            user_id: claims.sub.clone(),
            role: claims.role,
            session_id: claims.sid.clone(),
            organisation_id: claims.org.clone(),
            expires_s: claims.exp,
        })
    }

    /// [`Self::verify`], with every claim.
    ///
    /// # Errors
    /// [`TokenError`], the first fault found.
    pub fn verify_claims(&self, token: &str) -> Result<AccessClaims, TokenError> {
        self.verified_claims(token).map(Arc::unwrap_or_clone)
    }

    fn verified_claims(&self, token: &str) -> Result<Arc<AccessClaims>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let state = self.state.load();
        let name = name_of(token);
        if let Some(verified) = state.verified.get(&name) {
            self.check_now(&verified)?;
            return Ok(verified.claims);
        }
        // An `alg` that the library does not know, such as `none`, fails here.
        let jws = CompactJws::parse(token, HeaderRules::Own)?;
        if !ALGORITHMS.contains(&jws.algorithm()) {
            return Err(TokenError::Algorithm);
        }
        let (claims, key) = verify_signature(&jws, &state.keys)?;
        self.check_claims(&claims, &key.region)?;
        let verified = Verified {
            claims: Arc::new(claims),
            keys_confirmed_ms: Arc::clone(&key.confirmed_ms),
        };
        self.check_now(&verified)?;
        state.verified.insert(name, verified.clone());
        Ok(verified.claims)
    }

    /// What a token cannot change about itself.
    fn check_claims(&self, claims: &AccessClaims, region: &str) -> Result<(), TokenError> {
        if self.policy.issuers.get(region) != Some(&claims.iss) {
            return Err(TokenError::Issuer);
        }
        if self
            .region_codes
            .get(region)
            .is_some_and(|code| *code != claims.sub.region())
        {
            return Err(TokenError::Issuer);
        }
        if claims.aud != self.policy.audience {
            return Err(TokenError::Audience);
        }
        if claims.sid.is_empty() || claims.sid.len() > SESSION_ID_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        Ok(())
    }

    /// What may be otherwise by the next request.
    fn check_now(&self, verified: &Verified) -> Result<(), TokenError> {
        let claims = &verified.claims;
        let now_ms = self.clock.now_ms();
        let now_s = now_ms.div_euclid(1000);
        let skew_s = i64::from(self.policy.skew_s.min(SKEW_S_MAX));
        if now_s >= claims.exp.saturating_add(skew_s) {
            return Err(TokenError::Expired);
        }
        if claims.nbf.max(claims.iat) > now_s.saturating_add(skew_s) {
            return Err(TokenError::NotYetValid);
        }
        let is_revoked = self
            .revocations
            .is_user_session_revoked(&claims.sid, claims.exp);
        if is_revoked {
            return Err(TokenError::Revoked);
        }
        let confirmed_ms = verified.keys_confirmed_ms.load(Ordering::Relaxed);
        if confirmed_ms > now_ms {
            // The clock was set back. Their age counts from now on, or they would be believed for longer by as much.
            verified
                .keys_confirmed_ms
                .fetch_min(now_ms, Ordering::Relaxed);
        }
        let age_ms = now_ms.saturating_sub(confirmed_ms);
        match self.keys_age_max_ms {
            Some(age_max_ms) if age_ms > age_max_ms => Err(TokenError::KeysUnavailable),
            _ => Ok(()),
        }
    }
}

fn verify_signature<'k>(
    jws: &CompactJws<'_>,
    keys: &'k KeyUnion,
) -> Result<(AccessClaims, &'k VerifyKey), TokenError> {
    if keys.is_empty() {
        return Err(TokenError::NoKeys);
    }
    let candidates = keys.find(jws.kid().unwrap_or_default());
    if candidates.is_empty() {
        return Err(TokenError::UnknownKey);
    }
    let mut fault = TokenError::Algorithm;
    for candidate in candidates {
        match jws.verify(&candidate.key) {
            Ok(payload) => {
                let claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
                return Ok((claims, candidate));
            }
            // A key for another algorithm says less than one that fits and did not sign.
            Err(error) if fault == TokenError::Algorithm => fault = error.into(),
            Err(_) => {}
        }
    }
    Err(fault)
}
