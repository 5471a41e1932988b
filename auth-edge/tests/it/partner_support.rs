//! Partners, their keys, and requests that their tokens are held against.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::Algorithm;
use mcsp_api::media_path::MediaPath;
use mcsp_auth_edge::jose::JweKey;
use mcsp_auth_edge::media::partner::{Partner, PartnerConfig, Partners};
use mcsp_auth_edge::{MediaAccess, MediaKeyring, MediaRequest, MediaTokenError, MediaVerifier};
use mcsp_runtime::ManualClock;
use serde_json::{Value, json};

use crate::support::{NOW_S, SigningKey, b64, ed25519, es256};

pub(crate) const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const OTHER: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd";
pub(crate) const ISSUER: &str = "partner.example";
pub(crate) const AUDIENCE: &str = "mcsp-edge";
pub(crate) const SECRET: [u8; 32] = [7; 32];
pub(crate) const ADDRESS_KEY: [u8; 16] = [9; 16];

pub(crate) fn config() -> Value {
    json!({
        "id": "telco", "issuer": ISSUER, "audience": AUDIENCE, "forms": ["common-access-token", "uri-signing"],
        "keys_file": "keys.json", "regions": ["ng"], "residencies": ["GLOBAL"], "max_height": 2160,
    })
}

pub(crate) fn partner(config: Value, keys: &[Value]) -> Partner {
    let config: PartnerConfig = serde_json::from_value(config).expect("a configuration");
    let address_key = JweKey::new(None, &ADDRESS_KEY).expect("a key");
    let jwks = json!({ "keys": keys }).to_string();
    Partner::new(config, &jwks, Some(address_key)).expect("a partner")
}

/// The secret as a JWK.
pub(crate) fn secret(kid: &str) -> Value {
    json!({ "kty": "oct", "alg": "HS256", "kid": kid, "k": b64(&SECRET) })
}

pub(crate) struct World {
    pub(crate) verifier: MediaVerifier,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(partners: Vec<Partner>) -> Self {
        let clock = ManualClock::new(NOW_S * 1000);
        let keyring = Arc::new(MediaKeyring::new(clock.clone()));
        let verifier = MediaVerifier::new(keyring, clock.clone());
        verifier.set_partners(Partners::new(partners).expect("partners"));
        Self { verifier, clock }
    }

    /// One partner with the secret `k1`.
    pub(crate) fn with_secret() -> Self {
        Self::new(vec![partner(config(), &[secret("k1")])])
    }

    pub(crate) fn verify(
        &self,
        token: &str,
        ask: &Ask<'_>,
    ) -> Result<MediaAccess, MediaTokenError> {
        ask.with(|request| self.verifier.verify(token, request))
    }

    pub(crate) fn fault(&self, token: &str, ask: &Ask<'_>) -> Option<MediaTokenError> {
        self.verify(token, ask).err()
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) name: String,
    pub(crate) method: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) country: Option<&'a str>,
    pub(crate) asn: Option<u32>,
    pub(crate) alpn: Option<&'a [u8]>,
    pub(crate) ja4: Option<&'a str>,
    pub(crate) headers: HeaderMap,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self::of("v720/1.m4s")
    }
}

impl Ask<'_> {
    pub(crate) fn of(rest: &str) -> Self {
        Self {
            name: format!("global/{CONTENT}/{rest}"),
            method: "GET",
            authority: "los1.example",
            query: None,
            client: None,
            country: None,
            asn: None,
            alpn: None,
            ja4: None,
            headers: HeaderMap::new(),
        }
    }

    pub(crate) fn from(client: &str) -> Self {
        Self {
            client: Some(client.parse().expect("an address")),
            ..Self::default()
        }
    }

    pub(crate) fn with<T>(&self, then: impl FnOnce(&MediaRequest<'_>) -> T) -> T {
        let path = MediaPath::parse_object_name(&self.name).expect("a path");
        then(&MediaRequest {
            path: &path,
            method: self.method,
            scheme: "https",
            authority: self.authority,
            query: self.query,
            client: self.client,
            country: self.country,
            asn: self.asn,
            alpn: self.alpn,
            ja4: self.ja4,
            headers: Some(&self.headers),
        })
    }
}

/// Public keys of a partner, and what signs.
pub(crate) fn key_pairs() -> [SigningKey; 2] {
    let pairs = [es256("ec"), ed25519("ed")];
    assert_eq!(pairs[0].algorithm, Algorithm::ES256);
    pairs
}
