//! `RateLimit` and `RateLimit-Policy` ([draft-ietf-httpapi-ratelimit-headers-10]): structured fields (RFC 9651), lists of
//! strings that name the limit.
//!
//! GCRA has no windows. Its burst is told as the quota `q`, the time in which a spent burst is whole again as the window `w`,
//! what could be asked at once as `r`, and as `t` when all of it is back or, with `r=0`, when one more request may be made.
//!
//! [draft-ietf-httpapi-ratelimit-headers-10]: https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.txt

use http::HeaderName;

use crate::standing::Standing;

/// What is left: `"api_read-user";r=50;t=30`.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limit: `"api_read-user";q=100;w=60`.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Standing {
    /// The value of [`RATE_LIMIT`].
    #[must_use]
    pub fn rate_limit(&self) -> String {
        let (class, scope) = (self.class, self.scope);
        format!(
            "\"{class}-{scope}\";r={};t={}",
            self.remaining, self.reset_s
        )
    }

    /// The value of [`RATE_LIMIT_POLICY`].
    #[must_use]
    pub fn policy(&self) -> String {
        let (class, scope) = (self.class, self.scope);
        format!("\"{class}-{scope}\";q={};w={}", self.quota, self.window_s)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Class, Scope, Standing};

    #[test]
    fn fields_have_the_drafts_form() {
        let standing = Standing {
            class: Class::ApiRead,
            scope: Scope::User,
            quota: 200,
            window_s: 4,
            remaining: 150,
            reset_s: 1,
        };
        assert_eq!(standing.rate_limit(), "\"api_read-user\";r=150;t=1");
        assert_eq!(standing.policy(), "\"api_read-user\";q=200;w=4");
    }
}
