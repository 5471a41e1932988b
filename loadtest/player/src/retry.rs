//! When a failed fetch is tried again: as hls.js does by default (its `fragLoadPolicy`, `playlistLoadPolicy`).

use std::time::Duration;

use mcsp_loadtest_scenario::PlayerSettings;
use mcsp_loadtest_wire::FailureKind;

/// `maxLoadTimeMs` of a segment.
pub(crate) const SEGMENT_LOAD_MAX: Duration = Duration::from_secs(120);
/// `maxLoadTimeMs` of a manifest.
pub(crate) const MANIFEST_LOAD_MAX: Duration = Duration::from_secs(20);

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A status that was not expected.
    Status(u16),
    /// No whole answer.
    Wire(FailureKind),
}

/// The wait before try `tries` + 1, after `tries` of them (from 1); none: no more. Time-outs are tried again at once
/// (`timeoutRetry.retryDelayMs` is 0), other errors after `retry_base_ms`, doubled each time up to `retry_max_ms`; statuses of
/// 400 to 499 not at all. Unlike hls.js, which leaves them to the browser's user, broken connections are errors like others.
#[must_use]
pub fn wait(settings: &PlayerSettings, fault: Fault, tries: u32) -> Option<Duration> {
    if tries == 0 || tries > settings.retries_max {
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
        let ms = |fault, tries| wait(&settings, fault, tries).map(|wait| wait.as_millis());
        let waits: Vec<_> = (1..=5).map(|tries| ms(Fault::Status(503), tries)).collect();
        assert_eq!(
            waits,
            [Some(1_000), Some(2_000), Some(4_000), Some(8_000), None]
        );
        assert_eq!(ms(Fault::Wire(FailureKind::HeadTimeout), 2), Some(0));
        assert_eq!(ms(Fault::Wire(FailureKind::Truncated), 1), Some(1_000));
        assert_eq!(ms(Fault::Status(404), 1), None);
        assert_eq!(ms(Fault::Wire(FailureKind::Refused), 1), None);
    }
}
