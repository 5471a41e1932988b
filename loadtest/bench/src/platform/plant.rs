//! What is wrong with a platform.

use std::time::Duration;

/// What is wrong with a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plant {
    /// Nothing.
    #[default]
    Nothing,
    /// One segment is cut off the first time that it is asked for, and its connection closed.
    TruncatedSegment,
    /// One segment in a hundred is 503.
    Errors,
    /// From so many seconds on, four requests in a hundred take 200 ms more: p99 does, the median does not.
    Slower {
        /// After the first request.
        from_s: u64,
    },
    /// Manifests say that they are an hour old.
    StaleManifest,
    /// Segments of the second rung are those of the first.
    WrongQuality,
    /// Every other user gets one byte of one segment wrong.
    WrongBytes,
    /// The manifest leads to a host that is neither of the loopback nor listed.
    LedAstray,
}

impl Plant {
    pub(crate) fn delay_us(self, age: Duration, path: &str, number: u64) -> u64 {
        match self {
            Self::Slower { from_s }
                if age.as_secs() >= from_s
                    && path.ends_with(".m4s")
                    && number.is_multiple_of(25) =>
            {
                200_000
            }
            _ => 0,
        }
    }
}
