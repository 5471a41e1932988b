//! How the node is: what the shedder goes by.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::{SharedClock, Shutdown};
use prometheus::{Gauge, IntGauge, Registry};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, MissedTickBehavior};

use crate::limits::Limits;
use crate::shed::{Level, Pressure};

/// How often it is looked at how late a task is.
const TICK: Duration = Duration::from_millis(50);
/// A task counts as late by the least that it was in as many ticks: a queue that stands, not one that comes and goes.
const TICKS: usize = 6;
/// Memory and processor time are looked at each so many ticks.
const SLOW_TICKS: u64 = 10;

/// Feeds the shedder of [`Limits`] until told to stop.
#[derive(Debug)]
pub struct Probe {
    limits: Arc<Limits>,
    clock: SharedClock,
    level: IntGauge,
    in_flight: IntGauge,
    lag_s: Gauge,
    lags: [Duration; TICKS],
    machine: Machine,
    slow: Slow,
}

/// What is looked at less often.
#[derive(Debug, Clone, Copy, Default)]
struct Slow {
    cpu_share: f64,
    memory_share: f64,
}

impl Probe {
    /// A probe that has seen nothing yet.
    ///
    /// # Errors
    /// When `registry` has these metrics already.
    pub fn new(
        limits: Arc<Limits>,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let lag_s = Gauge::new(
            "mcsp_edge_lag_seconds",
            "The least that a ready task waited for a thread of late.",
        )?;
        registry.register(Box::new(lag_s.clone()))?;
        Ok(Self {
            limits,
            clock,
            level: gauge(
                "mcsp_edge_shed_level",
                "What is refused because there is too much to do: 0 nothing, 1 new sessions, 2 reads, 3 writes, 4 streams \
                 that do not run.",
            )?,
            in_flight: gauge("mcsp_edge_requests_in_flight", "Requests under way.")?,
            lag_s,
            lags: [Duration::ZERO; TICKS],
            machine: Machine::new(),
            slow: Slow::default(),
        })
    }

    /// Runs until told to stop.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u64.. {
            let due = tokio::select! {
                due = ticks.tick() => due,
                () = shutdown.wait() => return,
            };
            self.look(tick, Instant::now().saturating_duration_since(due));
        }
    }

    fn look(&mut self, tick: u64, lag: Duration) {
        // Fewer than `TICKS` were seen at first; the others count as no delay.
        let place = usize::try_from(tick % TICKS as u64).unwrap_or(0);
        if let Some(oldest) = self.lags.get_mut(place) {
            *oldest = lag;
        }
        if tick.is_multiple_of(SLOW_TICKS) {
            self.slow = self.machine.look();
        }
        let least = self.lags.iter().min().copied().unwrap_or_default();
        let occupancy = &self.limits.occupancy;
        let pressure = Pressure {
            in_flight_share: f64::from(occupancy.requests()) / f64::from(occupancy.requests_max()),
            lag_ms: least.as_secs_f64() * 1_000.0,
            memory_share: self.slow.memory_share,
            cpu_share: self.slow.cpu_share,
        };
        let before = self.limits.shedder.level();
        let level = self.limits.shedder.observe(&pressure, self.clock.now_ms());
        self.tell(before, level, &pressure);
    }

    fn tell(&self, before: Level, level: Level, pressure: &Pressure) {
        self.level.set(i64::from(level as u8));
        self.in_flight
            .set(i64::from(self.limits.occupancy.requests()));
        self.lag_s.set(pressure.lag_ms / 1_000.0);
        if level > before {
            tracing::warn!(refuses = level.name(), ?pressure, "too much to do");
        } else if level < before {
            tracing::info!(refuses = level.name(), "less to do");
        }
    }
}

/// The process's use of the machine.
#[derive(Debug)]
struct Machine {
    cores: f64,
    memory_max_bytes: Option<f64>,
    looked: std::time::Instant,
    cpu_used: Duration,
}

impl Machine {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
            memory_max_bytes: memory_max_bytes(),
            looked: std::time::Instant::now(),
            cpu_used: cpu_used(),
        }
    }

    fn look(&mut self) -> Slow {
        let (now, cpu_used) = (std::time::Instant::now(), cpu_used());
        let used_s = cpu_used.saturating_sub(self.cpu_used).as_secs_f64();
        let passed_s = now.saturating_duration_since(self.looked).as_secs_f64();
        (self.looked, self.cpu_used) = (now, cpu_used);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory_share = self.memory_max_bytes.zip(own_bytes(&status));
        Slow {
            cpu_share: if passed_s > 0.0 {
                used_s / (passed_s * self.cores)
            } else {
                0.0
            },
            memory_share: memory_share.map_or(0.0, |(max, resident)| resident / max),
        }
    }
}

fn cpu_used() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// What the process's control group (version 2) or the machine has.
fn memory_max_bytes() -> Option<f64> {
    let of_group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let of_group = of_group.and_then(|text| text.trim().parse::<f64>().ok());
    let of_machine = fs::read_to_string("/proc/meminfo").ok();
    let of_machine = of_machine.and_then(|text| kibibytes(&text, "MemTotal:"));
    let of_machine = of_machine.filter(|bytes| *bytes > 0.0);
    match (of_group, of_machine) {
        (Some(group), Some(machine)) => Some(group.min(machine)),
        (group, machine) => group.or(machine),
    }
}

/// What the process has of memory for itself. What files that it mapped have there is the kernel's to give up.
fn own_bytes(status: &str) -> Option<f64> {
    let of_files = kibibytes(status, "RssFile:").unwrap_or(0.0);
    Some((kibibytes(status, "VmRSS:")? - of_files).max(0.0))
}

/// The bytes of a line such as `VmRSS:   1234 kB`.
fn kibibytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<f64>().ok().map(|kib| kib * 1_024.0)
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::{ManualClock, SeededEntropy, SharedEntropy};

    use super::*;
    use crate::config::LimitsConfig;

    #[test]
    fn the_machine_tells_shares() {
        assert_eq!(
            kibibytes("A: 1 kB\nVmRSS:\t  12 kB\n", "VmRSS:"),
            Some(12_288.0)
        );
        assert_eq!(kibibytes("VmRSS: many", "VmRSS:"), None);
        let status = "VmRSS:\t  12 kB\nRssAnon:\t  2 kB\nRssFile:\t  9 kB\n";
        assert_eq!(own_bytes(status), Some(3.0 * 1_024.0));
        assert_eq!(own_bytes("VmRSS: 2 kB\n"), Some(2_048.0));
        assert_eq!(own_bytes("RssFile: 2 kB\n"), None);
        let mut machine = Machine::new();
        let busy = std::time::Instant::now();
        while busy.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let slow = machine.look();
        assert!(slow.cpu_share > 0.0 && slow.cpu_share < 1.5, "{slow:?}");
        assert!(
            slow.memory_share > 0.0 && slow.memory_share < 1.0,
            "{slow:?}"
        );
    }

    #[test]
    fn a_queue_that_stands_is_too_much_and_a_hiccup_is_not() {
        let clock = ManualClock::new(1);
        let shared: SharedClock = clock.clone();
        let entropy: SharedEntropy = SeededEntropy::new(1);
        let registry = Registry::new();
        let config = LimitsConfig::default();
        let limits = Limits::new(&config, &shared, &entropy, &registry).unwrap();
        let mut probe = Probe::new(Arc::clone(&limits), shared, &registry).unwrap();
        let mut look = |tick: u64, lag_ms: u64| {
            clock.advance(TICK);
            probe.look(tick, Duration::from_millis(lag_ms));
            limits.shedder.level()
        };
        for tick in 0..100 {
            let lag_ms = if tick % 5 == 0 { 0 } else { 400 };
            assert_eq!(look(tick, lag_ms), Level::None);
        }
        for tick in 100..130 {
            look(tick, 400);
        }
        assert!(look(130, 400) > Level::None);
    }
}
