//! Published keys (RFC 7517).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

use super::jws::JwsKey;
use super::weak_rsa::bears_roca_mark;

/// The largest JWK Set that is read, bytes.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;
/// The most keys a set may have.
pub const KEYS_PER_SET_MAX: usize = 16;
/// The longest key id, bytes.
pub(crate) const KID_BYTES_MAX: usize = 128;
/// RSA moduli, bytes: 2048 bits (RFC 7518 section 3.3) to 8192, beyond which verifying is work for an attacker to order.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// HMAC keys are at least as long as the hash (RFC 7518 section 3.2).
const HMAC_KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=256;
const COORDINATE_BYTES: usize = 32;

/// Why a JWK Set was refused. The keys that were held before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// The policy names no such region.
    #[error("key set of region {0:?} refused: no such region is configured")]
    UnknownRegion(String),
    /// Larger than [`JWKS_BYTES_MAX`], or more than [`KEYS_PER_SET_MAX`] keys.
    #[error("key set refused: {0}")]
    TooLarge(String),
    /// Not an RFC 7517 JWK Set.
    #[error("key set refused: not a JWK Set: {0}")]
    Malformed(String),
    /// A key must not be in such a set, or cannot be used as it says.
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

/// What a set is for, and so what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Published by its issuer: public keys only.
    Public,
    /// Agreed with a partner: either public keys or HMAC secrets (`oct`), never both, so that none can pass for the other.
    Agreed,
}

/// Reads a JWK Set. Keys of types we do not know are left out, as RFC 7517 section 5 wants; what an honest issuer does not
/// publish is refused with the whole set, because whoever does has made a mistake that must be seen.
///
/// # Errors
/// [`KeySetError`].
pub fn parse_key_set(jwks_json: &str, key_use: KeyUse) -> Result<Vec<JwsKey>, KeySetError> {
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
    if keys.len() > KEYS_PER_SET_MAX {
        return Err(KeySetError::TooLarge(format!(
            "{} keys, expected at most {KEYS_PER_SET_MAX}",
            keys.len()
        )));
    }
    let mut accepted: Vec<JwsKey> = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let kid = kid_of(key, place)?;
        if accepted.iter().any(|known| known.kid == kid) {
            return Err(bad(&kid, "the id occurs twice"));
        }
        if let Some((algorithm, key)) = read_key(&kid, key, key_use)? {
            accepted.push(JwsKey {
                kid,
                algorithm,
                key,
            });
        }
    }
    let secrets = accepted
        .iter()
        .filter(|key| key.algorithm == Algorithm::HS256);
    if !matches!(secrets.count(), count if count == 0 || count == accepted.len()) {
        return Err(malformed("it mixes secrets with public keys"));
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
    key_use: KeyUse,
) -> Result<Option<(Algorithm, DecodingKey)>, KeySetError> {
    let is_agreed_secret =
        key_use == KeyUse::Agreed && value.get("kty").is_some_and(|kty| kty == "oct");
    let mut private = ["d", "k", "p", "q", "dp", "dq", "qi"].iter();
    if private.any(|name| value.get(name).is_some() && !(is_agreed_secret && *name == "k")) {
        return Err(bad(
            kid,
            "it holds secret parameters, which must never be published",
        ));
    }
    let Ok(jwk) = serde_json::from_value::<Jwk>(value.clone()) else {
        return Ok(None);
    };
    if !is_for_signatures(&jwk) {
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
            &format!("\"alg\" is {stated:?}, its type only does {algorithm:?} here"),
        ));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| bad(kid, &error.to_string()))?;
    Ok(Some((algorithm, key)))
}

/// By `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3), where the key says.
fn is_for_signatures(jwk: &Jwk) -> bool {
    let is_used_so = matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let may_verify = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    is_used_so && jwk.common.key_operations.as_ref().is_none_or(may_verify)
}

/// The one algorithm that a key's type allows. Keys that could never verify, or anything at all, are refused here, not
/// when the first token comes.
fn algorithm_of(kid: &str, jwk: &Jwk) -> Result<Option<Algorithm>, KeySetError> {
    let bytes = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| bad(kid, "a parameter is not base64url without padding"))
    };
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            check_rsa(kid, &bytes(&rsa.n)?, &bytes(&rsa.e)?)?;
            Ok(Some(Algorithm::RS256))
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            let (x, y) = (bytes(&ec.x)?, bytes(&ec.y)?);
            let point = [&[4], &x[..], &y[..]].concat();
            let has_form = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
            if !has_form || ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_err() {
                return Err(bad(kid, "it is not a point of P-256"));
            }
            Ok(Some(Algorithm::ES256))
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            let x = bytes(&okp.x)?;
            if x.len() != COORDINATE_BYTES || ParsedPublicKey::new(&ED25519, &x).is_err() {
                return Err(bad(kid, "it is not a point of Ed25519"));
            }
            Ok(Some(Algorithm::EdDSA))
        }
        AlgorithmParameters::OctetKey(secret) => {
            if !HMAC_KEY_BYTES.contains(&bytes(&secret.value)?.len()) {
                return Err(bad(kid, "an HMAC secret has 32 to 256 bytes"));
            }
            Ok(Some(Algorithm::HS256))
        }
        _ => Ok(None),
    }
}

fn check_rsa(kid: &str, modulus: &[u8], exponent: &[u8]) -> Result<(), KeySetError> {
    let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
    if !RSA_MODULUS_BYTES.contains(&significant) {
        return Err(bad(kid, "the RSA modulus is not of 2048 to 8192 bits"));
    }
    let exponent = exponent.iter().fold(0_u64, |value, byte| {
        (value << 8 | u64::from(*byte)).min(1 << 40)
    });
    if exponent < 3 || exponent % 2 == 0 || exponent >= 1 << 33 {
        return Err(bad(
            kid,
            "the RSA exponent is not odd and between 3 and 2^33",
        ));
    }
    if bears_roca_mark(modulus) {
        return Err(bad(
            kid,
            "the RSA modulus was made by a generator whose keys can be broken (CVE-2017-15361)",
        ));
    }
    Ok(())
}
