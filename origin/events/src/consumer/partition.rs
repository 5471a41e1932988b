//! One partition of a member: reads in order, deals with each record, commits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use mcsp_runtime::SharedEntropy;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::idle::Idle;
use super::{
    AWAY_MAX, ConsumerOptions, HandleError, MemberIdentity, Processor, RetryPolicy, dead_letter,
};
use crate::{EventError, Position, Record, SharedEventLog, metrics, trace};

/// Progress is committed at least this often, so that little is delivered again after a crash.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

/// What the partitions of a member share.
pub(super) struct Shared<P> {
    pub(super) log: SharedEventLog,
    pub(super) identity: MemberIdentity,
    pub(super) policy: RetryPolicy,
    pub(super) options: ConsumerOptions,
    pub(super) entropy: SharedEntropy,
    pub(super) processor: P,
    pub(super) generation: AtomicU64,
    pub(super) parallel: Semaphore,
    pub(super) idle: Arc<Idle>,
    /// True once no further record is to be begun.
    pub(super) stopping: watch::Sender<bool>,
}

/// Why a partition's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to stop.
    Stopped,
    /// The partition is not the member's any more.
    Fenced,
}

/// The work on one partition.
pub(super) struct PartitionWork<P> {
    pub(super) shared: Arc<Shared<P>>,
    pub(super) topic: String,
    pub(super) partition: u32,
    /// The offset that was committed last by this work, or read when it began; `u64::MAX` until then.
    pub(super) committed: Arc<AtomicU64>,
}

impl<P: Processor> PartitionWork<P> {
    /// Runs until it is told to stop or is fenced.
    pub(super) async fn run(self) -> End {
        let mut stopping = self.shared.stopping.subscribe();
        let started = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return End::Stopped,
            offset = self.starting_offset() => offset,
        };
        let mut next = started;
        loop {
            let records = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return End::Stopped,
                records = self.next_records(&mut next) => records,
            };
            if let Err(end) = self.deal_with_all(records, &mut next).await {
                return end;
            }
        }
    }

    async fn starting_offset(&self) -> u64 {
        let mut failures = 0;
        loop {
            match self
                .shared
                .log
                .committed(&self.shared.identity.group, &self.topic, self.partition)
                .await
            {
                Ok(offset) => {
                    self.committed.store(offset, Ordering::SeqCst);
                    return offset;
                }
                Err(error) => {
                    failures += 1;
                    self.pause("committed offset", &error, failures).await;
                }
            }
        }
    }

    /// The records from `next` on, at least one.
    async fn next_records(&self, next: &mut u64) -> Vec<Record> {
        let mut failures = 0;
        loop {
            let records_max = self.shared.options.batch_records_max;
            let read = self
                .shared
                .log
                .read(
                    &self.topic,
                    self.partition,
                    *next,
                    records_max,
                    Duration::ZERO,
                )
                .await;
            match read {
                Ok(records) if !records.is_empty() => return records,
                Ok(_) => {
                    let position = Position {
                        topic: self.topic.clone(),
                        partition: self.partition,
                        offset: *next,
                    };
                    self.shared.idle.wait(&position).await;
                }
                Err(EventError::Invalid(reason)) if *next > 0 => {
                    // The log was replaced by one that holds less. What it holds is read from its beginning; ids
                    // that are known are skipped.
                    tracing::error!(
                        topic = self.topic,
                        partition = self.partition,
                        reason,
                        "reading from the beginning"
                    );
                    *next = 0;
                }
                Err(error) => {
                    failures += 1;
                    self.pause("read", &error, failures).await;
                }
            }
        }
    }

    async fn deal_with_all(&self, records: Vec<Record>, next: &mut u64) -> Result<(), End> {
        let mut committed_at = Instant::now();
        let last = records.len().saturating_sub(1);
        for (index, record) in records.into_iter().enumerate() {
            if *self.shared.stopping.borrow() {
                break;
            }
            self.deal_with(&record).await?;
            *next = record.position.offset + 1;
            if index < last && committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit(*next).await?;
                committed_at = Instant::now();
            }
        }
        self.commit(*next).await
    }

    /// Returns when the record had its effect or is a dead letter.
    async fn deal_with(&self, record: &Record) -> Result<(), End> {
        let shared = &self.shared;
        let group = &shared.identity.group;
        let began = Instant::now();
        let mut tries = 0_u32;
        let mut outages = 0_u32;
        loop {
            let error = match self.attempt(record).await {
                Ok(()) => {
                    metrics::consumed(group, &self.topic, "done");
                    return Ok(());
                }
                Err(error) => error,
            };
            let (failures, outcome) = match &error {
                HandleError::Away(_) if began.elapsed() < AWAY_MAX => {
                    outages = outages.saturating_add(1);
                    (outages, "waited")
                }
                HandleError::Retry(_) if tries + 1 < shared.policy.tries => {
                    tries += 1;
                    (tries, "retried")
                }
                _ => {
                    tries += 1;
                    return self.bury(record, tries, &error).await;
                }
            };
            metrics::consumed(group, &self.topic, outcome);
            let position = &record.position;
            tracing::warn!(group, topic = self.topic, partition = self.partition, offset = position.offset,
                error = %error, failures, outcome, "event is tried again");
            self.rest(shared.policy.delay(failures, &*shared.entropy))
                .await?;
        }
    }

    /// One try, with a panic counted as a failure.
    async fn attempt(&self, record: &Record) -> Result<(), HandleError> {
        let shared = &self.shared;
        let Ok(_permit) = shared.parallel.acquire().await else {
            return Err(HandleError::Away("the consumer is closing".to_owned()));
        };
        let work = AssertUnwindSafe(shared.processor.process(record)).catch_unwind();
        let done = trace::continued(record, &*shared.entropy, work).await;
        done.unwrap_or_else(|_| Err(HandleError::Retry("the handler panicked".to_owned())))
    }

    /// Puts the record among the dead letters; waits for the log as long as it takes, since moving on without would
    /// lose the record.
    async fn bury(&self, record: &Record, attempts: u32, error: &HandleError) -> Result<(), End> {
        let shared = &self.shared;
        let group = &shared.identity.group;
        let letter = dead_letter::letter(record, group, attempts, &error.to_string());
        let mut failures = 0;
        while let Err(away) = shared.log.append(vec![letter.clone()]).await {
            failures += 1;
            tracing::warn!(group, topic = self.topic, error = %away, failures, "dead letter waits for the log");
            self.rest(shared.policy.delay(failures, &*shared.entropy))
                .await?;
        }
        metrics::consumed(group, &self.topic, "dead");
        tracing::error!(group, topic = self.topic, partition = self.partition, offset = record.position.offset,
            error = %error, attempts, "event is a dead letter");
        self.tell_of_burial(record, error).await
    }

    /// Lets the processor draw its conclusions; what is away is waited for, other failures get the usual tries.
    async fn tell_of_burial(&self, record: &Record, error: &HandleError) -> Result<(), End> {
        let shared = &self.shared;
        let group = &shared.identity.group;
        let mut failures = 0;
        while let Err(failure) = shared.processor.buried(record, error).await {
            failures += 1;
            tracing::warn!(group, topic = self.topic, error = %failure, failures,
                "dead letter's consequence failed");
            if !matches!(failure, HandleError::Away(_)) && failures >= shared.policy.tries {
                break;
            }
            self.rest(shared.policy.delay(failures, &*shared.entropy))
                .await?;
        }
        Ok(())
    }

    async fn commit(&self, next: u64) -> Result<(), End> {
        let shared = &self.shared;
        let MemberIdentity { group, member } = &shared.identity;
        let mut failures = 0;
        while self.committed.load(Ordering::SeqCst) != next {
            let generation = shared.generation.load(Ordering::SeqCst);
            match shared
                .log
                .commit(group, member, generation, &self.topic, self.partition, next)
                .await
            {
                Ok(()) => self.committed.store(next, Ordering::SeqCst),
                Err(EventError::Fenced { .. }) => return Err(End::Fenced),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(group, topic = self.topic, error = %error, failures, "commit waits for the log");
                    self.rest(shared.policy.delay(failures, &*shared.entropy))
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn pause(&self, what: &str, error: &EventError, failures: u32) {
        let wait = self.shared.policy.delay(failures, &*self.shared.entropy);
        tracing::warn!(topic = self.topic, partition = self.partition, error = %error, failures, "{what} failed");
        tokio::time::sleep(wait).await;
    }

    /// Waits, unless it is told to stop.
    async fn rest(&self, wait: Duration) -> Result<(), End> {
        let mut stopping = self.shared.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => Err(End::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}
