//! Making Common Access Tokens, for nodes of others that take our word.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use coset::cbor::value::Value;
use coset::{AsCborValue as _, CoseMac0Builder, CoseSign1Builder, HeaderBuilder, iana};
use mcsp_api::MediaSessionId;

use super::cat::to_text;
use super::cat_claims::{VERSION, label};
use crate::media::address::AddressPrefix;
use crate::media::keys::MediaKeyError;
use crate::media::rendition::RenditionLimits;

/// What a token is to allow. Empty lists demand nothing.
#[derive(Debug, Clone, Default)]
pub struct CatRequest<'a> {
    /// Who signs.
    pub issuer: &'a str,
    /// Who may use it.
    pub audience: &'a str,
    /// From when, Unix seconds.
    pub not_before_s: Option<i64>,
    /// Until when, Unix seconds.
    pub expires_s: i64,
    /// The media session, for revocation.
    pub session: Option<&'a MediaSessionId>,
    /// The host that is asked.
    pub host: Option<&'a str>,
    /// What paths begin with.
    pub path_prefix: Option<&'a str>,
    /// Methods.
    pub methods: &'a [&'a str],
    /// Countries, ISO 3166-1 alpha-2.
    pub countries: &'a [&'a str],
    /// From which addresses.
    pub client: Option<AddressPrefix>,
    /// The best rendition; a private claim.
    pub limits: RenditionLimits,
}

/// What signs a token.
pub enum CatSigningKey<'a> {
    /// HMAC 256/256 (RFC 9053 section 3.1); at least 32 bytes.
    Hmac(&'a [u8]),
    /// ECDSA with P-256 and SHA-256; the pair signs in fixed length.
    Es256(&'a EcdsaKeyPair),
    /// EdDSA with Ed25519.
    Ed25519(&'a Ed25519KeyPair),
}

impl std::fmt::Debug for CatSigningKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac",
            Self::Es256(_) => "Es256",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

impl CatRequest<'_> {
    fn claims(&self) -> Value {
        let texts =
            |list: &[&str]| Value::Array(list.iter().map(|text| Value::from(*text)).collect());
        let number = |value: i64| Value::from(value);
        let mut map = vec![
            (label::ISSUER, Value::from(self.issuer)),
            (label::AUDIENCE, Value::from(self.audience)),
            (label::EXPIRES, number(self.expires_s)),
            (label::VERSION, number(VERSION)),
        ];
        if let Some(not_before_s) = self.not_before_s {
            map.push((label::NOT_BEFORE, number(not_before_s)));
        }
        if let Some(session) = self.session {
            map.push((label::TOKEN_ID, Value::from(session.as_str().as_bytes())));
        }
        let parts = [(1, 0, self.host), (3, 1, self.path_prefix)];
        let uri: Vec<_> = parts
            .into_iter()
            .filter_map(|(part, kind, text)| {
                let wanted = Value::Map(vec![(number(kind), Value::from(text?))]);
                Some((number(part), wanted))
            })
            .collect();
        if !uri.is_empty() {
            map.push((label::URI, Value::Map(uri)));
        }
        for (label, list) in [
            (label::METHODS, self.methods),
            (label::COUNTRIES, self.countries),
        ] {
            if !list.is_empty() {
                map.push((label, texts(list)));
            }
        }
        if let Some(client) = self.client {
            map.push((label::NETWORK, Value::Array(vec![client.to_cbor()])));
        }
        for (label, limit) in [
            (label::MAX_HEIGHT, self.limits.max_height),
            (label::MAX_AUDIO_KBPS, self.limits.max_audio_kbps),
        ] {
            if limit != 0 {
                map.push((label, number(limit.into())));
            }
        }
        Value::Map(
            map.into_iter()
                .map(|(label, value)| (number(label), value))
                .collect(),
        )
    }
}

/// Signs a token with the key of that name.
///
/// # Errors
/// [`MediaKeyError::Signing`] when the cryptographic library fails.
pub fn sign_cat(
    request: &CatRequest<'_>,
    kid: &str,
    key: &CatSigningKey<'_>,
) -> Result<String, MediaKeyError> {
    let failed = || MediaKeyError::Signing;
    let mut payload = Vec::new();
    coset::cbor::into_writer(&request.claims(), &mut payload).map_err(|_| failed())?;
    let algorithm = match key {
        CatSigningKey::Hmac(_) => iana::Algorithm::HMAC_256_256,
        CatSigningKey::Es256(_) => iana::Algorithm::ES256,
        CatSigningKey::Ed25519(_) => iana::Algorithm::EdDSA,
    };
    let protected = HeaderBuilder::new().algorithm(algorithm).build();
    let unprotected = HeaderBuilder::new().key_id(kid.as_bytes().to_vec()).build();
    if let CatSigningKey::Hmac(secret) = key {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mac0 = CoseMac0Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .create_tag(b"", |data| hmac::sign(&secret, data).as_ref().to_vec())
            .build();
        let message = mac0.to_cbor_value().map_err(|_| failed())?;
        return to_text(message, iana::CborTag::CoseMac0 as u64).ok_or_else(failed);
    }
    let sign = |data: &[u8]| match key {
        CatSigningKey::Es256(pair) => pair
            .sign(&SystemRandom::new(), data)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| MediaKeyError::Signing),
        CatSigningKey::Ed25519(pair) => pair
            .try_sign(data)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| MediaKeyError::Signing),
        CatSigningKey::Hmac(_) => Err(MediaKeyError::Signing),
    };
    let sign1 = CoseSign1Builder::new()
        .protected(protected)
        .unprotected(unprotected)
        .payload(payload)
        .try_create_signature(b"", sign)?
        .build();
    let message = sign1.to_cbor_value().map_err(|_| failed())?;
    to_text(message, iana::CborTag::CoseSign1 as u64).ok_or_else(failed)
}
