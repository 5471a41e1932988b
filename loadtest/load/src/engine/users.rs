//! One thread's users: started when the schedule says so, whatever becomes of those that are there.

use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_measure::Recorder;
use mcsp_loadtest_player::{World, WorldOptions};
use mcsp_loadtest_scenario::{Schedule, Start, ToolLimits};
use mcsp_loadtest_wire::{Limits, Network, RunClock, Timer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::Job;
use crate::error::LoadError;
use crate::told::{Telling, Told};

/// How often it is told what was seen.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long users may take to leave after they should have.
const LEAVE_GRACE_US: u64 = 2_000_000;

pub(super) async fn run(job: Job) -> Result<(), LoadError> {
    let Job {
        scenario,
        allow,
        share,
        users_max,
        start,
        mut stop,
        number,
        tell,
    } = job;
    let timer = Timer::new().map_err(|error| LoadError::system("a timer", error))?;
    let clock = RunClock::starting_at(start).by(Arc::clone(&timer));
    let mut ticking = tokio::spawn(async move { timer.run().await });
    let network = Network::new(
        clock.clone(),
        limits(&scenario.tool),
        allow,
        scenario.targets.resolve.clone(),
        scenario.targets.ca_file.as_deref(),
    )?;
    let leave_us = scenario
        .duration_us()
        .saturating_add(scenario.tool.drain_ms.saturating_mul(1_000));
    let mut schedule = Schedule::new(&scenario, share.index, share.count);
    let world = World::new(
        (*scenario).clone(),
        Arc::new(network),
        WorldOptions::default(),
    );
    let mut users = Users {
        world: &world,
        tasks: JoinSet::new(),
        users_max,
        leave_us,
        panicked: 0,
    };
    let mut telling = tokio::time::interval_at(Instant::now() + TELL_EVERY, TELL_EVERY);
    telling.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = schedule.next();
    let late_us = leave_us.saturating_add(LEAVE_GRACE_US);
    while (next.is_some() || !users.tasks.is_empty()) && clock.now_us() < late_us {
        let at_us = next.map_or(late_us, |start| start.at_us);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = clock.until(at_us) => {
                // All that are due: a thread that was away for a moment does not go round once for each.
                while let Some(start) = next.filter(|start| start.at_us <= clock.now_us()) {
                    users.start(start);
                    next = schedule.next();
                }
            }
            Some(ended) = users.tasks.join_next(), if !users.tasks.is_empty() => users.ended(&ended),
            _ = telling.tick() => tell_now(&world, number, &tell),
            ended = &mut ticking => {
                let ended = ended.map_err(std::io::Error::other).flatten();
                ended.map_err(|error| LoadError::system("the timer", error))?;
            }
        }
    }
    let panicked = users.panicked;
    drop(users);
    ticking.abort();
    let rest = world.with_recorder(Recorder::take);
    // If nobody listens any more, nobody needs to know.
    let _ = tell.send((number, Told::Partial(Box::new(rest)))).await;
    if panicked > 0 {
        let why = std::io::Error::other(format!(
            "{panicked} of them panicked; this is a fault of the tool"
        ));
        return Err(LoadError::system("users", why));
    }
    Ok(())
}

fn limits(tool: &ToolLimits) -> Limits {
    Limits {
        connect_timeout: Duration::from_millis(tool.connect_timeout_ms),
        read_timeout: Duration::from_millis(tool.read_timeout_ms),
        ..Limits::default()
    }
}

/// Tells what was seen, if there is room; else it is kept for the next time.
fn tell_now(world: &World, number: usize, tell: &mpsc::Sender<Telling>) {
    if let Ok(room) = tell.try_reserve() {
        let seen = world.with_recorder(Recorder::take);
        room.send((number, Told::Partial(Box::new(seen))));
    }
}

struct Users<'w> {
    world: &'w Arc<World>,
    tasks: JoinSet<()>,
    users_max: usize,
    leave_us: u64,
    panicked: u64,
}

impl Users<'_> {
    fn start(&mut self, start: Start) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(&ended);
        }
        if self.tasks.len() >= self.users_max {
            self.world
                .with_recorder(|recorder| recorder.missed(start.at_us));
            return;
        }
        let user = Arc::clone(self.world).run_user(start, self.leave_us);
        self.tasks.spawn(user);
    }

    fn ended(&mut self, ended: &Result<(), tokio::task::JoinError>) {
        self.panicked += u64::from(ended.is_err());
    }
}
