//! What is wrong with a network.

use std::time::Duration;

use mcsp_loadtest_scenario::{Action, Random, Step};
use serde::Serialize;

use crate::error::ChaosError;

/// The longest delay or jitter, ms: what is under way is held in memory.
const DELAY_MS_MAX: u64 = 60_000;
/// What a lost TCP segment costs at least: the smallest retransmission timeout of Linux, doubled by each further loss (RFC 6298,
/// section 5.5).
const RETRANSMIT_MS: u64 = 200;
/// After so many losses in a row a chunk passes.
const LOSSES_MAX: u32 = 5;

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From who connects to the node.
    ToNode,
    /// From the node to who connected.
    ToClient,
}

/// What is wrong with a network, in both directions; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct NetworkFaults {
    /// Everything comes so much later, ms; at most 60 000.
    pub delay_ms: u64,
    /// And up to so much more, evenly, ms; at most 60 000. Order is kept in TCP and not in UDP.
    pub jitter_ms: u64,
    /// Share of UDP datagrams that are dropped, and of TCP chunks that come later by retransmission timeouts; 0 to 1.
    pub loss_ratio: f64,
    /// At most so many kbit/s a direction of a connection (or UDP flow); 0: as many as there are.
    pub kbit_s: u64,
    /// Connections are reset, open ones and new ones; datagrams are dropped.
    pub reset: bool,
    /// Nothing passes and nobody is told; TCP goes on afterwards where it was, datagrams are gone.
    pub blackhole: bool,
    /// This direction of TCP connections is ended (FIN), and what is still sent there is dropped; the other goes on.
    pub half_close: Option<Direction>,
}

impl NetworkFaults {
    /// Whether there are none.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// A value out of its range.
    pub fn validate(&self) -> Result<(), ChaosError> {
        for (key, value) in [("delay_ms", self.delay_ms), ("jitter_ms", self.jitter_ms)] {
            if value > DELAY_MS_MAX {
                return Err(ChaosError::unavailable(
                    format!("{key} = {value}"),
                    format!("expected 0 to {DELAY_MS_MAX}"),
                ));
            }
        }
        if !(0.0..=1.0).contains(&self.loss_ratio) {
            return Err(ChaosError::unavailable(
                format!("loss_ratio = {}", self.loss_ratio),
                "expected 0 to 1",
            ));
        }
        Ok(())
    }

    /// What a step does to the network; none: it does something else.
    #[must_use]
    pub fn of_step(step: &Step) -> Option<Self> {
        let none = Self::default();
        Some(match step.action {
            Action::Delay => Self {
                delay_ms: step.delay_ms.unwrap_or(0),
                jitter_ms: step.jitter_ms.unwrap_or(0),
                ..none
            },
            Action::Loss => Self {
                loss_ratio: step.loss_ratio.unwrap_or(0.0),
                ..none
            },
            Action::Throttle => Self {
                kbit_s: step.kbit_s.unwrap_or(0),
                ..none
            },
            Action::Reset => Self {
                reset: true,
                ..none
            },
            Action::Blackhole => Self {
                blackhole: true,
                ..none
            },
            _ => return None,
        })
    }

    /// Both at once: delays add up, losses are independent of each other, the slower throttle wins.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let kbit_s = match (self.kbit_s, other.kbit_s) {
            (0, rate) | (rate, 0) => rate,
            (a, b) => a.min(b),
        };
        Self {
            delay_ms: (self.delay_ms + other.delay_ms).min(DELAY_MS_MAX),
            jitter_ms: (self.jitter_ms + other.jitter_ms).min(DELAY_MS_MAX),
            loss_ratio: 1.0 - (1.0 - self.loss_ratio) * (1.0 - other.loss_ratio),
            kbit_s,
            reset: self.reset || other.reset,
            blackhole: self.blackhole || other.blackhole,
            half_close: self.half_close.or(other.half_close),
        }
    }

    /// How much later a piece comes, and how often it was lost on the way. The same for the same luck, so that it can be asked
    /// again when the faults change.
    pub(crate) fn lateness(&self, mut luck: Random, is_resent: bool) -> (Duration, u32) {
        let jitter = luck.between(0, self.jitter_ms.saturating_mul(1000));
        let mut losses = 0;
        while losses < LOSSES_MAX && luck.chance(self.loss_ratio) {
            losses += 1;
        }
        let resent_ms = if is_resent {
            RETRANSMIT_MS * ((1 << losses) - 1)
        } else {
            0
        };
        let late = Duration::from_millis(self.delay_ms + resent_ms) + Duration::from_micros(jitter);
        (late, losses)
    }

    /// How long so many bytes take at the throttle's rate.
    pub(crate) fn time_of(&self, bytes: usize) -> Duration {
        match self.kbit_s {
            0 => Duration::ZERO,
            // kbit/s is bit/ms.
            rate => Duration::from_nanos((bytes as u64).saturating_mul(8_000_000) / rate),
        }
    }

    /// How many bytes to hand on at once: about 20 ms of a throttled link, so that it trickles.
    pub(crate) fn piece_bytes(&self) -> usize {
        match self.kbit_s {
            0 => usize::MAX,
            rate => usize::try_from(rate.saturating_mul(20) / 8)
                .unwrap_or(usize::MAX)
                .max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_piece_is_late_by_its_delay_jitter_and_timeouts(delay_ms in 0..60_000_u64, jitter_ms in 0..60_000_u64, loss_ratio in 0.0..=1.0, index: u64) {
            let faults = NetworkFaults { delay_ms, jitter_ms, loss_ratio, ..NetworkFaults::default() };
            let (late, losses) = faults.lateness(Random::new(1, 2, index), true);
            prop_assert!(losses <= LOSSES_MAX);
            let least = Duration::from_millis(delay_ms + 200 * ((1 << losses) - 1));
            prop_assert!(late >= least && late <= least + Duration::from_millis(jitter_ms));
            prop_assert_eq!(faults.lateness(Random::new(1, 2, index), true), (late, losses));
        }

        #[test]
        fn faults_together_are_no_milder_than_each(a in any::<(u16, u16, bool, bool)>(), b in any::<(u16, u16, bool, bool)>()) {
            let faults = |(delay, kbit_s, reset, blackhole): (u16, u16, bool, bool)| NetworkFaults {
                delay_ms: delay.into(), kbit_s: kbit_s.into(), reset, blackhole, loss_ratio: f64::from(delay) / 65_536.0, ..NetworkFaults::default()
            };
            let (a, b) = (faults(a), faults(b));
            let both = a.and(b);
            for one in [a, b] {
                prop_assert!(both.delay_ms >= one.delay_ms.min(DELAY_MS_MAX));
                prop_assert!(both.loss_ratio >= one.loss_ratio - 1e-9);
                prop_assert!(both.time_of(1_000_000) >= one.time_of(1_000_000));
                prop_assert!(both.reset >= one.reset && both.blackhole >= one.blackhole);
            }
            prop_assert_eq!(a.and(NetworkFaults::default()).kbit_s, a.kbit_s);
        }
    }

    #[test]
    fn the_share_of_losses_is_as_asked() {
        let faults = NetworkFaults {
            loss_ratio: 0.1,
            ..NetworkFaults::default()
        };
        let lost = (0..20_000)
            .filter(|index| faults.lateness(Random::new(7, 0, *index), false).1 > 0)
            .count();
        assert!((1_800..2_200).contains(&lost), "{lost} of 20000");
    }

    #[test]
    fn a_throttle_takes_the_time_of_its_bits() {
        let faults = NetworkFaults {
            kbit_s: 800,
            ..NetworkFaults::default()
        };
        assert_eq!(faults.time_of(100_000), Duration::from_secs(1));
        assert_eq!(faults.piece_bytes(), 2_000);
    }
}
