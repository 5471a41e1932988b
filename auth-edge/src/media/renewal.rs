//! Renewing a media URL while its session lives: when, and until when. Pure: who asks brings the time and the keys.

use mcsp_api::media_path::MEDIA_PREFIX;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::request::MediaRequest;
use super::token::MediaGrant;

/// The longest that a session may be renewed for, seconds.
pub const SESSION_LIFE_S_MAX: u32 = 86_400;
/// A session that began further ahead than this has no beginning that could be believed, seconds.
const AHEAD_S_MAX: i64 = 120;

/// `[media_renewal]`: how long URLs and sessions live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewalPolicy {
    /// How long a renewed URL is good, seconds: 60 to 86 400; default 3 600.
    pub url_life_s: u32,
    /// A manifest's URL is renewed when it has less than this left, seconds: 1 to `url_life_s`; default 1 200.
    pub renew_before_s: u32,
    /// No renewal beyond this age of the session, seconds: `url_life_s` to 86 400; default 43 200 (12 hours). Media keys
    /// must verify that long (`token_life_max_s` of the origin's media keys), and revocations must be held that long.
    pub session_life_s: u32,
}

impl Default for RenewalPolicy {
    fn default() -> Self {
        Self {
            url_life_s: 3_600,
            renew_before_s: 1_200,
            session_life_s: 43_200,
        }
    }
}

/// A setting of [`RenewalPolicy`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("media_renewal.{key} is {value}; expected {expected}")]
pub struct RenewalConfigError {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: u32,
    /// What was expected.
    pub expected: &'static str,
}

impl RenewalPolicy {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`RenewalConfigError`] with the first value that is out of range.
    pub fn validate(&self) -> Result<(), RenewalConfigError> {
        let life_s = self.url_life_s;
        let checks = [
            ("url_life_s", life_s, 60..=86_400, "60 to 86400 seconds"),
            (
                "renew_before_s",
                self.renew_before_s,
                1..=life_s,
                "1 to url_life_s",
            ),
            (
                "session_life_s",
                self.session_life_s,
                life_s..=SESSION_LIFE_S_MAX,
                "url_life_s to 86400 seconds",
            ),
        ];
        for (key, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(RenewalConfigError {
                    key,
                    value,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// When a session that is known by its id must end, Unix seconds.
    #[must_use]
    pub fn session_end_s(&self, grant: &MediaGrant) -> i64 {
        let began_s = grant.media_session_id.made_ms().div_euclid(1000);
        began_s.saturating_add(self.session_life_s.into())
    }

    /// Should this grant be renewed now? The session is alive as far as anybody knows: it is not revoked, and the node has
    /// heard from its feed.
    ///
    /// A manifest's URL is renewed in good time, and players take the parts it lists relative to the new one. Parts of a
    /// manifest that is never read again are asked for by the old URL to the end; each is sent on once the URL is over.
    #[must_use]
    pub fn decide(&self, grant: &MediaGrant, is_manifest: bool, now_s: i64) -> RenewalDecision {
        let left_s = grant.expires_s.saturating_sub(now_s);
        let early_s = if is_manifest {
            i64::from(self.renew_before_s)
        } else {
            0
        };
        if left_s > early_s {
            return RenewalDecision::NotNeeded;
        }
        let end_s = self.session_end_s(grant);
        let began_s = end_s.saturating_sub(self.session_life_s.into());
        if now_s >= end_s || began_s > now_s.saturating_add(AHEAD_S_MAX) {
            return RenewalDecision::Over;
        }
        let expires_s = now_s.saturating_add(self.url_life_s.into()).min(end_s);
        if expires_s > grant.expires_s {
            RenewalDecision::Due { expires_s }
        } else {
            RenewalDecision::NotNeeded
        }
    }
}

/// What [`RenewalPolicy::decide`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalDecision {
    /// The URL is good as it is, for this request.
    NotNeeded,
    /// A new URL is due, good until then.
    Due {
        /// Unix seconds.
        expires_s: i64,
    },
    /// The session is over. Its URL is good until its own end, if that has not come.
    Over,
}

/// What to do about renewal, beside or instead of answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing.
    NotNeeded,
    /// Answer 307 with this `Location` and `Cache-Control: no-store`: the same object under a renewed URL.
    Due {
        /// Path and query.
        path: String,
        /// When the new URL ends, Unix seconds.
        expires_s: i64,
    },
    /// Answer as usual, with this `Set-Cookie`.
    Cookie {
        /// The header's value.
        set_cookie: String,
        /// When the new token ends, Unix seconds.
        expires_s: i64,
    },
    /// Answer as usual, with this header.
    Header {
        /// The header's name.
        name: String,
        /// The new token.
        value: String,
        /// When it ends, Unix seconds.
        expires_s: i64,
    },
    /// It cannot be renewed, here or at all: what has expired is 403.
    Over,
}

impl Renewal {
    /// The request's own path with another token.
    pub(super) fn due(token: &str, request: &MediaRequest<'_>, expires_s: i64) -> Self {
        let mut path = format!("{MEDIA_PREFIX}{token}/{}", request.path.object_name());
        if let Some(query) = request.query.filter(|query| !query.is_empty()) {
            path.push('?');
            path.push_str(query);
        }
        Self::Due { path, expires_s }
    }
}
