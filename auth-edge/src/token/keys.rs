//! The published keys of each region (RFC 7517).

use std::collections::{BTreeMap, HashMap};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

/// The largest JWK Set that is read, bytes.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;
/// The most keys a region may publish.
pub const KEYS_PER_REGION_MAX: usize = 16;
/// The longest key id, bytes.
pub(super) const KID_BYTES_MAX: usize = 128;
/// The shortest RSA modulus, bytes (RFC 7518 section 3.3: 2048 bits).
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// Why a JWK Set was refused. The keys that were held before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// The policy names no such region.
    #[error("key set of region {0:?} refused: no such region is configured")]
    UnknownRegion(String),
    /// Larger than [`JWKS_BYTES_MAX`], or more than [`KEYS_PER_REGION_MAX`] keys.
    #[error("key set refused: {0}")]
    TooLarge(String),
    /// Not an RFC 7517 JWK Set.
    #[error("key set refused: not a JWK Set: {0}")]
    Malformed(String),
    /// A key must not be in a public set, or cannot be used as it says.
    #[error("key set refused: key {kid:?}: {reason}")]
    BadKey {
        /// The key's id, or its place in the list when it has none.
        kid: String,
        /// What is wrong.
        reason: String,
    },
}

impl KeySetError {
    /// May the same set be taken later? Never: it has to change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// A key that may verify tokens with one algorithm and no other.
#[derive(Debug)]
pub(super) struct VerifyKey {
    pub(super) region: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The union of all regions' keys, by key id. Two regions may use the same id; both keys are tried.
#[derive(Debug, Default)]
pub(super) struct KeyUnion {
    by_kid: HashMap<String, Vec<VerifyKey>>,
}

impl KeyUnion {
    /// `sets`: each region's accepted JWK Set.
    pub(super) fn build(sets: &BTreeMap<String, Vec<(String, Algorithm, DecodingKey)>>) -> Self {
        let mut by_kid: HashMap<String, Vec<VerifyKey>> = HashMap::new();
        for (region, keys) in sets {
            for (kid, algorithm, key) in keys {
                by_kid.entry(kid.clone()).or_default().push(VerifyKey {
                    region: region.clone(),
                    algorithm: *algorithm,
                    key: key.clone(),
                });
            }
        }
        Self { by_kid }
    }

    pub(super) fn find(&self, kid: &str) -> &[VerifyKey] {
        self.by_kid.get(kid).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_kid.is_empty()
    }
}

/// Reads a JWK Set. Keys of types we do not know are left out, as RFC 7517 section 5 wants; secrets and keys without
/// an id are refused with the whole set, because whoever publishes those has made a mistake that must be seen.
pub(super) fn parse_key_set(
    jwks_json: &str,
) -> Result<Vec<(String, Algorithm, DecodingKey)>, KeySetError> {
    if jwks_json.len() > JWKS_BYTES_MAX {
        return Err(KeySetError::TooLarge(format!(
            "{} bytes, expected at most {JWKS_BYTES_MAX}",
            jwks_json.len()
        )));
    }
    let malformed = |reason: &str| KeySetError::Malformed(reason.to_owned());
    let set: serde_json::Value = serde_json::from_str(jwks_json)
        .map_err(|error| KeySetError::Malformed(error.to_string()))?;
    let keys = set
        .get("keys")
        .and_then(serde_json::Value::as_array)
        .ok_or_else(|| malformed("there is no list \"keys\""))?;
    if keys.len() > KEYS_PER_REGION_MAX {
        return Err(KeySetError::TooLarge(format!(
            "{} keys, expected at most {KEYS_PER_REGION_MAX}",
            keys.len()
        )));
    }
    let mut accepted: Vec<(String, Algorithm, DecodingKey)> = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let kid = kid_of(key, place)?;
        if accepted.iter().any(|(known, ..)| *known == kid) {
            return Err(bad(&kid, "the id occurs twice"));
        }
        if let Some((algorithm, key)) = read_key(&kid, key)? {
            accepted.push((kid, algorithm, key));
        }
    }
    if accepted.is_empty() && !keys.is_empty() {
        return Err(malformed("none of its keys is of a type that can be used"));
    }
    Ok(accepted)
}

fn bad(kid: &str, reason: &str) -> KeySetError {
    KeySetError::BadKey {
        kid: kid.chars().take(KID_BYTES_MAX).collect(),
        reason: reason.to_owned(),
    }
}

fn kid_of(key: &serde_json::Value, place: usize) -> Result<String, KeySetError> {
    match key.get("kid").and_then(serde_json::Value::as_str) {
        Some(kid) if !kid.is_empty() && kid.len() <= KID_BYTES_MAX => Ok(kid.to_owned()),
        _ => Err(bad(
            &format!("#{place}"),
            &format!("expected \"kid\", a text of 1 to {KID_BYTES_MAX} bytes"),
        )),
    }
}

fn read_key(
    kid: &str,
    value: &serde_json::Value,
) -> Result<Option<(Algorithm, DecodingKey)>, KeySetError> {
    if ["d", "k", "p", "q", "dp", "dq", "qi"]
        .iter()
        .any(|name| value.get(name).is_some())
    {
        return Err(bad(
            kid,
            "it holds secret parameters, which must never be published",
        ));
    }
    let Ok(jwk) = serde_json::from_value::<Jwk>(value.clone()) else {
        return Ok(None);
    };
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return Ok(None);
    }
    let Some(algorithm) = algorithm_of(kid, &jwk)? else {
        return Ok(None);
    };
    if let Some(stated) = value.get("alg").and_then(serde_json::Value::as_str)
        && stated.parse::<Algorithm>() != Ok(algorithm)
    {
        return Err(bad(
            kid,
            &format!("\"alg\" is {stated:?}, its type only does {algorithm:?}"),
        ));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| bad(kid, &error.to_string()))?;
    Ok(Some((algorithm, key)))
}

/// The one algorithm that a key's type allows.
fn algorithm_of(kid: &str, jwk: &Jwk) -> Result<Option<Algorithm>, KeySetError> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            // Four base64 characters carry three bytes.
            if rsa.n.len() * 3 / 4 < RSA_MODULUS_BYTES_MIN {
                return Err(bad(kid, "the RSA modulus is shorter than 2048 bits"));
            }
            Ok(Some(Algorithm::RS256))
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Ok(Some(Algorithm::ES256))
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            Ok(Some(Algorithm::EdDSA))
        }
        _ => Ok(None),
    }
}
