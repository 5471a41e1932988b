//! Which of the requests that were let through have an event.
//!
//! All are counted. Where inspection fails for everybody an event of each would be a flood, just when the node has other troubles;
//! so of each reason there are so many a second, and each says how many there were without one before it.

use parking_lot::Mutex;

use super::FailureKind;

/// Most events a second of one reason.
const EVENTS_MAX: u32 = 10;
const WINDOW_US: u64 = 1_000_000;

/// Why a request was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Failed(FailureKind),
    /// Inspection is given up for a while.
    Bypassed,
}

impl Reason {
    const COUNT: usize = FailureKind::ALL.len() + 1;

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failed(kind) => kind.name(),
            Self::Bypassed => "bypassed",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Failed(kind) => kind as usize,
            Self::Bypassed => FailureKind::ALL.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Window {
    began_us: u64,
    events: u32,
    /// Requests without an event since the last that had one.
    untold: u64,
}

/// Chooses. Times are its caller's, microseconds since some fixed moment.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    windows: [Mutex<Window>; Reason::COUNT],
}

impl Sampler {
    /// For a request with an event: how many there were without one since the last.
    pub(super) fn take(&self, reason: Reason, now_us: u64) -> Option<u64> {
        let mut window = self.windows.get(reason.place())?.lock();
        if now_us.saturating_sub(window.began_us) >= WINDOW_US {
            window.began_us = now_us;
            window.events = 0;
        }
        if window.events >= EVENTS_MAX {
            window.untold = window.untold.saturating_add(1);
            return None;
        }
        window.events += 1;
        Some(std::mem::take(&mut window.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_have_an_event_and_the_next_says_how_many_had_none() {
        let sampler = Sampler::default();
        let take = |now_us| sampler.take(Reason::Bypassed, now_us);
        for nth in 0..10 {
            assert_eq!(take(nth), Some(0));
        }
        for nth in 10..1_000 {
            assert_eq!(take(nth), None);
        }
        // Of each reason by itself.
        let panic = Reason::Failed(FailureKind::Panic);
        assert_eq!(sampler.take(panic, 1_000), Some(0));
        assert_eq!(take(WINDOW_US), Some(990));
        assert_eq!(take(WINDOW_US), Some(0));
    }

    #[test]
    fn each_reason_has_a_place() {
        let mut places: Vec<usize> = FailureKind::ALL
            .map(|kind| Reason::Failed(kind).place())
            .into();
        places.push(Reason::Bypassed.place());
        assert_eq!(places, (0..Reason::COUNT).collect::<Vec<_>>());
    }
}
