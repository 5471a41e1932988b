//! The compact serialization of RFC 7515 section 7.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use thiserror::Error;

use super::KID_BYTES_MAX;

/// Parameters that mean something else than what is done here, so that to ignore them would be to misread the token:
/// unencoded payloads (RFC 7797) and what belongs to encryption (RFC 7516, RFC 7518 section 4).
const FOREIGN_PARAMETERS: [&str; 7] = ["b64", "epk", "apu", "apv", "iv", "tag", "p2s"];

/// Why a signed token was refused before anything it says was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JwsError {
    /// Not three parts of base64url in their one form, or not a header that could have been meant for us.
    #[error("the token is malformed")]
    Malformed,
    /// Its `alg` is not the key's.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
}

/// How much of a header is put up with. Keys that a token brings (`jwk`, `jku`, `x5u`, `x5c`), `crit`, `enc`, `zip` and
/// `b64` are refused by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRules {
    /// What our own regions write: `alg`, `typ` and a `kid`, nothing else.
    Own,
    /// Other issuers': what is not understood and not critical is ignored (RFC 7515 section 4), `kid` may be absent.
    Foreign,
}

/// A key for one algorithm, and never for another.
#[derive(Debug, Clone)]
pub struct JwsKey {
    /// Its name; may be empty where keys have none.
    pub kid: String,
    /// What it is for.
    pub algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// A token taken apart. Nothing of it is verified before [`Self::verify`] has returned its payload.
#[derive(Debug)]
pub struct CompactJws<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Takes the token apart and reads its header. The caller has bounded its length.
    ///
    /// # Errors
    /// [`JwsError::Malformed`], also for an `alg` that the library does not know, such as `none` in whatever case.
    pub fn parse(token: &'a str, rules: HeaderRules) -> Result<Self, JwsError> {
        let (message, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JwsError::Malformed)?;
        if payload.contains('.') {
            return Err(JwsError::Malformed);
        }
        let header = decode(header)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Malformed)?;
        check_header(&header, rules)?;
        Ok(Self {
            algorithm: header.alg,
            kid: header.kid,
            message,
            payload,
            signature,
        })
    }

    /// Which key it says it was signed with.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it says it was signed by; only compared with what a key is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The payload, not verified: only to find out which keys may be asked at all.
    ///
    /// # Errors
    /// [`JwsError::Malformed`].
    pub fn unverified_payload(&self) -> Result<Vec<u8>, JwsError> {
        decode(self.payload)
    }

    /// The payload, if this key signed it. MACs are compared in constant time.
    ///
    /// # Errors
    /// [`JwsError`].
    pub fn verify(&self, key: &JwsKey) -> Result<Vec<u8>, JwsError> {
        if key.algorithm != self.algorithm {
            return Err(JwsError::Algorithm);
        }
        // The text of a signature has one form too, so that a verified token cannot be altered in any character.
        decode(self.signature)?;
        let is_right = jsonwebtoken::crypto::verify(
            self.signature,
            self.message.as_bytes(),
            &key.key,
            key.algorithm,
        )
        .map_err(|_| JwsError::Signature)?;
        if !is_right {
            return Err(JwsError::Signature);
        }
        decode(self.payload)
    }
}

/// Base64url without padding, and of the several texts that most decoders take for the same bytes only the right one.
fn decode(text: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwsError::Malformed)
}

fn check_header(header: &Header, rules: HeaderRules) -> Result<(), JwsError> {
    let brings_keys = header.jwk.is_some()
        || header.jku.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some();
    let is_other_kind = header.crit.is_some() || header.enc.is_some() || header.zip.is_some();
    if brings_keys || is_other_kind {
        return Err(JwsError::Malformed);
    }
    let extras = header.extras.inner();
    let is_plain = match rules {
        HeaderRules::Own => {
            extras.is_empty()
                && header.cty.is_none()
                && header.url.is_none()
                && header.nonce.is_none()
        }
        HeaderRules::Foreign => !FOREIGN_PARAMETERS
            .iter()
            .any(|name| extras.contains_key(*name)),
    };
    let fits = |typ: &str| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt");
    let is_typed_right = header.typ.as_deref().is_none_or(fits);
    let is_named = match header.kid.as_deref() {
        Some(kid) => !kid.is_empty() && kid.len() <= KID_BYTES_MAX,
        None => rules == HeaderRules::Foreign,
    };
    if is_plain && is_typed_right && is_named {
        Ok(())
    } else {
        Err(JwsError::Malformed)
    }
}
