//! Signed URIs as partners make them, and as nobody should.

use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_auth_edge::media::partner::{UriClaims, sign_uri};
use serde_json::Value;

use crate::partner_support::{CONTENT, ISSUER, SECRET, secret};
use crate::support::{NOW_S, SigningKey, sign_raw};

pub(crate) fn claims() -> UriClaims {
    UriClaims {
        iss: Some(ISSUER.to_owned()),
        exp: Some((NOW_S + 600) as f64),
        cdniuc: format!("regex:https://los1\\.example/media/global/{CONTENT}/.*"),
        ..UriClaims::default()
    }
}

pub(crate) fn signed(claims: &UriClaims) -> String {
    sign_uri(
        claims,
        "k1",
        Algorithm::HS256,
        &EncodingKey::from_secret(&SECRET),
    )
    .expect("a token")
}

/// The secret as the tests' other helpers want it.
pub(crate) fn hmac_key() -> SigningKey {
    SigningKey {
        algorithm: Algorithm::HS256,
        encoding: EncodingKey::from_secret(&SECRET),
        jwk: secret("k1"),
        public_der: Vec::new(),
    }
}

/// Claims as any JSON, in a token with any header.
pub(crate) fn raw(header: &Value, claims: &Value) -> String {
    sign_raw(&hmac_key(), header, claims)
}

pub(crate) fn value(claims: &UriClaims) -> Value {
    serde_json::to_value(claims).expect("JSON")
}
