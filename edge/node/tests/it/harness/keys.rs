//! Access tokens, good ones and others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcsp_runtime::{Clock as _, SystemClock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde::Serialize;

use super::USER;

/// A region's key for access tokens.
pub(crate) struct AccessKeys {
    region: String,
    key: KeyPair,
    pub(crate) kid: String,
}

/// What a token says; each field may be spoilt.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) role: String,
    pub(crate) sid: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) jti: String,
}

impl AccessKeys {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            kid: format!("{region}-1"),
        }
    }

    fn point(&self) -> (String, String) {
        let raw = self.key.der_bytes();
        let (x, y) = raw[raw.len() - 64..].split_at(32);
        (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
    }

    /// RFC 7517.
    pub(crate) fn jwks(&self) -> String {
        let (x, y) = self.point();
        format!(
            "{{\"keys\":[{{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"{}\",\
             \"x\":\"{x}\",\"y\":\"{y}\"}}]}}",
            self.kid
        )
    }

    pub(crate) fn claims(&self) -> Claims {
        let now_s = SystemClock.now_s();
        Claims {
            iss: format!("urn:mcsp:region:{}", self.region),
            aud: "mcsp-api".to_owned(),
            sub: USER.to_owned(),
            role: "viewer".to_owned(),
            sid: "session-1".to_owned(),
            exp: now_s + 900,
            iat: now_s,
            nbf: now_s,
            jti: "token-1".to_owned(),
        }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.clone());
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    pub(crate) fn token(&self) -> String {
        self.sign(&self.claims())
    }

    /// `alg: none`, no signature.
    pub(crate) fn unsigned(&self) -> String {
        let header = format!("{{\"alg\":\"none\",\"kid\":\"{}\"}}", self.kid);
        let claims = serde_json::to_vec(&self.claims()).unwrap();
        format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    }

    /// HS256 with the public key as its secret: the classic confusion.
    pub(crate) fn confused(&self) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.kid.clone());
        let key = EncodingKey::from_secret(self.key.public_key_pem().as_bytes());
        jsonwebtoken::encode(&header, &self.claims(), &key).unwrap()
    }
}
