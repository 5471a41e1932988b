//! Seeded faults, for the `faulty:` wrapper that every kind of engine has.

use std::sync::Arc;
use std::time::Duration;

use crate::engine_uri::{EngineUri, EngineUriError};
use crate::entropy::{Entropy, SeededEntropy};

/// Stands in the message of every error that a [`FaultPlan`] caused, so that nobody takes it for a real one.
pub const FAULT_MARK: &str = "injected fault";

/// The longest delay that a plan may ask for, milliseconds.
const DELAY_MS_MAX: u64 = 60_000;

/// Which calls of a wrapped engine fail, decided by a seed. The decisions are drawn in the order of the calls, so one
/// seed gives one run where one task makes the calls.
///
/// Parameters of the URI, all optional: `seed` (default 0); `error_rate`, the share of calls that fail and have no
/// effect (0 to 1, default 0); `lost_ack_rate`, the share of writes that take effect and still report a failure (0 to
/// 1, default 0); `delay_ms_max`, each call waits up to so long first (0 to 60000, default 0).
#[derive(Debug, Clone)]
pub struct FaultPlan {
    entropy: Arc<SeededEntropy>,
    error_rate: f64,
    lost_ack_rate: f64,
    delay_ms_max: u64,
}

impl FaultPlan {
    /// Splits `faulty:INNER?seed=7&error_rate=0.1` into the plan and the inner engine's URI, which keeps every
    /// parameter that is not the plan's.
    ///
    /// # Errors
    /// [`EngineUriError::BadParameter`] when a value is not a number or out of range.
    pub fn split(uri: &EngineUri) -> Result<(Self, String), EngineUriError> {
        let mut params = uri.params.clone();
        let seed = number(uri, params.remove("seed"), "seed", 0, u64::MAX)?;
        let error_rate = rate(uri, params.remove("error_rate"), "error_rate")?;
        let lost_ack_rate = rate(uri, params.remove("lost_ack_rate"), "lost_ack_rate")?;
        let delay_ms_max = number(
            uri,
            params.remove("delay_ms_max"),
            "delay_ms_max",
            0,
            DELAY_MS_MAX,
        )?;
        let mut inner = uri.rest.clone();
        for (index, (key, value)) in params.iter().enumerate() {
            inner.push(if index == 0 { '?' } else { '&' });
            inner.push_str(key);
            inner.push('=');
            inner.push_str(value);
        }
        let plan = Self {
            entropy: SeededEntropy::new(seed),
            error_rate,
            lost_ack_rate,
            delay_ms_max,
        };
        Ok((plan, inner))
    }

    /// Does this call fail, without an effect?
    #[must_use]
    pub fn fails(&self) -> bool {
        self.draw(self.error_rate)
    }

    /// Does this write, which took effect, report a failure?
    #[must_use]
    pub fn loses_acknowledgement(&self) -> bool {
        self.draw(self.lost_ack_rate)
    }

    /// How long the call waits first.
    #[must_use]
    pub fn delay(&self) -> Duration {
        if self.delay_ms_max == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.entropy.next_u64() % (self.delay_ms_max + 1))
    }

    fn draw(&self, rate: f64) -> bool {
        // 53 random bits are a number in [0, 1): never below a rate of 0, always below a rate of 1.
        const SCALE: f64 = (1_u64 << 53) as f64;
        let random = (self.entropy.next_u64() >> 11) as f64 / SCALE;
        random < rate
    }
}

fn number(
    uri: &EngineUri,
    value: Option<String>,
    name: &str,
    default: u64,
    max: u64,
) -> Result<u64, EngineUriError> {
    let Some(value) = value else {
        return Ok(default);
    };
    match value.parse() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(uri.bad_parameter(
            name,
            format!("{value:?} is not a whole number from 0 to {max}"),
        )),
    }
}

fn rate(uri: &EngineUri, value: Option<String>, name: &str) -> Result<f64, EngineUriError> {
    let Some(value) = value else { return Ok(0.0) };
    match value.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err(uri.bad_parameter(name, format!("{value:?} is not a number from 0 to 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(uri: &str) -> (FaultPlan, String) {
        FaultPlan::split(&EngineUri::parse(uri).unwrap()).unwrap()
    }

    #[test]
    fn the_inner_engine_keeps_its_own_parameters() {
        let (_, inner) = plan("faulty:sqlite:/a.db?seed=7&readers_max=2&error_rate=0.5");
        assert_eq!(inner, "sqlite:/a.db?readers_max=2");
    }

    #[test]
    fn rates_of_zero_and_one_are_never_and_always() {
        let (never, _) = plan("faulty:sqlite:/a.db?seed=7");
        assert!((0..1000).all(|_| !never.fails() && !never.loses_acknowledgement()));
        assert_eq!(never.delay(), Duration::ZERO);
        let (always, _) = plan("faulty:sqlite:/a.db?error_rate=1&lost_ack_rate=1");
        assert!((0..1000).all(|_| always.fails() && always.loses_acknowledgement()));
    }

    #[test]
    fn one_seed_gives_one_run_at_about_the_rate_asked_for() {
        let draws = |seed: u64| -> Vec<bool> {
            let (plan, _) = plan(&format!("faulty:x:y?seed={seed}&error_rate=0.25"));
            (0..4000).map(|_| plan.fails()).collect()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        let failures = draws(7).into_iter().filter(|fails| *fails).count();
        assert!((800..1200).contains(&failures), "{failures} of 4000");
    }

    #[test]
    fn a_value_out_of_range_names_the_parameter() {
        for query in [
            "error_rate=1.5",
            "error_rate=NaN",
            "lost_ack_rate=x",
            "delay_ms_max=60001",
            "seed=-1",
        ] {
            let uri = EngineUri::parse(&format!("faulty:sqlite:/a.db?{query}")).unwrap();
            let error = FaultPlan::split(&uri).unwrap_err().to_string();
            let (name, _) = query.split_once('=').unwrap();
            assert!(error.contains(name), "{error}");
        }
    }
}
