//! Runs users, on threads of their own.

mod users;

use std::sync::Arc;

use mcsp_loadtest_scenario::{AllowList, Scenario};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::error::LoadError;
use crate::told::{Telling, Told};

/// A share of a scenario's users.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    /// From 0.
    pub(crate) index: u32,
    /// How many shares there are.
    pub(crate) count: u32,
}

impl Share {
    /// Its part number `thread` of `threads`: every `threads`-th of its own users.
    fn of_thread(&self, thread: u32, threads: u32) -> Self {
        Self {
            index: self.index.saturating_add(self.count.saturating_mul(thread)),
            count: self.count.saturating_mul(threads),
        }
    }
}

/// What a thread needs to know.
struct Job {
    scenario: Arc<Scenario>,
    allow: AllowList,
    share: Share,
    /// Users at once.
    users_max: usize,
    start: Instant,
    /// True when the run is to end now.
    stop: watch::Receiver<bool>,
    /// Under this number it tells.
    number: usize,
    tell: mpsc::Sender<Telling>,
}

/// Runs a share of the scenario's users on so many threads, which tell under the numbers from 0 on. They end by themselves; when
/// `stop` becomes true, at once.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(
    scenario: &Arc<Scenario>,
    allow: &AllowList,
    share: &Share,
    threads: u32,
    start: Instant,
    stop: &watch::Receiver<bool>,
    tell: &mpsc::Sender<Telling>,
) -> Result<(), LoadError> {
    let each = scenario.tool.users_max.div_ceil(threads.max(1));
    for (thread, number) in (0..threads).zip(0..) {
        let job = Job {
            scenario: Arc::clone(scenario),
            allow: allow.clone(),
            share: share.of_thread(thread, threads),
            users_max: usize::try_from(each).unwrap_or(usize::MAX),
            start,
            stop: stop.clone(),
            number,
            tell: tell.clone(),
        };
        std::thread::Builder::new()
            .name(format!("users-{thread}"))
            .spawn(move || run(job))
            .map_err(|error| LoadError::system("starting a thread", error))?;
    }
    Ok(())
}

/// A thread's life.
fn run(job: Job) {
    let (tell, number) = (job.tell.clone(), job.number);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let told = match runtime {
        Err(error) => Told::Lost(format!("thread {number}: {error}")),
        Ok(runtime) => match runtime.block_on(users::run(job)) {
            Ok(()) => Told::Done,
            Err(error) => Told::Lost(format!("thread {number}: {error}")),
        },
    };
    // If nobody listens any more, nobody needs to know.
    let _ = tell.blocking_send((number, told));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mcsp_loadtest_scenario::Schedule;

    use super::*;

    #[test]
    fn shares_of_threads_are_the_whole_schedule_once() {
        let text = "name = \"a\"\narrivals = [{ kind = \"poisson\", rate_per_s = 20 }]\n[targets]\napi = \"http://127.0.0.1:1/\"\n";
        let scenario = Scenario::parse(text, "a").expect("a scenario");
        let mut seen = BTreeSet::new();
        for (index, threads) in [(0, 1), (1, 2), (2, 4)] {
            let share = Share { index, count: 3 };
            for thread in 0..threads {
                let of = share.of_thread(thread, threads);
                for start in Schedule::new(&scenario, of.index, of.count) {
                    assert_eq!(start.index % 3, u64::from(index));
                    assert!(seen.insert(start), "{start:?} twice");
                }
            }
        }
        assert!(seen.into_iter().eq(Schedule::whole(&scenario)));
    }
}
