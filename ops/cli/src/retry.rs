//! When to try again, and when to stop trying.

use std::time::{Duration, Instant};

use mcsp_runtime::SharedEntropy;

use crate::error::CliError;

const PAUSE_MAX: Duration = Duration::from_secs(30);
/// However long a try takes, there are so many.
const TRIES_MIN: u32 = 3;

/// How a command retries.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Before the first retry; doubles each time, up to 30 s.
    pub(crate) first_pause: Duration,
    /// The longest time from the first failure on in which nothing succeeds.
    pub(crate) patience: Duration,
    pub(crate) entropy: SharedEntropy,
}

/// One thing that is tried until it succeeds.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    policy: &'a RetryPolicy,
    /// When it failed first: a try itself may take long, on a slow link.
    failing_since: Option<Instant>,
    failures: u32,
}

impl RetryPolicy {
    pub(crate) fn start(&self) -> Retry<'_> {
        Retry {
            policy: self,
            failing_since: None,
            failures: 0,
        }
    }

    /// Repeats a call that may be repeated.
    pub(crate) async fn run<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, CliError>
    where
        F: Future<Output = Result<T, CliError>>,
    {
        let mut retry = self.start();
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => retry.pause_after(error).await?,
            }
        }
    }

    /// Half of the doubled pause, and a random part of the other half, so that many clients do not come at once.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self
            .first_pause
            .saturating_mul(
                1_u32
                    .checked_shl(failures.saturating_sub(1))
                    .unwrap_or(u32::MAX),
            )
            .min(PAUSE_MAX);
        let half = doubled / 2;
        let half_ms = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(self.entropy.next_u64() % half_ms.saturating_add(1))
    }
}

impl Retry<'_> {
    /// Waits before the next try.
    ///
    /// # Errors
    /// The error itself, when a retry cannot help or patience is at an end.
    pub(crate) async fn pause_after(&mut self, error: CliError) -> Result<(), CliError> {
        if !error.is_retryable() {
            return Err(error);
        }
        self.failures = self.failures.saturating_add(1);
        let asked = error.retry_after_s().map_or(Duration::ZERO, |s| {
            Duration::from_secs(s.into()).min(PAUSE_MAX)
        });
        let pause = self.policy.pause(self.failures).max(asked);
        let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
        let is_too_long = failing_since.elapsed() + pause > self.policy.patience;
        if is_too_long && self.failures >= TRIES_MIN {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::SeededEntropy;

    use super::*;

    fn policy(patience: Duration) -> RetryPolicy {
        RetryPolicy {
            first_pause: Duration::from_millis(2),
            patience,
            entropy: SeededEntropy::new(1),
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let policy = RetryPolicy {
            first_pause: Duration::from_millis(500),
            ..policy(Duration::ZERO)
        };
        for (failures, max_ms) in [(1, 500), (2, 1000), (5, 8000), (7, 30_000), (60, 30_000)] {
            let pause = policy.pause(failures);
            assert!(
                pause >= Duration::from_millis(max_ms / 2)
                    && pause <= Duration::from_millis(max_ms),
                "{pause:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_may_pass_is_retried_and_what_will_not_is_not() {
        let policy = policy(Duration::from_secs(60));
        let mut calls = 0;
        let result: Result<u32, CliError> = policy
            .run(|| {
                calls += 1;
                let call = calls;
                async move {
                    if call < 4 {
                        Err(CliError::Unreachable("away".to_owned()))
                    } else {
                        Ok(call)
                    }
                }
            })
            .await;
        assert_eq!(result.expect("the fourth try"), 4);
        let mut calls = 0;
        let result: Result<(), CliError> = policy
            .run(|| {
                calls += 1;
                async { Err(CliError::Refused("no".to_owned())) }
            })
            .await;
        assert!(result.is_err());
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn patience_ends() {
        let policy = policy(Duration::from_millis(1));
        let result: Result<(), CliError> = policy
            .run(|| async { Err(CliError::Unreachable("away".to_owned())) })
            .await;
        assert!(matches!(result, Err(CliError::Unreachable(_))));
    }
}
