//! A share of a thread's time for what can wait: new connections, while others are served.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Of the time that everything else takes, one part in so many.
const ONE_IN: i64 = 4;

/// What is paid in time for work that can wait. Whoever has none left steps behind everything that is ready to run, and is given a
/// quarter of the time that this takes: so a flood keeps nobody waiting for more than a moment, and a node that has much to do
/// for others still takes up somebody new.
#[derive(Debug)]
pub struct Share {
    least_ns: i64,
    credit_ns: AtomicI64,
}

impl Share {
    /// At least this much work is done each time; of the last piece there may be more.
    #[must_use]
    pub fn new(least: Duration) -> Self {
        Self {
            least_ns: ns(least),
            credit_ns: AtomicI64::new(0),
        }
    }

    /// Returns when there is time for some work.
    pub async fn turn(&self) {
        if self.credit_ns.load(Ordering::Relaxed) > 0 {
            return;
        }
        let began = Instant::now();
        tokio::task::yield_now().await;
        self.grant(began.elapsed());
    }

    /// Takes what work has cost.
    pub fn spent(&self, cost: Duration) {
        self.credit_ns.fetch_sub(ns(cost), Ordering::Relaxed);
    }

    /// What was not used before is gone: nobody saves up for a flood.
    fn grant(&self, others_took: Duration) {
        let credit_ns = (ns(others_took) / ONE_IN).max(self.least_ns);
        self.credit_ns.store(credit_ns, Ordering::Relaxed);
    }
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// How many pieces of work of this cost are done before others have their turn.
    fn pieces(share: &Share, others_took: Duration, cost: Duration) -> u32 {
        share.grant(others_took);
        let mut pieces = 0;
        while share.credit_ns.load(Ordering::Relaxed) > 0 {
            share.spent(cost);
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn a_quarter_of_what_others_take_and_never_nothing() {
        let share = Share::new(60 * US);
        assert_eq!(pieces(&share, 10 * US, 15 * US), 4, "the least");
        assert_eq!(pieces(&share, 60_000 * US, 15 * US), 1_000);
        assert_eq!(
            pieces(&share, Duration::ZERO, 15 * US),
            4,
            "nothing is saved up"
        );
        let one = Share::new(US);
        assert_eq!(pieces(&one, 200 * US, 150 * US), 1);
        assert_eq!(pieces(&one, 6_000 * US, 150 * US), 10);
    }

    #[tokio::test]
    async fn who_has_nothing_left_lets_others_run() {
        let share = std::sync::Arc::new(Share::new(US));
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for name in ["a", "b"] {
            let (share, order) = (share.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                share.turn().await;
                share.spent(Duration::from_secs(1));
                order.lock().unwrap().push(name);
            }));
        }
        let told = order.clone();
        tasks.push(tokio::spawn(
            async move { told.lock().unwrap().push("ready") },
        ));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(order.lock().unwrap()[0], "ready");
    }
}
