//! Time that never goes back, from a clock that may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use governor::clock::Clock as GovernorClock;
use governor::nanos::Nanos;
use mcsp_runtime::SharedClock;

const NOT_STARTED: i64 = i64::MIN;
/// A jump ahead counts as no more than this: the machine slept, or its clock was set. Every limit is whole again after it.
const JUMP_MS_MAX: u64 = 86_400_000;

/// The time that has passed. A wall clock that is set back stops it for no longer than one reading.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    wall: SharedClock,
    /// The wall clock's last reading.
    wall_ms: AtomicI64,
    elapsed_ms: AtomicU64,
}

impl SteadyClock {
    /// A clock that shows zero until it is [started](Self::start), so that all who begin to count before that count from
    /// the same zero.
    pub(crate) fn new(wall: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            wall,
            wall_ms: AtomicI64::new(NOT_STARTED),
            elapsed_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn start(&self) {
        self.wall_ms.store(self.wall.now_ms(), Ordering::Relaxed);
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        // Read before the wall: what it shows then can only be later, unless it was set back.
        let before_ms = self.wall_ms.load(Ordering::Relaxed);
        if before_ms == NOT_STARTED {
            return 0;
        }
        let wall_ms = self.wall.now_ms();
        if wall_ms == before_ms {
            return self.elapsed_ms.load(Ordering::Relaxed);
        }
        let is_mine = self
            .wall_ms
            .compare_exchange(before_ms, wall_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        let passed_ms = u64::try_from(wall_ms.saturating_sub(before_ms)).unwrap_or(0);
        if is_mine && passed_ms > 0 {
            let passed_ms = passed_ms.min(JUMP_MS_MAX);
            return self.elapsed_ms.fetch_add(passed_ms, Ordering::Relaxed) + passed_ms;
        }
        self.elapsed_ms.load(Ordering::Relaxed)
    }

    /// Nanoseconds since the start, as they were at the last reading.
    pub(crate) fn last_ns(&self) -> u64 {
        to_ns(self.elapsed_ms.load(Ordering::Relaxed))
    }
}

/// The clock as rules read it.
#[derive(Debug, Clone)]
pub(crate) struct RuleClock(pub(crate) Arc<SteadyClock>);

impl GovernorClock for RuleClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(to_ns(self.0.now_ms()))
    }
}

/// The same for a rule that shares its state with others, those before it among them: all count from the clock's zero, whenever
/// they were made. Governor takes its first reading for the moment to count from.
#[derive(Debug)]
pub(crate) struct FromZero {
    clock: RuleClock,
    is_begun: AtomicBool,
}

impl FromZero {
    pub(crate) fn new(clock: &Arc<SteadyClock>) -> Self {
        Self {
            clock: RuleClock(Arc::clone(clock)),
            is_begun: AtomicBool::new(false),
        }
    }
}

impl Clone for FromZero {
    fn clone(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            is_begun: AtomicBool::new(self.is_begun.load(Ordering::Relaxed)),
        }
    }
}

impl GovernorClock for FromZero {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        if self.is_begun.load(Ordering::Relaxed) {
            return self.clock.now();
        }
        self.is_begun.store(true, Ordering::Relaxed);
        Nanos::new(0)
    }
}

pub(crate) fn to_ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcsp_runtime::ManualClock;

    use super::*;

    #[test]
    fn a_wall_that_is_set_back_neither_stops_time_nor_turns_it() {
        let wall = ManualClock::new(1_000_000);
        let clock = SteadyClock::new(wall.clone());
        wall.advance(Duration::from_millis(5));
        assert_eq!(clock.now_ms(), 0, "not started");
        clock.start();
        wall.advance(Duration::from_millis(7));
        assert_eq!(clock.now_ms(), 7);
        wall.set(0);
        assert_eq!(clock.now_ms(), 7);
        wall.advance(Duration::from_millis(3));
        assert_eq!(clock.now_ms(), 10);
        wall.set(i64::MAX);
        assert_eq!(clock.now_ms(), 10 + JUMP_MS_MAX);
        assert_eq!(clock.last_ns(), to_ns(10 + JUMP_MS_MAX));
    }

    #[test]
    fn threads_that_read_at_once_do_not_count_a_millisecond_twice() {
        let wall = ManualClock::new(1);
        let clock = SteadyClock::new(wall.clone());
        clock.start();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).map(|_| clock.now_ms()).max());
            }
            for _ in 0..1_000 {
                wall.advance(Duration::from_millis(1));
                std::hint::spin_loop();
            }
        });
        assert_eq!(clock.now_ms(), 1_000);
    }
}
