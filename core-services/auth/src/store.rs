//! The auth service's tables. Nobody else reads them.

use mcsp_api::{Role, UserId};
use mcsp_db::Migration;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as NameError, StrDeserializer};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::error::AuthError;

/// How many rows one pass of maintenance removes from a table.
const PRUNE_ROWS_MAX: i64 = 1000;

/// The service's schema.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "users, sessions, refresh tokens, signing keys",
    sql: "
        CREATE TABLE users (
            user_id TEXT PRIMARY KEY,
            email TEXT NOT NULL,
            email_key TEXT NOT NULL UNIQUE,
            display_name TEXT NOT NULL,
            role TEXT NOT NULL,
            organisation_id TEXT,
            password_hash TEXT NOT NULL,
            created_ms BIGINT NOT NULL
        );
        CREATE TABLE sessions (
            session_id TEXT PRIMARY KEY,
            user_id TEXT NOT NULL REFERENCES users (user_id),
            created_ms BIGINT NOT NULL,
            expires_ms BIGINT NOT NULL,
            ended_ms BIGINT,
            end_reason TEXT
        );
        CREATE INDEX sessions_by_expiry ON sessions (expires_ms);
        CREATE TABLE refresh_tokens (
            token_digest TEXT PRIMARY KEY,
            session_id TEXT NOT NULL REFERENCES sessions (session_id),
            issued_ms BIGINT NOT NULL,
            expires_ms BIGINT NOT NULL,
            spent_ms BIGINT
        );
        CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
        CREATE TABLE register_keys (
            key_digest TEXT PRIMARY KEY,
            user_id TEXT NOT NULL REFERENCES users (user_id),
            expires_ms BIGINT NOT NULL
        );
        CREATE TABLE login_failures (
            account TEXT PRIMARY KEY,
            failures BIGINT NOT NULL,
            window_ends_ms BIGINT NOT NULL,
            locked_until_ms BIGINT NOT NULL
        );
        CREATE TABLE signing_keys (
            kid TEXT PRIMARY KEY,
            slot TEXT NOT NULL UNIQUE,
            private_pem TEXT NOT NULL,
            jwk_json TEXT NOT NULL,
            since_ms BIGINT NOT NULL,
            retire_ms BIGINT
        );
    ",
}];

/// A row of `users`.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) user_id: UserId,
    pub(crate) email: String,
    pub(crate) email_key: String,
    pub(crate) display_name: String,
    pub(crate) role: Role,
    pub(crate) organisation_id: Option<String>,
    pub(crate) password_hash: String,
    pub(crate) created_ms: i64,
}

/// A refresh token with its session and its user.
#[derive(Debug)]
pub(crate) struct RefreshState {
    pub(crate) session_id: String,
    pub(crate) token_expires_ms: i64,
    pub(crate) spent_ms: Option<i64>,
    pub(crate) session_created_ms: i64,
    pub(crate) session_ended_ms: Option<i64>,
    pub(crate) user: User,
}

/// A row of `login_failures`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoginFailures {
    pub(crate) failures: i64,
    pub(crate) window_ends_ms: i64,
    pub(crate) locked_until_ms: i64,
}

/// Adds the user unless the address is taken; true when added.
pub(crate) async fn insert_user(conn: &mut AnyConnection, user: &User) -> Result<bool, AuthError> {
    let result = sqlx::query(
        "INSERT INTO users (user_id, email, email_key, display_name, role, organisation_id, password_hash, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (email_key) DO NOTHING",
    )
    .bind(user.user_id.as_str())
    .bind(user.email.as_str())
    .bind(user.email_key.as_str())
    .bind(user.display_name.as_str())
    .bind(user.role.as_str())
    .bind(user.organisation_id.clone())
    .bind(user.password_hash.as_str())
    .bind(user.created_ms)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The user with this address, in the form of [`crate::account::email_key`].
pub(crate) async fn user_by_email(
    conn: &mut AnyConnection,
    email_key: &str,
) -> Result<Option<User>, AuthError> {
    let row = sqlx::query("SELECT * FROM users WHERE email_key = $1")
        .bind(email_key)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(user_of).transpose()
}

/// The user of a session that has not ended.
pub(crate) async fn user_of_session(
    conn: &mut AnyConnection,
    session_id: &str,
    user_id: &UserId,
) -> Result<Option<User>, AuthError> {
    let row = sqlx::query(
        "SELECT users.* FROM users JOIN sessions ON sessions.user_id = users.user_id
         WHERE sessions.session_id = $1 AND users.user_id = $2 AND sessions.ended_ms IS NULL",
    )
    .bind(session_id)
    .bind(user_id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(user_of).transpose()
}

/// Replaces a password's hash, unless it has changed since.
pub(crate) async fn replace_password_hash(
    conn: &mut AnyConnection,
    user: &User,
    hash: &str,
) -> Result<(), AuthError> {
    sqlx::query("UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2")
        .bind(user.user_id.as_str())
        .bind(user.password_hash.as_str())
        .bind(hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// Opens a session.
pub(crate) async fn insert_session(
    conn: &mut AnyConnection,
    session_id: &str,
    user_id: &UserId,
    created_ms: i64,
    expires_ms: i64,
) -> Result<(), AuthError> {
    sqlx::query("INSERT INTO sessions (session_id, user_id, created_ms, expires_ms) VALUES ($1, $2, $3, $4)")
        .bind(session_id)
        .bind(user_id.as_str())
        .bind(created_ms)
        .bind(expires_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// Adds a refresh token to a session, and lets the session live as long as it.
pub(crate) async fn insert_refresh_token(
    conn: &mut AnyConnection,
    digest: &str,
    session_id: &str,
    issued_ms: i64,
    expires_ms: i64,
) -> Result<(), AuthError> {
    sqlx::query("INSERT INTO refresh_tokens (token_digest, session_id, issued_ms, expires_ms) VALUES ($1, $2, $3, $4)")
        .bind(digest)
        .bind(session_id)
        .bind(issued_ms)
        .bind(expires_ms)
        .execute(&mut *conn)
        .await?;
    sqlx::query("UPDATE sessions SET expires_ms = $2 WHERE session_id = $1")
        .bind(session_id)
        .bind(expires_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// What is known of a refresh token.
pub(crate) async fn refresh_state(
    conn: &mut AnyConnection,
    digest: &str,
) -> Result<Option<RefreshState>, AuthError> {
    let row = sqlx::query(
        "SELECT users.*, sessions.session_id, sessions.created_ms AS session_created_ms, sessions.ended_ms,
            refresh_tokens.expires_ms AS token_expires_ms, refresh_tokens.spent_ms
         FROM refresh_tokens
         JOIN sessions ON sessions.session_id = refresh_tokens.session_id
         JOIN users ON users.user_id = sessions.user_id
         WHERE refresh_tokens.token_digest = $1",
    )
    .bind(digest)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(RefreshState {
        session_id: row.try_get("session_id")?,
        token_expires_ms: row.try_get("token_expires_ms")?,
        spent_ms: row.try_get("spent_ms")?,
        session_created_ms: row.try_get("session_created_ms")?,
        session_ended_ms: row.try_get("ended_ms")?,
        user: user_of(&row)?,
    }))
}

/// Spends a refresh token; true when it was not spent before.
pub(crate) async fn spend_refresh_token(
    conn: &mut AnyConnection,
    digest: &str,
    now_ms: i64,
) -> Result<bool, AuthError> {
    let result = sqlx::query(
        "UPDATE refresh_tokens SET spent_ms = $2 WHERE token_digest = $1 AND spent_ms IS NULL",
    )
    .bind(digest)
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends a session; true when it had not ended before.
pub(crate) async fn end_session(
    conn: &mut AnyConnection,
    session_id: &str,
    now_ms: i64,
    reason: &str,
) -> Result<bool, AuthError> {
    let result = sqlx::query(
        "UPDATE sessions SET ended_ms = $2, end_reason = $3 WHERE session_id = $1 AND ended_ms IS NULL",
    )
    .bind(session_id)
    .bind(now_ms)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Remembers which user a registration with this key made.
pub(crate) async fn insert_register_key(
    conn: &mut AnyConnection,
    key_digest: &str,
    user_id: &UserId,
    expires_ms: i64,
) -> Result<(), AuthError> {
    sqlx::query(
        "INSERT INTO register_keys (key_digest, user_id, expires_ms) VALUES ($1, $2, $3)
         ON CONFLICT (key_digest) DO UPDATE SET user_id = excluded.user_id, expires_ms = excluded.expires_ms",
    )
    .bind(key_digest)
    .bind(user_id.as_str())
    .bind(expires_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// The user that a registration with this key made.
pub(crate) async fn user_by_register_key(
    conn: &mut AnyConnection,
    key_digest: &str,
    now_ms: i64,
) -> Result<Option<User>, AuthError> {
    let row = sqlx::query(
        "SELECT users.* FROM users JOIN register_keys ON register_keys.user_id = users.user_id
         WHERE register_keys.key_digest = $1 AND register_keys.expires_ms > $2",
    )
    .bind(key_digest)
    .bind(now_ms)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(user_of).transpose()
}

/// The failures counted for an account while the key-value store was away.
pub(crate) async fn login_failures(
    conn: &mut AnyConnection,
    account: &str,
) -> Result<Option<LoginFailures>, AuthError> {
    let row = sqlx::query(
        "SELECT failures, window_ends_ms, locked_until_ms FROM login_failures WHERE account = $1",
    )
    .bind(account)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(LoginFailures {
        failures: row.try_get("failures")?,
        window_ends_ms: row.try_get("window_ends_ms")?,
        locked_until_ms: row.try_get("locked_until_ms")?,
    }))
}

/// Sets them.
pub(crate) async fn put_login_failures(
    conn: &mut AnyConnection,
    account: &str,
    counted: LoginFailures,
) -> Result<(), AuthError> {
    sqlx::query(
        "INSERT INTO login_failures (account, failures, window_ends_ms, locked_until_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account) DO UPDATE SET failures = excluded.failures,
            window_ends_ms = excluded.window_ends_ms, locked_until_ms = excluded.locked_until_ms",
    )
    .bind(account)
    .bind(counted.failures)
    .bind(counted.window_ends_ms)
    .bind(counted.locked_until_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets them.
pub(crate) async fn forget_login_failures(
    conn: &mut AnyConnection,
    account: &str,
) -> Result<(), AuthError> {
    sqlx::query("DELETE FROM login_failures WHERE account = $1")
        .bind(account)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes what has expired, a bounded number of rows of each table. Spent refresh tokens stay as long as their session
/// could be refreshed: until then their reuse is a theft.
pub(crate) async fn prune(conn: &mut AnyConnection, now_ms: i64) -> Result<(), AuthError> {
    for statement in [
        "DELETE FROM refresh_tokens WHERE token_digest IN (
            SELECT refresh_tokens.token_digest FROM refresh_tokens
            JOIN sessions ON sessions.session_id = refresh_tokens.session_id
            WHERE sessions.expires_ms <= $1 LIMIT $2)",
        "DELETE FROM sessions WHERE session_id IN (
            SELECT session_id FROM sessions WHERE expires_ms <= $1 AND NOT EXISTS (
                SELECT 1 FROM refresh_tokens WHERE refresh_tokens.session_id = sessions.session_id) LIMIT $2)",
        "DELETE FROM register_keys WHERE key_digest IN (
            SELECT key_digest FROM register_keys WHERE expires_ms <= $1 LIMIT $2)",
        "DELETE FROM login_failures WHERE account IN (
            SELECT account FROM login_failures WHERE window_ends_ms <= $1 AND locked_until_ms <= $1 LIMIT $2)",
    ] {
        sqlx::query(statement)
            .bind(now_ms)
            .bind(PRUNE_ROWS_MAX)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

fn user_of(row: &AnyRow) -> Result<User, AuthError> {
    let user_id: String = row.try_get("user_id")?;
    let role: String = row.try_get("role")?;
    let corrupt = |column: &str| {
        AuthError::Internal(format!("user {user_id} has a {column} that cannot be read"))
    };
    let name: StrDeserializer<'_, NameError> = role.as_str().into_deserializer();
    Ok(User {
        role: Role::deserialize(name).map_err(|_| corrupt("role"))?,
        email: row.try_get("email")?,
        email_key: row.try_get("email_key")?,
        display_name: row.try_get("display_name")?,
        organisation_id: row.try_get("organisation_id")?,
        password_hash: row.try_get("password_hash")?,
        created_ms: row.try_get("created_ms")?,
        user_id: user_id.parse().map_err(|_| corrupt("id"))?,
    })
}
