//! Keys, tokens and clocks for the tests.

use std::sync::Arc;
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcsp_auth_edge::{TokenPolicy, TokenVerifier, issuer_of};
use mcsp_runtime::ManualClock;
use serde_json::{Value, json};

pub(crate) const NOW_S: i64 = 1_795_000_000;
pub(crate) const NG: &str = "ng-lagos";
pub(crate) const GL: &str = "global-london";
pub(crate) const USER: &str = "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";

/// A key that signs, and its public half as a JWK.
pub(crate) struct SigningKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: EncodingKey,
    pub(crate) jwk: Value,
    /// PKCS#1 DER of an RSA public key, PEM too: what an attacker has.
    pub(crate) public_der: Vec<u8>,
}

/// RSA keys take a while to make, so the tests share two.
pub(crate) static RSA_NG: LazyLock<SigningKey> = LazyLock::new(|| rsa("ng-1"));
pub(crate) static RSA_GL: LazyLock<SigningKey> = LazyLock::new(|| rsa("gl-1"));

pub(crate) fn rsa(kid: &str) -> SigningKey {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("its DER");
    let pem = pem("PRIVATE KEY", pkcs8.as_ref());
    let public = pair.public_key();
    SigningKey {
        algorithm: Algorithm::RS256,
        encoding: EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a PEM key"),
        jwk: json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": b64(public.modulus().big_endian_without_leading_zero()),
            "e": b64(public.exponent().big_endian_without_leading_zero()),
        }),
        public_der: public.as_ref().to_vec(),
    }
}

pub(crate) fn es256(kid: &str) -> SigningKey {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("an EC key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
        .expect("an EC key");
    let point = pair.public_key().as_ref();
    SigningKey {
        algorithm: Algorithm::ES256,
        encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
        jwk: json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
            "x": b64(&point[1..33]), "y": b64(&point[33..]),
        }),
        public_der: point.to_vec(),
    }
}

pub(crate) fn ed25519(kid: &str) -> SigningKey {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).expect("an Ed25519 key");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("an Ed25519 key");
    let public = pair.public_key().as_ref().to_vec();
    SigningKey {
        algorithm: Algorithm::EdDSA,
        encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": b64(&public) }),
        public_der: public,
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

pub(crate) fn jwks(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The claims of a good token of region `NG`.
pub(crate) fn claims() -> Value {
    json!({
        "iss": issuer_of(NG), "aud": "mcsp-api", "sub": USER, "role": "creator", "sid": "s1",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 900, "jti": "t1",
    })
}

pub(crate) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(crate) fn sign(key: &SigningKey, claims: &Value) -> String {
    let mut header = Header::new(key.algorithm);
    header.kid = key.jwk["kid"].as_str().map(str::to_owned);
    encode(&header, claims, &key.encoding).expect("a token")
}

/// A token from a header of any form, signed as `key` signs.
pub(crate) fn sign_raw(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        b64(header.to_string().as_bytes()),
        b64(claims.to_string().as_bytes())
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.encoding, key.algorithm)
        .expect("a signature");
    format!("{message}.{signature}")
}

/// A verifier that knows one RSA key of each region.
pub(crate) fn verifier() -> (TokenVerifier, Arc<ManualClock>) {
    let clock = ManualClock::new(NOW_S * 1000);
    let verifier = TokenVerifier::new(TokenPolicy::for_regions([NG, GL]), clock.clone());
    verifier.set_keys(NG, &jwks(&[&RSA_NG.jwk])).expect("keys");
    verifier.set_keys(GL, &jwks(&[&RSA_GL.jwk])).expect("keys");
    (verifier, clock)
}
