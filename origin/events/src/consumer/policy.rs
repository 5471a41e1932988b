//! How often and after what waits something is tried again.

use std::time::Duration;

use mcsp_runtime::Entropy;

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many tries a record gets in all before it is a dead letter; at least 1.
    pub tries: u32,
    /// The wait after the first failure, milliseconds; doubles with each further one.
    pub base_ms: u64,
    /// The longest wait, milliseconds.
    pub max_ms: u64,
}

impl Default for RetryPolicy {
    /// Five tries, 200 ms doubling up to 30 s.
    fn default() -> Self {
        Self {
            tries: 5,
            base_ms: 200,
            max_ms: 30_000,
        }
    }
}

impl RetryPolicy {
    /// The wait after the `failures`th failure: between half and all of the exponential step, so that many who failed
    /// together do not come back together.
    #[must_use]
    pub fn delay(&self, failures: u32, entropy: &dyn Entropy) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let step_ms = self.base_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let half_ms = step_ms / 2;
        let jitter_ms = entropy.next_u64() % (step_ms - half_ms + 1);
        Duration::from_millis(half_ms + jitter_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::SeededEntropy;

    #[test]
    fn waits_double_stay_between_half_and_all_and_are_bounded() {
        let policy = RetryPolicy {
            tries: 5,
            base_ms: 100,
            max_ms: 1_000,
        };
        let entropy = SeededEntropy::new(3);
        for (failures, step_ms) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (4, 800),
            (5, 1_000),
            (u32::MAX, 1_000),
        ] {
            for _ in 0..50 {
                let wait_ms = policy.delay(failures, &*entropy).as_millis();
                assert!(
                    (step_ms / 2..=step_ms).contains(&wait_ms),
                    "{failures}: {wait_ms}"
                );
            }
        }
    }
}
