//! The auth service's own configuration.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Life of an access token, seconds. Default 900, 60 to 3600.
    pub access_token_s: u32,
    /// How long a refresh token may lie unused, seconds. Default 2 592 000 (30 days), 3600 to 31 536 000.
    pub refresh_token_s: u32,
    /// How long a session may be refreshed at all, seconds. Default 7 776 000 (90 days), `refresh_token_s` to
    /// 63 072 000.
    pub session_max_s: u32,
    /// Argon2id memory, KiB. Default 19 456, 8192 to 1 048 576. With the next two: RFC 9106 and OWASP's advice.
    pub password_memory_kib: u32,
    /// Argon2id passes. Default 2, 1 to 16.
    pub password_passes: u32,
    /// Argon2id lanes. Default 1, 1 to 8.
    pub password_lanes: u32,
    /// Passwords hashed at once; bounds processor and memory. Default 2, 1 to 64.
    pub password_parallel_max: u32,
    /// How long a login waits for its turn to be hashed, milliseconds; then it is told to come back. Default 5000, 10
    /// to 60 000.
    pub password_wait_ms: u32,
    /// How long another region may take to say whether an account has its home there, milliseconds. Default 2000, 100 to
    /// 30 000.
    pub peer_timeout_ms: u32,
    /// Wrong passwords in a row after which an account is locked. Default 5, 1 to 100.
    pub lockout_failures: u32,
    /// How long it stays locked, and how long failures are remembered, seconds. Default 900, 1 to 86 400.
    pub lockout_s: u32,
    /// How long a signing key signs, seconds. Default 604 800 (7 days), 3600 to 31 536 000.
    pub key_rotate_after_s: u32,
    /// How often expired rows are removed and keys looked after, seconds. Default 60, 1 to 3600.
    pub maintenance_interval_s: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            access_token_s: 900,
            refresh_token_s: 2_592_000,
            session_max_s: 7_776_000,
            password_memory_kib: 19_456,
            password_passes: 2,
            password_lanes: 1,
            password_parallel_max: 2,
            password_wait_ms: 5000,
            peer_timeout_ms: 2000,
            lockout_failures: 5,
            lockout_s: 900,
            key_rotate_after_s: 604_800,
            maintenance_interval_s: 60,
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("auth.{key} is {value}; expected {min} to {max}")]
pub struct ConfigFault {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: u32,
    /// The least that was expected.
    pub min: u32,
    /// The most that was expected.
    pub max: u32,
}

impl AuthConfig {
    /// Checks every value's range.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigFault> {
        for (key, value, min, max) in [
            ("access_token_s", self.access_token_s, 60, 3600),
            ("refresh_token_s", self.refresh_token_s, 3600, 31_536_000),
            (
                "session_max_s",
                self.session_max_s,
                self.refresh_token_s,
                63_072_000,
            ),
            (
                "password_memory_kib",
                self.password_memory_kib,
                8192,
                1_048_576,
            ),
            ("password_passes", self.password_passes, 1, 16),
            ("password_lanes", self.password_lanes, 1, 8),
            ("password_parallel_max", self.password_parallel_max, 1, 64),
            ("password_wait_ms", self.password_wait_ms, 10, 60_000),
            ("peer_timeout_ms", self.peer_timeout_ms, 100, 30_000),
            ("lockout_failures", self.lockout_failures, 1, 100),
            ("lockout_s", self.lockout_s, 1, 86_400),
            (
                "key_rotate_after_s",
                self.key_rotate_after_s,
                3600,
                31_536_000,
            ),
            (
                "maintenance_interval_s",
                self.maintenance_interval_s,
                1,
                3600,
            ),
        ] {
            if !(min..=max).contains(&value) {
                return Err(ConfigFault {
                    key,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}
