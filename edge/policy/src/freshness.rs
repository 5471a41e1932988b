//! How long a stored response may be reused, and what to do when it no longer may (RFC 9111 section 4.2, RFC 5861).
//!
//! [`Freshness`] is a small value kept with a stored response; what the hit path asks of it neither allocates nor fails.

use crate::cache_control::RequestDirectives;

/// What a freshness lifetime rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// `s-maxage`, in a targeted field or in `Cache-Control`.
    SMaxAge,
    /// `max-age`, in a targeted field or in `Cache-Control`.
    MaxAge,
    /// `Expires` minus `Date`.
    Expires,
    /// A share of the time since `Last-Modified` (section 4.2.2).
    Heuristic,
    /// The route's own lifetime for responses that say nothing.
    Route,
    /// The route's own short lifetime for errors that say nothing.
    Negative,
    /// Nothing: the lifetime is zero.
    None,
}

impl Basis {
    /// Whether the origin stated the lifetime itself (section 3: "explicit expiration time").
    #[must_use]
    pub fn is_explicit(self) -> bool {
        matches!(self, Self::SMaxAge | Self::MaxAge | Self::Expires)
    }
}

/// When a stored response was new, how long it is fresh, and how long it may be used after that. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The time at which its age was zero, since the epoch: `response_time - corrected_initial_age`.
    pub born_ms: i64,
    /// `freshness_lifetime`, 0 or more.
    pub lifetime_ms: i64,
    /// What the lifetime rests on.
    pub basis: Basis,
    /// How long after its lifetime it may be served while it is validated in the background (RFC 5861 section 3).
    pub stale_while_revalidate_ms: i64,
    /// How long after its lifetime it may be served when the origin fails (RFC 5861 section 4).
    pub stale_if_error_ms: i64,
    /// Never reuse without validation: `no-cache` without field names (RFC 9111 section 5.2.2.4).
    pub always_validate: bool,
    /// Never reuse once stale, whatever anybody permits: `must-revalidate`, `proxy-revalidate`, `s-maxage`
    /// (section 4.2.4).
    pub never_stale: bool,
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it.
    Fresh,
    /// Serve it, and validate it in the background (RFC 5861 section 3).
    StaleWhileRevalidate,
    /// Serve it though stale: the client's `max-stale` allows it (RFC 9111 section 5.2.1.2).
    StaleByRequest,
    /// Validate it with the origin first.
    Validate(Why),
}

impl Reuse {
    /// Whether it may be served at once.
    #[must_use]
    pub fn is_servable(self) -> bool {
        !matches!(self, Self::Validate(_))
    }
}

/// Why a stored response must be validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its lifetime is over.
    Stale,
    /// The origin said `no-cache`.
    NoCache,
    /// The client said `no-cache` or `no-store`, or asked for something younger or fresher.
    Request,
}

impl Freshness {
    /// Age in milliseconds at `now_ms`, never negative (section 4.2.3).
    #[must_use]
    pub fn age_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.born_ms).max(0)
    }

    /// The value of the `Age` field at `now_ms`: whole seconds, rounded down, at most 2^31.
    #[must_use]
    pub fn age_s(&self, now_ms: i64) -> u32 {
        let seconds = self.age_ms(now_ms) / 1_000;
        u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .min(crate::fields::DELTA_SECONDS_MAX)
    }

    /// Milliseconds of freshness left at `now_ms`; negative for how long it has been stale.
    #[must_use]
    pub fn remaining_ms(&self, now_ms: i64) -> i64 {
        self.lifetime_ms.saturating_sub(self.age_ms(now_ms))
    }

    /// `ttl` of `Cache-Status` (RFC 9211 section 2.4): whole seconds left, negative when stale.
    #[must_use]
    pub fn ttl_s(&self, now_ms: i64) -> i64 {
        self.remaining_ms(now_ms).div_euclid(1_000)
    }

    /// Whether it is fresh (section 4.2: the lifetime exceeds the age).
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        self.remaining_ms(now_ms) > 0
    }

    /// What may be done with it at `now_ms` for a request with these directives; [`RequestDirectives::default`] on
    /// routes that do not listen to clients. `only-if-cached` and `no-transform` are not looked at.
    #[must_use]
    pub fn judge(&self, now_ms: i64, request: &RequestDirectives) -> Reuse {
        if self.always_validate {
            return Reuse::Validate(Why::NoCache);
        }
        let (age_ms, remaining_ms) = (self.age_ms(now_ms), self.remaining_ms(now_ms));
        // Not "greater than": max-age=0 asks for validation even of what was born this instant.
        let is_too_old = request
            .max_age_s
            .is_some_and(|limit| age_ms >= whole_ms(limit));
        let is_too_stale = request
            .min_fresh_s
            .is_some_and(|least| remaining_ms < whole_ms(least));
        if request.no_cache || request.no_store || is_too_stale {
            return Reuse::Validate(Why::Request);
        }
        if remaining_ms > 0 {
            // With max-stale a client takes what is past its max-age too (section 5.2.1.1).
            return if is_too_old && request.max_stale_s.is_none() {
                Reuse::Validate(Why::Request)
            } else {
                Reuse::Fresh
            };
        }
        if self.never_stale {
            return Reuse::Validate(Why::Stale);
        }
        let stale_ms = -remaining_ms;
        match request.max_stale_s {
            Some(u32::MAX) => return Reuse::StaleByRequest,
            Some(limit) if stale_ms <= whole_ms(limit) => return Reuse::StaleByRequest,
            _ => {}
        }
        if stale_ms < self.stale_while_revalidate_ms && !is_too_old {
            return Reuse::StaleWhileRevalidate;
        }
        Reuse::Validate(if is_too_old { Why::Request } else { Why::Stale })
    }

    /// Whether it may be served because the origin failed in one of the ways of [`Failure`] (RFC 5861 section 4).
    #[must_use]
    pub fn may_cover_failure(&self, now_ms: i64) -> bool {
        let remaining_ms = self.remaining_ms(now_ms);
        if self.always_validate {
            return false;
        }
        remaining_ms > 0 || (!self.never_stale && -remaining_ms < self.stale_if_error_ms)
    }

    /// Makes it stale at `now_ms`, as a soft purge does: the next use validates. Failures of the origin may still be
    /// covered for as long as was allowed.
    #[must_use]
    pub fn expired(self, now_ms: i64) -> Self {
        let lifetime_ms = self.lifetime_ms.min(self.age_ms(now_ms));
        Self {
            lifetime_ms,
            stale_while_revalidate_ms: 0,
            ..self
        }
    }
}

/// How an origin can fail so that a stale response may stand in (RFC 5861 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it was lost.
    Connection,
    /// No answer in time.
    Timeout,
    /// An answer of one of 500, 502, 503, 504.
    Status(u16),
}

impl Failure {
    /// The failure that an answer is, if it is one.
    #[must_use]
    pub fn of_status(status: http::StatusCode) -> Option<Self> {
        matches!(status.as_u16(), 500 | 502 | 503 | 504).then(|| Self::Status(status.as_u16()))
    }
}

fn whole_ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
