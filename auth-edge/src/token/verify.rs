//! Verification of access tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use mcsp_api::{RegionCode, ViewerIdentity};
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use thiserror::Error;

use super::claims::AccessClaims;
use super::keys::{KID_BYTES_MAX, KeySetError, KeyUnion, VerifyKey, parse_key_set};
use super::{AUDIENCE, issuer_of};
use crate::Revocations;

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
}

/// Why a token was refused. The text names no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// Not a JWT with the claims we issue.
    #[error("the token is malformed")]
    Malformed,
    /// Its `alg` is none of RS256, ES256 and EdDSA, or not the one its key is for.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No key with its `kid` is held.
    #[error("the token was signed by an unknown key")]
    UnknownKey,
    /// No keys at all are held yet: it cannot be told whether the token is good.
    #[error("no token keys are known yet")]
    NoKeys,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// `iss` is not the region whose key signed, or that region does not issue tokens for this user.
    #[error("the token's issuer is wrong")]
    Issuer,
    /// `aud` is not ours.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its login session was ended.
    #[error("the token's session was ended")]
    Revoked,
}

impl TokenError {
    /// May the same token be good later, when keys have arrived or its time has come?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::UnknownKey | Self::NoKeys | Self::NotYetValid)
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::NoKeys => "no-keys",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
        }
    }
}

/// Verifies access tokens against the union of the regions' keys, which may be replaced at any time.
#[derive(Debug)]
pub struct TokenVerifier {
    policy: TokenPolicy,
    clock: SharedClock,
    region_codes: BTreeMap<String, RegionCode>,
    revocations: Arc<Revocations>,
    keys: ArcSwap<KeyUnion>,
    sets: Mutex<BTreeMap<String, RegionKeys>>,
}

#[derive(Debug)]
struct RegionKeys {
    keys: Vec<(String, Algorithm, DecodingKey)>,
    confirmed_ms: i64,
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
            keys: ArcSwap::default(),
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
        self
    }

    /// The revocations that are consulted.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Replaces the keys of a region, atomically: a verification sees the old union or the new one. An empty set is
    /// taken too: that is how a region disowns all its keys.
    ///
    /// # Errors
    /// [`KeySetError`]; the keys held before stay in force.
    pub fn set_keys(&self, region: &str, jwks_json: &str) -> Result<(), KeySetError> {
        if !self.policy.issuers.contains_key(region) {
            return Err(KeySetError::UnknownRegion(
                region.chars().take(64).collect(),
            ));
        }
        let keys = parse_key_set(jwks_json)?;
        let mut sets = self.sets.lock();
        sets.insert(
            region.to_owned(),
            RegionKeys {
                keys,
                confirmed_ms: self.clock.now_ms(),
            },
        );
        let union = sets
            .iter()
            .map(|(region, set)| (region.clone(), set.keys.clone()))
            .collect();
        self.keys.store(Arc::new(KeyUnion::build(&union)));
        Ok(())
    }

    /// Says that the region's keys are known to be current now, though they did not change.
    pub fn confirm_keys(&self, region: &str) {
        if let Some(set) = self.sets.lock().get_mut(region) {
            set.confirmed_ms = self.clock.now_ms();
        }
    }

    /// How long ago the region's keys were last set or confirmed; `None` when there are none. The caller decides how old
    /// is too old (the edge: 5 minutes after its last contact with the origin).
    #[must_use]
    pub fn keys_age(&self, region: &str) -> Option<Duration> {
        let confirmed_ms = self.sets.lock().get(region)?.confirmed_ms;
        let age_ms = self.clock.now_ms().saturating_sub(confirmed_ms);
        Some(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }

    /// Verifies a compact JWT (RFC 7519, RFC 8725): algorithm bound to the key's type, key by `kid`, signature, issuer,
    /// audience, times, revocation.
    ///
    /// # Errors
    /// [`TokenError`], the first fault found.
    pub fn verify(&self, token: &str) -> Result<ViewerIdentity, TokenError> {
        self.verify_claims(token).map(|claims| ViewerIdentity {
            user_id: claims.sub,
            role: claims.role,
            session_id: claims.sid,
            organisation_id: claims.org,
            expires_s: claims.exp,
        })
    }

    /// [`Self::verify`], with every claim.
    ///
    /// # Errors
    /// [`TokenError`], the first fault found.
    pub fn verify_claims(&self, token: &str) -> Result<AccessClaims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        // An `alg` that the library does not know, such as `none`, fails here.
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let kid = check_header(&header)?;
        let keys = self.keys.load();
        let (claims, region) = verify_signature(token, header.alg, &keys, kid)?;
        self.check_claims(&claims, region)?;
        Ok(claims)
    }

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
        let now_s = self.clock.now_s();
        let skew_s = i64::from(self.policy.skew_s.min(SKEW_S_MAX));
        if now_s >= claims.exp.saturating_add(skew_s) {
            return Err(TokenError::Expired);
        }
        if claims.nbf.max(claims.iat) > now_s.saturating_add(skew_s) {
            return Err(TokenError::NotYetValid);
        }
        if self
            .revocations
            .is_user_session_revoked(&claims.sid, claims.exp)
        {
            return Err(TokenError::Revoked);
        }
        Ok(())
    }
}

/// The `kid`, if the header is one we could have written. Keys inside the token or behind its addresses are never
/// looked at; a header that brings some is refused, as is one with extensions we do not know (`crit`).
fn check_header(header: &Header) -> Result<&str, TokenError> {
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    let brings_keys = header.jwk.is_some()
        || header.jku.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some();
    if brings_keys || header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(TokenError::Malformed);
    }
    let typed_right =
        |typ: &str| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt");
    if !header.typ.as_deref().is_none_or(typed_right) {
        return Err(TokenError::Malformed);
    }
    header
        .kid
        .as_deref()
        .filter(|kid| !kid.is_empty() && kid.len() <= KID_BYTES_MAX)
        .ok_or(TokenError::Malformed)
}

fn verify_signature<'k>(
    token: &str,
    algorithm: Algorithm,
    keys: &'k KeyUnion,
    kid: &str,
) -> Result<(AccessClaims, &'k str), TokenError> {
    if keys.is_empty() {
        return Err(TokenError::NoKeys);
    }
    let candidates = keys.find(kid);
    if candidates.is_empty() {
        return Err(TokenError::UnknownKey);
    }
    let mut fault = TokenError::Algorithm;
    let fitting = |key: &&VerifyKey| key.algorithm == algorithm;
    for candidate in candidates.iter().filter(fitting) {
        match decode::<AccessClaims>(token, &candidate.key, &signature_only(algorithm)) {
            Ok(data) => return Ok((data.claims, &candidate.region)),
            Err(error) => {
                fault = match error.kind() {
                    ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_) => {
                        TokenError::Malformed
                    }
                    _ => TokenError::Signature,
                };
            }
        }
    }
    Err(fault)
}

/// The library reads the machine's clock, ours is an input: it checks signatures, and the claims are checked here.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
