//! A member of a group: joins, says that it lives, begins and drops work as partitions come and go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcsp_runtime::{SharedEntropy, Shutdown};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::idle::Idle;
use super::partition::{End, PartitionWork, Shared};
use super::{ConsumerError, ConsumerOptions, MemberIdentity, Processor, RetryPolicy, dead_letter};
use crate::envelope::DLQ_SUFFIX;
use crate::limits::check_name;
use crate::{Assignment, EventError, SharedEventLog};

/// How often the processor may clear up.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long a stop waits for the log to hear of it.
const LEAVE_WAIT: Duration = Duration::from_secs(2);

type Slot = (String, u32);

/// A member and its work.
pub(super) struct Member<P> {
    shared: Arc<Shared<P>>,
    work: JoinSet<End>,
    running: HashMap<Slot, Running>,
    /// Whether the group must be joined anew before anything else.
    fenced: bool,
}

struct Running {
    task: AbortHandle,
    committed: Arc<AtomicU64>,
}

impl<P: Processor> Member<P> {
    pub(super) fn new(
        log: SharedEventLog,
        identity: MemberIdentity,
        policy: RetryPolicy,
        options: ConsumerOptions,
        entropy: SharedEntropy,
        processor: P,
    ) -> Self {
        let shared = Arc::new(Shared {
            log,
            identity,
            policy,
            options,
            entropy,
            processor,
            generation: AtomicU64::new(0),
            parallel: Semaphore::new(options.parallel_max),
            idle: Arc::new(Idle::default()),
            stopping: watch::Sender::new(false),
        });
        Self {
            shared,
            work: JoinSet::new(),
            running: HashMap::new(),
            fenced: true,
        }
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), ConsumerError> {
        let topics = self.check()?;
        let stop = tokio::select! {
            biased;
            () = shutdown.wait() => true,
            () = self.prepare(&topics) => false,
        };
        if stop {
            return Ok(());
        }
        let mut helpers = JoinSet::new();
        let idle = Arc::clone(&self.shared.idle);
        helpers.spawn(idle.poll_forever(
            Arc::clone(&self.shared.log),
            Arc::clone(&self.shared.entropy),
        ));
        helpers.spawn(maintain_forever(Arc::clone(&self.shared)));
        self.live(&topics, &shutdown).await;
        self.drain(&topics).await;
        Ok(())
    }

    fn check(&self) -> Result<Vec<String>, ConsumerError> {
        let identity = &self.shared.identity;
        let invalid = |reason: String| ConsumerError::Invalid {
            group: identity.group.clone(),
            reason,
        };
        check_name("group", &identity.group).map_err(|error| invalid(error.to_string()))?;
        check_name("member", &identity.member).map_err(|error| invalid(error.to_string()))?;
        self.shared.options.check().map_err(invalid)?;
        if self.shared.policy.tries == 0 {
            return Err(invalid("tries = 0: expected at least 1".to_owned()));
        }
        let topics = self.shared.processor.topics();
        if topics.is_empty() {
            return Err(invalid("no topics".to_owned()));
        }
        if let Some(topic) = topics.iter().find(|topic| topic.ends_with(DLQ_SUFFIX)) {
            return Err(invalid(format!(
                "{topic:?}: dead letters are read by people, not consumed"
            )));
        }
        Ok(topics)
    }

    /// Makes the topics for dead letters; waits for the log, and for topics that others have yet to make.
    async fn prepare(&self, topics: &[String]) {
        for topic in topics {
            let mut failures = 0;
            while let Err(error) = dead_letter::ensure_topic(&self.shared.log, topic).await {
                failures += 1;
                let group = &self.shared.identity.group;
                tracing::warn!(group, topic, error = %error, failures, "consumer waits to start");
                tokio::time::sleep(self.shared.policy.delay(failures, &*self.shared.entropy)).await;
            }
        }
    }

    async fn live(&mut self, topics: &[String], shutdown: &Shutdown) {
        let mut heartbeats = ticks(self.shared.options.heartbeat_ms);
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                Some(ended) = self.work.join_next_with_id(), if !self.work.is_empty() => {
                    if self.ended(ended) {
                        heartbeats.reset_immediately();
                    }
                }
                _ = heartbeats.tick() => self.beat(topics).await,
            }
        }
    }

    /// Notes that a partition's work ended; true when the log should be asked at once what is this member's.
    fn ended(&mut self, ended: Result<(Id, End), JoinError>) -> bool {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        // Dropped work was taken out before, and its partition may be worked on again by another task.
        self.running.retain(|_, running| running.task.id() != id);
        match ended {
            Ok((_, End::Fenced)) => true,
            Ok((_, End::Stopped)) => false,
            Err(error) if error.is_cancelled() => false,
            Err(error) => {
                tracing::error!(group = self.shared.identity.group, error = %error, "partition's work panicked");
                false
            }
        }
    }

    /// Says that the member lives, learns what is its own, and acts on that. When the log does not answer, work goes
    /// on: its effects are guarded by their transaction.
    async fn beat(&mut self, topics: &[String]) {
        // Whoever turns out to be fenced joins in the same beat, so that work stands still no longer than it must.
        for _ in 0..2 {
            let joining = self.fenced;
            match self.ask(topics, joining).await {
                Ok(assignment) => {
                    self.fenced = false;
                    self.shared
                        .generation
                        .store(assignment.generation, Ordering::SeqCst);
                    if joining {
                        self.drop_overtaken(&assignment).await;
                    }
                    self.adopt(&assignment);
                    return;
                }
                Err(EventError::Fenced { group, member }) => {
                    tracing::info!(
                        group,
                        member,
                        "the log does not know this member any more; it joins again"
                    );
                    self.fenced = true;
                }
                Err(error) => {
                    let MemberIdentity { group, member } = &self.shared.identity;
                    tracing::warn!(group, member, error = %error, "heartbeat failed");
                    return;
                }
            }
        }
    }

    /// A third of the session timeout: what the log may take to answer before the session is in danger.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.shared.options.session_timeout_ms / 3)
    }

    async fn ask(&self, topics: &[String], joining: bool) -> Result<Assignment, EventError> {
        let MemberIdentity { group, member } = &self.shared.identity;
        let session_timeout = Duration::from_millis(self.shared.options.session_timeout_ms);
        let log = &self.shared.log;
        let asked = tokio::time::timeout(self.patience(), async {
            if joining {
                log.join(group, member, topics, session_timeout).await
            } else {
                log.heartbeat(group, member).await
            }
        });
        asked
            .await
            .unwrap_or_else(|_| Err(EventError::Unavailable("no answer in time".to_owned())))
    }

    /// After having been fenced: work goes on only where nobody else made progress meanwhile.
    async fn drop_overtaken(&mut self, assignment: &Assignment) {
        let mut suspects: Vec<Slot> = assignment.partitions.clone();
        suspects.retain(|slot| self.running.contains_key(slot));
        let log = Arc::clone(&self.shared.log);
        let group = self.shared.identity.group.clone();
        let mut cleared = HashSet::new();
        let check = async {
            for slot in &suspects {
                let known = self
                    .running
                    .get(slot)
                    .map(|running| running.committed.load(Ordering::SeqCst));
                if log.committed(&group, &slot.0, slot.1).await.ok() == known {
                    cleared.insert(slot.clone());
                }
            }
        };
        // What could not be asked in time counts as overtaken.
        let _ = tokio::time::timeout(self.patience(), check).await;
        for slot in suspects.iter().filter(|slot| !cleared.contains(*slot)) {
            self.drop_work(slot);
        }
    }

    /// Begins work on what is new, drops work on what is gone.
    fn adopt(&mut self, assignment: &Assignment) {
        let assigned: HashSet<&Slot> = assignment.partitions.iter().collect();
        let gone: Vec<Slot> = self
            .running
            .keys()
            .filter(|slot| !assigned.contains(slot))
            .cloned()
            .collect();
        for slot in gone {
            self.drop_work(&slot);
        }
        let stopping = *self.shared.stopping.borrow();
        for slot in &assignment.partitions {
            if stopping || self.running.contains_key(slot) {
                continue;
            }
            let committed = Arc::new(AtomicU64::new(u64::MAX));
            let work = PartitionWork {
                shared: Arc::clone(&self.shared),
                topic: slot.0.clone(),
                partition: slot.1,
                committed: Arc::clone(&committed),
            };
            let task = self.work.spawn(work.run());
            self.running
                .insert(slot.clone(), Running { task, committed });
        }
    }

    fn drop_work(&mut self, slot: &Slot) {
        if let Some(running) = self.running.remove(slot) {
            running.task.abort();
            self.shared.idle.forget(slot);
        }
    }

    /// Finishes what is being worked on, within the time for that, and leaves the group.
    async fn drain(&mut self, topics: &[String]) {
        self.shared.stopping.send_replace(true);
        let deadline = Instant::now() + Duration::from_millis(self.shared.options.drain_ms);
        let mut heartbeats = ticks(self.shared.options.heartbeat_ms);
        while !self.work.is_empty() {
            tokio::select! {
                biased;
                ended = self.work.join_next_with_id() => {
                    if let Some(ended) = ended {
                        self.ended(ended);
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
                _ = heartbeats.tick() => self.beat(topics).await,
            }
        }
        self.work.shutdown().await;
        let MemberIdentity { group, member } = &self.shared.identity;
        // Unheard, it costs the others a session timeout.
        let _ = tokio::time::timeout(LEAVE_WAIT, self.shared.log.leave(group, member)).await;
    }
}

fn ticks(every_ms: u64) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn maintain_forever<P: Processor>(shared: Arc<Shared<P>>) {
    let mut ticks = ticks(u64::try_from(MAINTENANCE_INTERVAL.as_millis()).unwrap_or(u64::MAX));
    loop {
        ticks.tick().await;
        shared.processor.maintain().await;
    }
}
