//! The keys that sign access tokens: RS256, 2048 bits, rotated without an error window.
//!
//! The next key is published long before it signs; a previous one stays published until the last token it signed has
//! expired. All processes of the service share the table and look at it again now and then, so a rotation by one of
//! them is followed by the others while both keys verify.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcsp_audit::{Audit, AuditEntry};
use mcsp_auth_edge::AccessClaims;
use mcsp_db::Db;
use mcsp_runtime::SharedClock;
use serde_json::json;

use crate::AuthConfig;
use crate::error::AuthError;
use crate::events::EventSource;
use crate::key_store::{self, NewKey, StoredKeys};

/// How long a previous key is published beyond the life of its last token: clock skew, and the time in which other
/// processes of the service have not looked at the table yet.
const RETIRE_MARGIN_S: i64 = 600;

/// The signing keys of this region.
pub(crate) struct SigningKeys {
    db: Db,
    audit: Audit,
    clock: SharedClock,
    events: EventSource,
    access_token_s: i64,
    rotate_after_s: i64,
    loaded: ArcSwap<Loaded>,
}

/// What is in the table, ready to use.
struct Loaded {
    kid: String,
    since_ms: i64,
    signing: EncodingKey,
    jwks_json: Arc<str>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys")
            .field("kid", &self.loaded.load().kid)
            .finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Loads the keys, making the first two if there are none, and announces them.
    pub(crate) async fn open(
        db: Db,
        audit: Audit,
        clock: SharedClock,
        events: EventSource,
        config: &AuthConfig,
    ) -> Result<Self, AuthError> {
        let mut stored = StoredKeys::load(db.acquire().await?.conn()).await?;
        if stored.current().is_none() {
            make_first(&db, &clock).await?;
            stored = StoredKeys::load(db.acquire().await?.conn()).await?;
        }
        let keys = Self {
            loaded: ArcSwap::from_pointee(Loaded::of(&stored)?),
            db,
            audit,
            clock,
            events,
            access_token_s: i64::from(config.access_token_s),
            rotate_after_s: i64::from(config.key_rotate_after_s),
        };
        keys.announce().await?;
        Ok(keys)
    }

    /// Signs an access token.
    pub(crate) fn sign(&self, claims: &AccessClaims) -> Result<String, AuthError> {
        let loaded = self.loaded.load();
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(loaded.kid.clone());
        // RFC 9068 section 2.1: not to be taken for another kind of JWT.
        header.typ = Some("at+jwt".to_owned());
        encode(&header, claims, &loaded.signing).map_err(|error| {
            AuthError::Internal(format!("an access token could not be signed: {error}"))
        })
    }

    /// The RFC 7517 JWK Set: current, next, and previous keys.
    pub(crate) fn jwks_json(&self) -> Arc<str> {
        self.loaded.load().jwks_json.clone()
    }

    /// Looks at the table again, removes what has retired, and rotates if it is time.
    pub(crate) async fn maintain(&self) -> Result<(), AuthError> {
        let stored = StoredKeys::load(self.db.acquire().await?.conn()).await?;
        self.loaded.store(Arc::new(Loaded::of(&stored)?));
        let now_ms = self.clock.now_ms();
        if key_store::has_retired(&stored, now_ms) {
            self.remove_retired(now_ms).await?;
        }
        let signing_for_ms = now_ms.saturating_sub(self.loaded.load().since_ms);
        if signing_for_ms >= self.rotate_after_s.saturating_mul(1000) {
            self.rotate("scheduled").await?;
        }
        Ok(())
    }

    /// Puts the next key in force, unless another process did so since this one looked; audited.
    pub(crate) async fn rotate(&self, reason: &str) -> Result<(), AuthError> {
        let seen = self.loaded.load().kid.clone();
        let fresh = generate().await?;
        let now_ms = self.clock.now_ms();
        let retire_ms =
            now_ms.saturating_add((self.access_token_s + RETIRE_MARGIN_S).saturating_mul(1000));
        let mut tx = self.db.begin().await?;
        key_store::remove_retired(tx.conn(), now_ms).await?;
        let before = StoredKeys::load(tx.conn()).await?;
        if before.current().is_some_and(|current| current.kid == seen) {
            if !before.has_room() {
                return Err(AuthError::RotatedTooOften);
            }
            key_store::rotate(tx.conn(), &before, &fresh, now_ms, retire_ms).await?;
            let after = StoredKeys::load(tx.conn()).await?;
            let entry = self.rotation_entry(&seen, &after, reason);
            self.audit
                .record_in(&mut tx, entry)
                .await
                .map_err(AuthError::Audit)?;
            self.events
                .keys_rotated(&mut tx, after.jwks_json()?)
                .await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        let stored = StoredKeys::load(self.db.acquire().await?.conn()).await?;
        self.loaded.store(Arc::new(Loaded::of(&stored)?));
        Ok(())
    }

    /// Tells the edges which keys there are. Happens at every start, so that an edge feed that lost its past has them.
    async fn announce(&self) -> Result<(), AuthError> {
        let mut tx = self.db.begin().await?;
        self.events
            .keys_rotated(&mut tx, self.jwks_json().to_string())
            .await?;
        Ok(tx.commit().await?)
    }

    async fn remove_retired(&self, now_ms: i64) -> Result<(), AuthError> {
        let mut tx = self.db.begin().await?;
        if !key_store::remove_retired(tx.conn(), now_ms).await? {
            return Ok(());
        }
        let after = StoredKeys::load(tx.conn()).await?;
        self.events
            .keys_rotated(&mut tx, after.jwks_json()?)
            .await?;
        tx.commit().await?;
        self.loaded.store(Arc::new(Loaded::of(&after)?));
        Ok(())
    }

    fn rotation_entry(&self, before: &str, after: &StoredKeys, reason: &str) -> AuditEntry {
        let kid = after
            .current()
            .map(|key| key.kid.as_str())
            .unwrap_or_default();
        AuditEntry {
            actor: self.events.service_name(),
            action: "auth.keys.rotate".to_owned(),
            object: kid.to_owned(),
            detail: json!({ "previous": before, "reason": reason }),
            trace_id: mcsp_telemetry::current_trace().map(|trace| trace.trace_id_hex()),
        }
    }
}

impl Loaded {
    fn of(stored: &StoredKeys) -> Result<Self, AuthError> {
        let unusable = || AuthError::Internal("the current signing key cannot be used".to_owned());
        let current = stored.current().ok_or_else(unusable)?;
        Ok(Self {
            kid: current.kid.clone(),
            since_ms: current.since_ms,
            signing: EncodingKey::from_rsa_pem(current.private_pem.as_bytes())
                .map_err(|_| unusable())?,
            jwks_json: stored.jwks_json()?.into(),
        })
    }
}

async fn make_first(db: &Db, clock: &SharedClock) -> Result<(), AuthError> {
    let (current, next) = (generate().await?, generate().await?);
    let mut tx = db.begin().await?;
    match key_store::insert_first(tx.conn(), &current, &next, clock.now_ms()).await {
        Ok(()) => Ok(tx.commit().await?),
        // Another process was faster; its keys are as good.
        Err(AuthError::Db(error)) if error.is_unique_violation() => Ok(tx.rollback().await?),
        Err(error) => Err(error),
    }
}

/// Makes a key on a blocking thread: it takes a while.
async fn generate() -> Result<NewKey, AuthError> {
    let failed = || AuthError::Internal("a signing key could not be made".to_owned());
    tokio::task::spawn_blocking(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().ok()?;
        let public = pair.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let kid = thumbprint(&n, &e);
        Some(NewKey {
            private_pem: pem(pkcs8.as_ref()),
            jwk_json:
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e })
                    .to_string(),
            kid,
        })
    })
    .await
    .map_err(|_| failed())?
    .ok_or_else(failed)
}

/// RFC 7638: the required members, sorted, without white space.
fn thumbprint(n: &str, e: &str) -> String {
    let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// RFC 7468, in lines of 64 characters.
fn pem(pkcs8: &[u8]) -> String {
    let text = STANDARD.encode(pkcs8);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // Section 3.1's example.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(
            thumbprint(n, "AQAB"),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }
}
