//! Common Access Tokens (CTA-5007): a CBOR Web Token (RFC 8392) in COSE (RFC 9052), base64url in the path.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coset::cbor::value::Value;
use coset::{AsCborValue as _, CoseMac0, CoseSign1, Header, ProtectedHeader, iana};
use jsonwebtoken::Algorithm;

use super::cat_claims::{CatClaims, issuer_of};
use super::config::{Partner, PartnerForm, Partners};
use super::grant::PartnerGrant;
use crate::jose::JwsKey;
use crate::media::error::MediaTokenError;

/// The longest token, characters.
pub(super) const TOKEN_CHARS_MAX: usize = 4096;
const TAG_CWT: u64 = 61;
const TAG_MAC0: u64 = 17;
const TAG_SIGN1: u64 = 18;

/// The two signed shapes; one differs from the other in what is signed and how.
#[derive(Debug)]
enum Signed {
    Mac0(CoseMac0),
    Sign1(CoseSign1),
}

/// Verifies a token's signature and reads its claims.
///
/// # Errors
/// [`MediaTokenError`], the first fault found.
pub(super) fn verify(token: &str, partners: &Partners) -> Result<PartnerGrant, MediaTokenError> {
    let signed = Signed::parse(token)?;
    let algorithm = signed.algorithm()?;
    let kid = signed.kid()?;
    let payload = signed.payload().ok_or(MediaTokenError::Malformed)?;
    // Not believed: it decides whose keys are asked.
    let issuer = issuer_of(payload)?;
    let partner = partners
        .of_issuer(&issuer)
        .filter(|partner| {
            partner
                .config
                .forms
                .contains(&PartnerForm::CommonAccessToken)
        })
        .ok_or(MediaTokenError::UnknownKey)?;
    let key = partner
        .key(kid, algorithm)
        .ok_or(MediaTokenError::UnknownKey)?;
    if key.algorithm != algorithm {
        return Err(MediaTokenError::Algorithm);
    }
    signed.check(key)?;
    let claims = CatClaims::read(payload, partner)?;
    Ok(claims.into_grant(Arc::clone(partner), key, payload))
}

impl Signed {
    fn parse(token: &str) -> Result<Self, MediaTokenError> {
        let malformed = |_| MediaTokenError::Malformed;
        if token.len() > TOKEN_CHARS_MAX {
            return Err(MediaTokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| MediaTokenError::Malformed)?;
        let mut value = read_whole(&bytes)?;
        if let Value::Tag(TAG_CWT, inner) = value {
            value = *inner;
        }
        match value {
            Value::Tag(TAG_MAC0, inner) => CoseMac0::from_cbor_value(*inner)
                .map(Self::Mac0)
                .map_err(malformed),
            Value::Tag(TAG_SIGN1, inner) => CoseSign1::from_cbor_value(*inner)
                .map(Self::Sign1)
                .map_err(malformed),
            // Without a tag the algorithm tells which it is; both are four items of the same kinds.
            Value::Array(_) => {
                let mac0 = CoseMac0::from_cbor_value(value.clone()).map_err(malformed)?;
                if algorithm_of(&mac0.protected)? == Algorithm::HS256 {
                    return Ok(Self::Mac0(mac0));
                }
                CoseSign1::from_cbor_value(value)
                    .map(Self::Sign1)
                    .map_err(malformed)
            }
            _ => Err(MediaTokenError::Malformed),
        }
    }

    fn headers(&self) -> (&ProtectedHeader, &Header) {
        match self {
            Self::Mac0(mac0) => (&mac0.protected, &mac0.unprotected),
            Self::Sign1(sign1) => (&sign1.protected, &sign1.unprotected),
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Mac0(mac0) => mac0.payload.as_deref(),
            Self::Sign1(sign1) => sign1.payload.as_deref(),
        }
    }

    /// The algorithm, from the header that is signed, if it is one for this shape.
    fn algorithm(&self) -> Result<Algorithm, MediaTokenError> {
        let (protected, unprotected) = self.headers();
        // RFC 9052 section 3.1: nothing that must be understood is, and what is critical cannot be unprotected.
        if !protected.header.crit.is_empty() || !unprotected.crit.is_empty() {
            return Err(MediaTokenError::Unsupported);
        }
        // What nobody signed may name the key, which either verifies or does not, and nothing else.
        let only_named = Header {
            key_id: unprotected.key_id.clone(),
            ..Header::default()
        };
        if *unprotected != only_named {
            return Err(MediaTokenError::Malformed);
        }
        let algorithm = algorithm_of(protected)?;
        let is_mac = matches!(self, Self::Mac0(_));
        if is_mac == (algorithm == Algorithm::HS256) {
            Ok(algorithm)
        } else {
            Err(MediaTokenError::Algorithm)
        }
    }

    fn kid(&self) -> Result<Option<&[u8]>, MediaTokenError> {
        let (protected, unprotected) = self.headers();
        match (&protected.header.key_id[..], &unprotected.key_id[..]) {
            ([], []) => Ok(None),
            ([], kid) | (kid, []) => Ok(Some(kid)),
            (kid, other) if kid == other => Ok(Some(kid)),
            _ => Err(MediaTokenError::Malformed),
        }
    }

    /// Is the signature this key's? MACs are compared in constant time.
    fn check(&self, key: &JwsKey) -> Result<(), MediaTokenError> {
        let bytes = key
            .key
            .try_get_as_bytes()
            .map_err(|_| MediaTokenError::Algorithm)?;
        let checked = match (self, key.algorithm) {
            (Self::Mac0(mac0), Algorithm::HS256) => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, bytes);
                let absent = || aws_lc_rs::error::Unspecified;
                mac0.verify_payload_tag(b"", absent, |tag, data| hmac::verify(&secret, data, tag))
            }
            (Self::Sign1(sign1), Algorithm::ES256) => {
                sign1.verify_signature(b"", |signature, data| {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).verify(data, signature)
                })
            }
            (Self::Sign1(sign1), Algorithm::EdDSA) => sign1
                .verify_signature(b"", |signature, data| {
                    UnparsedPublicKey::new(&ED25519, bytes).verify(data, signature)
                }),
            _ => return Err(MediaTokenError::Algorithm),
        };
        checked.map_err(|_| MediaTokenError::Signature)
    }
}

fn algorithm_of(protected: &ProtectedHeader) -> Result<Algorithm, MediaTokenError> {
    use coset::RegisteredLabelWithPrivate::Assigned;
    match protected.header.alg {
        Some(Assigned(iana::Algorithm::HMAC_256_256)) => Ok(Algorithm::HS256),
        Some(Assigned(iana::Algorithm::ES256)) => Ok(Algorithm::ES256),
        Some(Assigned(iana::Algorithm::EdDSA)) => Ok(Algorithm::EdDSA),
        Some(_) => Err(MediaTokenError::Algorithm),
        None => Err(MediaTokenError::Malformed),
    }
}

/// One CBOR item and nothing behind it.
pub(super) fn read_whole(bytes: &[u8]) -> Result<Value, MediaTokenError> {
    let mut rest = bytes;
    // Nesting beyond what any claim has is not followed.
    let value = coset::cbor::de::from_reader_with_recursion_limit(&mut rest, 16)
        .map_err(|_| MediaTokenError::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(MediaTokenError::Malformed)
    }
}

/// Signs claims with a partner's secret: for renewal, where whoever can verify can sign.
pub(super) fn sign_with(claims: &Value, key: &JwsKey) -> Option<String> {
    let (Algorithm::HS256, Ok(secret)) = (key.algorithm, key.key.try_get_as_bytes()) else {
        return None;
    };
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut payload = Vec::new();
    coset::cbor::into_writer(claims, &mut payload).ok()?;
    let protected = coset::HeaderBuilder::new()
        .algorithm(iana::Algorithm::HMAC_256_256)
        .build();
    let unprotected = coset::HeaderBuilder::new()
        .key_id(key.kid.clone().into_bytes())
        .build();
    let mac0 = coset::CoseMac0Builder::new()
        .protected(protected)
        .unprotected(unprotected)
        .payload(payload)
        .create_tag(b"", |data| hmac::sign(&secret, data).as_ref().to_vec())
        .build();
    to_text(mac0.to_cbor_value().ok()?, TAG_MAC0)
}

/// The text of a COSE message, tagged as a CBOR Web Token.
pub(super) fn to_text(message: Value, tag: u64) -> Option<String> {
    let tagged = Value::Tag(TAG_CWT, Box::new(Value::Tag(tag, Box::new(message))));
    let mut bytes = Vec::new();
    coset::cbor::into_writer(&tagged, &mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// A partner that may use this form, by issuer; for renewal.
pub(super) fn key_that_signs<'p>(partner: &'p Partner, kid: &str) -> Option<&'p JwsKey> {
    partner
        .keys
        .iter()
        .find(|key| key.kid == kid && key.algorithm == Algorithm::HS256)
}
