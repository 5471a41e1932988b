//! Common Access Tokens made to measure.

use aws_lc_rs::hmac;
use coset::cbor::value::Value;
use coset::{AsCborValue as _, CoseMac0, CoseMac0Builder, HeaderBuilder, iana};
use mcsp_auth_edge::media::partner::{CatRequest, CatSigningKey, sign_cat};

use crate::partner_support::{AUDIENCE, ISSUER, SECRET};
use crate::support::{NOW_S, b64};

pub(crate) fn request<'a>() -> CatRequest<'a> {
    CatRequest {
        issuer: ISSUER,
        audience: AUDIENCE,
        expires_s: NOW_S + 600,
        ..CatRequest::default()
    }
}

pub(crate) fn signed(request: &CatRequest<'_>) -> String {
    sign_cat(request, "k1", &CatSigningKey::Hmac(&SECRET)).expect("a token")
}

/// The claims that every token has.
pub(crate) fn base() -> Vec<(i64, Value)> {
    vec![
        (1, Value::from(ISSUER)),
        (3, Value::from(AUDIENCE)),
        (4, Value::from(NOW_S + 600)),
    ]
}

pub(crate) fn with(claims: &[(i64, Value)]) -> Vec<(i64, Value)> {
    [&base()[..], claims].concat()
}

pub(crate) fn map(entries: Vec<(i64, Value)>) -> Value {
    let entry = |(label, value): (i64, Value)| (Value::from(label), value);
    Value::Map(entries.into_iter().map(entry).collect())
}

pub(crate) fn bytes_of(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::into_writer(value, &mut bytes).expect("CBOR");
    bytes
}

/// Any payload, signed with the partner's secret.
pub(crate) fn mac0(payload: Vec<u8>) -> CoseMac0 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    CoseMac0Builder::new()
        .protected(
            HeaderBuilder::new()
                .algorithm(iana::Algorithm::HMAC_256_256)
                .build(),
        )
        .unprotected(HeaderBuilder::new().key_id(b"k1".to_vec()).build())
        .payload(payload)
        .create_tag(b"", |data| hmac::sign(&key, data).as_ref().to_vec())
        .build()
}

pub(crate) fn token(claims: Vec<(i64, Value)>) -> String {
    let message = mac0(bytes_of(&map(claims))).to_cbor_value().expect("CBOR");
    b64(&bytes_of(&Value::Tag(
        61,
        Box::new(Value::Tag(17, Box::new(message))),
    )))
}
