//! What is refused when the node has too much to do: what begins anew before what runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::class::Class;
use crate::config::ShedConfig;

/// How much is refused. Each level refuses what the one before it does, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing.
    None = 0,
    /// New playback sessions, and what would be fetched ahead.
    NewSessions = 1,
    /// API calls that only read, the viewer's page, pictures of streams that do not run.
    Reads = 2,
    /// All other API calls, sign-ins and uploads: all that no running stream needs.
    Writes = 3,
    /// Segments and manifests of streams that are not known to run.
    OtherStreams = 4,
}

impl Level {
    const ALL: [Self; 5] = [
        Self::None,
        Self::NewSessions,
        Self::Reads,
        Self::Writes,
        Self::OtherStreams,
    ];

    fn of(number: u8) -> Self {
        let level = Self::ALL.get(usize::from(number)).copied();
        level.unwrap_or(Self::OtherStreams)
    }

    fn above(self) -> Self {
        Self::of(self as u8 + 1)
    }

    fn below(self) -> Self {
        Self::of((self as u8).saturating_sub(1))
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NewSessions => "new-sessions",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::OtherStreams => "other-streams",
        }
    }

    /// From which level on is a request refused that belongs to no running stream? Absent: at none.
    fn refuses_from(class: Class) -> Option<Self> {
        match class {
            Class::Play => Some(Self::NewSessions),
            Class::ApiRead | Class::Web | Class::Art => Some(Self::Reads),
            Class::ApiWrite | Class::Login | Class::Upload => Some(Self::Writes),
            Class::Segment | Class::Manifest | Class::Plain => Some(Self::OtherStreams),
            // A running stream may need a new connection, and a new token.
            Class::Connection | Class::Renewal | Class::Refused => None,
        }
    }
}

/// How the node is, each between what is free and what is too much.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Of the requests that may be under way, the share that is.
    pub in_flight_share: f64,
    /// How long a task that is ready waits for a thread, ms.
    pub lag_ms: f64,
    /// Of the memory that the process may use, the share it does; 0 where that is not known.
    pub memory_share: f64,
    /// Of the processor time there is, the share used of late; 0 where that is not known.
    pub cpu_share: f64,
}

#[derive(Debug, Clone, Copy)]
struct History {
    /// Since when there is too much, or, if there is not, too little for less to be refused.
    overloaded_since_ms: Option<i64>,
    calm_since_ms: Option<i64>,
}

/// Decides what is refused, from how the node is. Goes up by one level for each `step_ms` in which there is too much, and
/// down by one for each `calm_ms` in which there was a tenth to spare; in between it stays.
#[derive(Debug)]
pub struct Shedder {
    config: ArcSwap<ShedConfig>,
    level: AtomicU8,
    history: Mutex<History>,
}

/// Pressure must be this much below what is too much before less is refused.
const CALM_SHARE: f64 = 0.9;
/// As many times what is too much goes straight to the highest level.
const LAG_CRITICAL: f64 = 20.0;
const MEMORY_CRITICAL: f64 = 0.98;
/// Seconds after which who was refused may come back, and up to how many more, so that not all come at once.
const RETRY_AFTER_S: u32 = 5;
const RETRY_SPREAD_S: u32 = 10;

impl Shedder {
    /// Refuses nothing yet.
    #[must_use]
    pub fn new(config: &ShedConfig) -> Self {
        Self {
            config: ArcSwap::from_pointee(config.clone()),
            level: AtomicU8::new(0),
            history: Mutex::new(History {
                overloaded_since_ms: None,
                calm_since_ms: None,
            }),
        }
    }

    /// Goes by other thresholds from now on; nothing is refused where there are to be none.
    pub fn reload(&self, config: &ShedConfig) {
        self.config.store(Arc::new(config.clone()));
        if !config.enabled {
            self.level.store(Level::None as u8, Ordering::Relaxed);
        }
    }

    /// What is refused now.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::of(self.level.load(Ordering::Relaxed))
    }

    /// Is a request to be refused? `is_running` is asked only where that decides.
    #[must_use]
    pub fn refuses(&self, class: Class, is_running: impl FnOnce() -> bool) -> bool {
        let level = self.level();
        if level == Level::None {
            return false;
        }
        Level::refuses_from(class).is_some_and(|from| level >= from) && !is_running()
    }

    /// Is fetching ahead of viewers to rest?
    #[must_use]
    pub fn rests_prefetch(&self) -> bool {
        self.level() >= Level::NewSessions
    }

    /// `Retry-After` of a refusal, seconds; `random` spreads those who were refused together.
    #[must_use]
    pub fn retry_after_s(random: u64) -> u32 {
        let spread = random % u64::from(RETRY_SPREAD_S + 1);
        RETRY_AFTER_S + u32::try_from(spread).unwrap_or(0)
    }

    /// Takes notice of how the node is; to be called several times in a `step_ms`. Tells what is refused from now on.
    pub fn observe(&self, pressure: &Pressure, now_ms: i64) -> Level {
        let level = self.level();
        let config = self.config.load();
        if !config.enabled {
            return level;
        }
        let mut history = self.history.lock();
        let next = next_level(&config, level, pressure, now_ms, &mut history);
        self.level.store(next as u8, Ordering::Relaxed);
        next
    }
}

fn next_level(
    config: &ShedConfig,
    level: Level,
    pressure: &Pressure,
    now_ms: i64,
    history: &mut History,
) -> Level {
    let load = Load::of(config, pressure);
    if load.is_critical {
        history.overloaded_since_ms = Some(now_ms);
        history.calm_since_ms = None;
        return Level::OtherStreams;
    }
    if load.is_overloaded(level) {
        history.calm_since_ms = None;
        let since_ms = since(&mut history.overloaded_since_ms, now_ms);
        if now_ms.saturating_sub(since_ms) < i64::from(config.step_ms) {
            return level;
        }
        history.overloaded_since_ms = Some(now_ms);
        return level.above();
    }
    history.overloaded_since_ms = None;
    if !load.is_calm() {
        history.calm_since_ms = None;
        return level;
    }
    let since_ms = since(&mut history.calm_since_ms, now_ms);
    if now_ms.saturating_sub(since_ms) < i64::from(config.calm_ms) {
        return level;
    }
    history.calm_since_ms = Some(now_ms);
    level.below()
}

/// Since when it has been so. A clock that was set back begins anew: nothing has been so since a time that is still to come, and to
/// wait for that would keep the level for as long.
fn since(known_ms: &mut Option<i64>, now_ms: i64) -> i64 {
    let since_ms = known_ms.map_or(now_ms, |known_ms| known_ms.min(now_ms));
    *known_ms = Some(since_ms);
    since_ms
}

/// Pressure as shares of what is too much.
struct Load {
    /// Viewers feel it, or soon will.
    hard: f64,
    /// The processor: busy is not late.
    soft: f64,
    is_critical: bool,
}

impl Load {
    fn of(config: &ShedConfig, pressure: &Pressure) -> Self {
        let lag_max_ms = f64::from(config.lag_ms);
        let hard = (pressure.in_flight_share / config.in_flight_share)
            .max(pressure.lag_ms / lag_max_ms)
            .max(pressure.memory_share / config.memory_share);
        Self {
            hard,
            soft: pressure.cpu_share / config.cpu_share,
            is_critical: pressure.lag_ms >= lag_max_ms * LAG_CRITICAL
                || pressure.memory_share >= MEMORY_CRITICAL
                || pressure.in_flight_share >= 1.0,
        }
    }

    fn is_overloaded(&self, level: Level) -> bool {
        self.hard >= 1.0 || (self.soft >= 1.0 && level < Level::Reads)
    }

    fn is_calm(&self) -> bool {
        self.hard < CALM_SHARE && self.soft < CALM_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Pressure = Pressure {
        in_flight_share: 0.1,
        lag_ms: 1.0,
        memory_share: 0.3,
        cpu_share: 0.2,
    };
    const LATE: Pressure = Pressure {
        lag_ms: 60.0,
        ..CALM
    };

    fn after(shedder: &Shedder, pressure: &Pressure, now_ms: &mut i64, for_ms: i64) -> Level {
        let end_ms = *now_ms + for_ms;
        while *now_ms < end_ms {
            *now_ms += 100;
            shedder.observe(pressure, *now_ms);
        }
        shedder.level()
    }

    #[test]
    fn it_goes_up_by_steps_and_down_slowly_and_stays_between() {
        let shedder = Shedder::new(&ShedConfig::default());
        let mut now_ms = 0;
        let mut after =
            |pressure: &Pressure, for_ms| after(&shedder, pressure, &mut now_ms, for_ms);
        assert_eq!(after(&LATE, 500), Level::None);
        assert_eq!(after(&LATE, 100), Level::NewSessions);
        assert_eq!(after(&LATE, 500), Level::Reads);
        // Neither too much nor enough to spare.
        let between = Pressure {
            lag_ms: 47.0,
            ..CALM
        };
        assert_eq!(after(&between, 60_000), Level::Reads);
        assert_eq!(after(&CALM, 5_000), Level::Reads);
        assert_eq!(after(&CALM, 100), Level::NewSessions);
        assert_eq!(after(&LATE, 5_000), Level::OtherStreams);
        assert_eq!(after(&CALM, 20_200), Level::None);
        // A moment is no overload.
        for _ in 0..100 {
            after(&LATE, 300);
            assert_eq!(after(&CALM, 100), Level::None);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_level_up_and_none_down() {
        let shedder = Shedder::new(&ShedConfig::default());
        let hour_ms = 3_600_000;
        let mut now_ms = 10 * hour_ms;
        assert_eq!(after(&shedder, &LATE, &mut now_ms, 600), Level::NewSessions);
        now_ms -= hour_ms;
        assert_eq!(
            after(&shedder, &LATE, &mut now_ms, 5_000),
            Level::OtherStreams
        );
        assert_eq!(
            after(&shedder, &CALM, &mut now_ms, 1_000),
            Level::OtherStreams
        );
        now_ms -= hour_ms;
        assert_eq!(after(&shedder, &CALM, &mut now_ms, 20_400), Level::None);
    }

    #[test]
    fn what_cannot_wait_goes_to_the_end_at_once() {
        for critical in [
            Pressure {
                lag_ms: 1_000.0,
                ..CALM
            },
            Pressure {
                memory_share: 0.99,
                ..CALM
            },
            Pressure {
                in_flight_share: 1.0,
                ..CALM
            },
        ] {
            let shedder = Shedder::new(&ShedConfig::default());
            assert_eq!(shedder.observe(&critical, 1), Level::OtherStreams);
        }
    }

    #[test]
    fn a_busy_processor_alone_stops_only_what_is_new() {
        let shedder = Shedder::new(&ShedConfig::default());
        let busy = Pressure {
            cpu_share: 1.0,
            ..CALM
        };
        let mut now_ms = 0;
        assert_eq!(after(&shedder, &busy, &mut now_ms, 60_000), Level::Reads);
        let off = ShedConfig {
            enabled: false,
            ..ShedConfig::default()
        };
        let shedder = Shedder::new(&off);
        assert_eq!(after(&shedder, &LATE, &mut now_ms, 60_000), Level::None);
    }

    #[test]
    fn running_streams_go_on_at_every_level_and_new_ones_go_first() {
        let shedder = Shedder::new(&ShedConfig::default());
        let refused = |is_running: bool| {
            let refuses = |class: &Class| shedder.refuses(*class, || is_running);
            let refused = Class::ALL.into_iter().filter(refuses);
            refused.map(Class::name).collect::<Vec<_>>().join(" ")
        };
        let mut now_ms = 0;
        for wanted in [
            "",
            "play",
            "art web play api_read",
            "art web play api_read api_write login upload",
            "segment manifest art web play api_read api_write login upload plain",
        ] {
            let mut wanted: Vec<_> = wanted.split_whitespace().collect();
            wanted.sort_unstable();
            let told = refused(false);
            let mut told: Vec<_> = told.split_whitespace().collect();
            told.sort_unstable();
            assert_eq!(told, wanted);
            assert_eq!(refused(true), "");
            assert_eq!(shedder.rests_prefetch(), !wanted.is_empty());
            after(&shedder, &LATE, &mut now_ms, 600);
        }
        for random in [0, 7, u64::MAX] {
            assert!((5..=15).contains(&Shedder::retry_after_s(random)));
        }
    }

    proptest::proptest! {
        /// However the pressure goes, levels move by one unless it is critical, never up without overload, never down
        /// without calm.
        #[test]
        fn levels_move_for_a_reason(samples in proptest::collection::vec((0.0_f64..1.5, 0_u64..120, 0.0_f64..1.2), 1..200)) {
            let shedder = Shedder::new(&ShedConfig::default());
            let mut before = Level::None;
            for (at, (in_flight_share, lag_ms, cpu_share)) in samples.into_iter().enumerate() {
                let pressure = Pressure { in_flight_share, lag_ms: lag_ms as f64, memory_share: 0.0, cpu_share };
                let load = Load::of(&ShedConfig::default(), &pressure);
                let now = shedder.observe(&pressure, at as i64 * 1_000);
                if now > before {
                    proptest::prop_assert!(load.is_critical || (load.is_overloaded(before) && now == before.above()));
                }
                if now < before {
                    proptest::prop_assert!(load.is_calm() && now == before.below());
                }
                before = now;
            }
        }
    }
}
