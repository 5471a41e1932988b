//! The table of signing keys: one current, one next, and previous ones until what they signed has expired.

use mcsp_auth_edge::token::KEYS_PER_REGION_MAX;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::error::AuthError;

const CURRENT: &str = "current";
const NEXT: &str = "next";

/// A new key: its id, the private key as PKCS#8 PEM, the public key as JWK.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) kid: String,
    pub(crate) private_pem: String,
    pub(crate) jwk_json: String,
}

/// A row of `signing_keys`.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    slot: String,
    pub(crate) private_pem: String,
    jwk_json: String,
    pub(crate) since_ms: i64,
    retire_ms: Option<i64>,
}

/// Every key, in the order in which they are published: current, next, previous.
#[derive(Debug)]
pub(crate) struct StoredKeys(Vec<StoredKey>);

impl StoredKeys {
    pub(crate) async fn load(conn: &mut AnyConnection) -> Result<Self, AuthError> {
        let rows = sqlx::query(
            "SELECT kid, slot, private_pem, jwk_json, since_ms, retire_ms FROM signing_keys
             ORDER BY CASE slot WHEN 'current' THEN 0 WHEN 'next' THEN 1 ELSE 2 END, since_ms DESC, kid",
        )
        .fetch_all(conn)
        .await?;
        let keys: Result<Vec<_>, AuthError> = rows
            .iter()
            .map(|row| {
                Ok(StoredKey {
                    kid: row.try_get("kid")?,
                    slot: row.try_get("slot")?,
                    private_pem: row.try_get("private_pem")?,
                    jwk_json: row.try_get("jwk_json")?,
                    since_ms: row.try_get("since_ms")?,
                    retire_ms: row.try_get("retire_ms")?,
                })
            })
            .collect();
        keys.map(Self)
    }

    /// The key that signs now.
    pub(crate) fn current(&self) -> Option<&StoredKey> {
        self.0.iter().find(|key| key.slot == CURRENT)
    }

    fn next(&self) -> Option<&StoredKey> {
        self.0.iter().find(|key| key.slot == NEXT)
    }

    /// May another key be published after a rotation?
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < KEYS_PER_REGION_MAX
    }

    /// The RFC 7517 JWK Set.
    pub(crate) fn jwks_json(&self) -> Result<String, AuthError> {
        let keys: Result<Vec<Value>, _> = self
            .0
            .iter()
            .map(|key| serde_json::from_str(&key.jwk_json))
            .collect();
        let keys = keys
            .map_err(|_| AuthError::Internal("a stored signing key cannot be read".to_owned()))?;
        Ok(json!({ "keys": keys }).to_string())
    }
}

/// Stores the first two keys. A unique violation when another process was faster.
pub(crate) async fn insert_first(
    conn: &mut AnyConnection,
    current: &NewKey,
    next: &NewKey,
    now_ms: i64,
) -> Result<(), AuthError> {
    insert(conn, current, CURRENT, now_ms).await?;
    insert(conn, next, NEXT, now_ms).await
}

/// The next key becomes current, the current one previous until `retire_ms`, and `fresh` next. A previous key only
/// verifies, so its private half is destroyed.
pub(crate) async fn rotate(
    conn: &mut AnyConnection,
    keys: &StoredKeys,
    fresh: &NewKey,
    now_ms: i64,
    retire_ms: i64,
) -> Result<(), AuthError> {
    let (Some(current), Some(next)) = (keys.current(), keys.next()) else {
        return Err(AuthError::Internal(
            "there is no current or no next signing key".to_owned(),
        ));
    };
    sqlx::query(
        "UPDATE signing_keys SET slot = $2, private_pem = '', retire_ms = $3 WHERE kid = $1",
    )
    .bind(current.kid.as_str())
    .bind(format!("previous:{}", current.kid))
    .bind(retire_ms)
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE signing_keys SET slot = $2, since_ms = $3 WHERE kid = $1")
        .bind(next.kid.as_str())
        .bind(CURRENT)
        .bind(now_ms)
        .execute(&mut *conn)
        .await?;
    insert(conn, fresh, NEXT, now_ms).await
}

/// Removes previous keys whose tokens have all expired; true when there were any.
pub(crate) async fn remove_retired(
    conn: &mut AnyConnection,
    now_ms: i64,
) -> Result<bool, AuthError> {
    let result =
        sqlx::query("DELETE FROM signing_keys WHERE retire_ms IS NOT NULL AND retire_ms <= $1")
            .bind(now_ms)
            .execute(conn)
            .await?;
    Ok(result.rows_affected() > 0)
}

/// Is any previous key due to be removed?
pub(crate) fn has_retired(keys: &StoredKeys, now_ms: i64) -> bool {
    keys.0
        .iter()
        .any(|key| key.retire_ms.is_some_and(|retire_ms| retire_ms <= now_ms))
}

async fn insert(
    conn: &mut AnyConnection,
    key: &NewKey,
    slot: &str,
    now_ms: i64,
) -> Result<(), AuthError> {
    sqlx::query("INSERT INTO signing_keys (kid, slot, private_pem, jwk_json, since_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(key.kid.as_str())
        .bind(slot)
        .bind(key.private_pem.as_str())
        .bind(key.jwk_json.as_str())
        .bind(now_ms)
        .execute(conn)
        .await?;
    Ok(())
}
