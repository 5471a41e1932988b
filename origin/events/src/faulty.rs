//! `faulty:` wraps a log and makes its calls fail by a seed, for tests and chaos.

use std::time::Duration;

use async_trait::async_trait;
use mcsp_runtime::{FAULT_MARK, FaultPlan};

use crate::{
    Assignment, EventError, EventLog, NewRecord, PartitionState, Position, Record, SharedEventLog,
};

/// A log whose calls fail as a [`FaultPlan`] says: some before they have an effect, some writes after it.
#[derive(Debug)]
pub struct FaultyLog {
    inner: SharedEventLog,
    plan: FaultPlan,
}

impl FaultyLog {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: SharedEventLog, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    async fn before(&self, operation: &str) -> Result<(), EventError> {
        let delay = self.plan.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.plan.fails() {
            return Err(EventError::Unavailable(format!(
                "{FAULT_MARK} before {operation}"
            )));
        }
        Ok(())
    }

    fn after<T>(&self, operation: &str, done: T) -> Result<T, EventError> {
        if self.plan.loses_acknowledgement() {
            return Err(EventError::Unavailable(format!(
                "{FAULT_MARK} after {operation}"
            )));
        }
        Ok(done)
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        retention: Duration,
    ) -> Result<(), EventError> {
        self.before("ensure_topic").await?;
        self.inner
            .ensure_topic(topic, partitions, retention)
            .await?;
        self.after("ensure_topic", ())
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, EventError> {
        self.before("append").await?;
        let positions = self.inner.append(records).await?;
        self.after("append", positions)
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, EventError> {
        self.before("read").await?;
        self.inner
            .read(topic, partition, from_offset, records_max, wait)
            .await
    }

    async fn ready(
        &self,
        positions: &[Position],
        wait: Duration,
    ) -> Result<Vec<Position>, EventError> {
        self.before("ready").await?;
        self.inner.ready(positions, wait).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
    ) -> Result<Assignment, EventError> {
        self.before("join").await?;
        let assignment = self
            .inner
            .join(group, member, topics, session_timeout)
            .await?;
        self.after("join", assignment)
    }

    async fn heartbeat(&self, group: &str, member: &str) -> Result<Assignment, EventError> {
        self.before("heartbeat").await?;
        let assignment = self.inner.heartbeat(group, member).await?;
        self.after("heartbeat", assignment)
    }

    async fn leave(&self, group: &str, member: &str) -> Result<(), EventError> {
        self.before("leave").await?;
        self.inner.leave(group, member).await?;
        self.after("leave", ())
    }

    async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        topic: &str,
        partition: u32,
        next_offset: u64,
    ) -> Result<(), EventError> {
        self.before("commit").await?;
        self.inner
            .commit(group, member, generation, topic, partition, next_offset)
            .await?;
        self.after("commit", ())
    }

    async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<u64, EventError> {
        self.before("committed").await?;
        self.inner.committed(group, topic, partition).await
    }

    async fn describe(&self, topic: &str) -> Result<Vec<PartitionState>, EventError> {
        self.before("describe").await?;
        self.inner.describe(topic).await
    }
}
