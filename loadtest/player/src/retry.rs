//! When a failed fetch is tried again: as hls.js does by default (its `fragLoadPolicy`, `playlistLoadPolicy`).

use std::time::Duration;

use mcsp_loadtest_scenario::PlayerSettings;
use mcsp_loadtest_wire::FailureKind;

/// What is loaded, as hls.js tells it apart: each has its own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    /// `manifestLoadPolicy`: a multivariant playlist, an MPD.
    Master,
    /// `playlistLoadPolicy`: a rendition's playlist.
    Playlist,
    /// `fragLoadPolicy`: an initialisation or media segment.
    Segment,
}

impl Loading {
    /// `maxLoadTimeMs`.
    pub(crate) fn load_max(self) -> Duration {
        match self {
            Self::Master | Self::Playlist => Duration::from_secs(20),
            Self::Segment => Duration::from_secs(120),
        }
    }

    /// `maxNumRetry` of `timeoutRetry` and of `errorRetry`.
    fn retries(self) -> (u32, u32) {
        match self {
            Self::Master => (2, 1),
            Self::Playlist => (2, 2),
            Self::Segment => (4, 6),
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A status that was not expected.
    Status(u16),
    /// No whole answer.
    Wire(FailureKind),
}

/// The wait before try `tries` + 1, after `tries` of them (from 1); none: no more, by hls.js's own number of them or the scenario's.
/// Time-outs are tried again at once
/// (`timeoutRetry.retryDelayMs` is 0), other errors after `retry_base_ms`, doubled each time up to `retry_max_ms`; statuses of
/// 400 to 499 not at all. Unlike hls.js, which leaves them to the browser's user, broken connections are errors like others.
#[must_use]
pub(crate) fn wait(
    settings: &PlayerSettings,
    loading: Loading,
    fault: Fault,
    tries: u32,
) -> Option<Duration> {
    let (of_timeouts, of_errors) = loading.retries();
    let is_timeout = matches!(fault, Fault::Wire(kind) if kind.is_timeout());
    let retries_max = if is_timeout { of_timeouts } else { of_errors };
    if tries == 0 || tries > retries_max.min(settings.retries_max) {
        return None;
    }
    match fault {
        Fault::Status(400..=499) => return None,
        Fault::Wire(kind) if !kind.is_retryable() => return None,
        Fault::Wire(kind) if kind.is_timeout() => return Some(Duration::ZERO),
        Fault::Status(_) | Fault::Wire(_) => {}
    }
    let factor = 1_u64.checked_shl(tries - 1).unwrap_or(u64::MAX);
    let wait_ms = settings.retry_base_ms.saturating_mul(factor);
    Some(Duration::from_millis(wait_ms.min(settings.retry_max_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_back_off_time_outs_do_not_and_refusals_end_it() {
        let settings = PlayerSettings::default();
        let of = |loading, fault| -> Vec<u128> {
            let waits = (1..).map_while(|tries| wait(&settings, loading, fault, tries));
            waits.map(|wait| wait.as_millis()).collect()
        };
        let unavailable = Fault::Status(503);
        let late = Fault::Wire(FailureKind::HeadTimeout);
        // The defaults of hls.js 1.5: `maxNumRetry`, `retryDelayMs` 1000 and 0, `maxRetryDelayMs` 8000.
        assert_eq!(
            of(Loading::Segment, unavailable),
            [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]
        );
        assert_eq!(of(Loading::Segment, late), [0; 4]);
        assert_eq!(of(Loading::Playlist, unavailable), [1_000, 2_000]);
        assert_eq!(of(Loading::Playlist, late), [0; 2]);
        assert_eq!(of(Loading::Master, unavailable), [1_000]);
        assert_eq!(of(Loading::Master, late), [0; 2]);
        assert_eq!(
            of(Loading::Segment, Fault::Wire(FailureKind::Truncated)).len(),
            6
        );
        assert!(of(Loading::Segment, Fault::Status(404)).is_empty());
        assert!(of(Loading::Segment, Fault::Wire(FailureKind::Refused)).is_empty());
    }

    #[test]
    fn a_scenario_may_ask_for_fewer() {
        let settings = PlayerSettings {
            retries_max: 1,
            ..PlayerSettings::default()
        };
        let waits = |tries| wait(&settings, Loading::Segment, Fault::Status(503), tries);
        assert!(waits(1).is_some() && waits(2).is_none());
    }
}
