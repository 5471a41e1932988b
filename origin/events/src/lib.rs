//! The event log: partitions, consumer groups, retention, dead letters, outbox.
//!
//! What [`EventLog::append`] acknowledged is on disk. Delivery is at least once; [`consumer`] makes acting exactly once
//! out of it together with the consumer's own transaction. [`outbox`] writes a state change and its event together.
//! The scheme of the configured URI picks the engine ([`open()`]); each passes the same [`contract`] suite.

mod engine;
mod faulty;
mod grpc;
mod limits;
mod metrics;
mod open;
mod partition;
mod trace;

pub mod consumer;
pub mod contract;
pub mod envelope;
pub mod outbox;

pub use engine::{RedbLog, Swept};
pub use faulty::FaultyLog;
pub use grpc::{EventLogService, RemoteLog, grpc_service};
pub use limits::{
    BATCH_RECORDS_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX,
    PARTITIONS_MAX, READ_BYTES_MAX, VALUE_BYTES_MAX, WAIT_MAX,
};
pub use open::{EventsOptions, OpenError, open};
pub use partition::partition_of;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum EventError {
    /// The log is away or overloaded; the call may have had its effect.
    #[error("event log is not available: {0}")]
    Unavailable(String),
    /// The topic does not exist.
    #[error("event log has no topic {0:?}")]
    UnknownTopic(String),
    /// The member's assignment is not in force any more; join again, and do not act on what was read.
    #[error("event log: member {member:?} of group {group:?} lost its assignment")]
    Fenced {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// The call cannot be used.
    #[error("event log call refused: {0}")]
    Invalid(String),
    /// The log's files are damaged.
    #[error("event log is damaged: {0}")]
    Corrupt(String),
}

impl EventError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A record to append. The partition is chosen by a stable hash of the key ([`partition_of`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic; must exist.
    pub topic: String,
    /// Orders: records of one key are in one partition.
    pub key: String,
    /// An envelope as JSON.
    pub value: Bytes,
    /// `traceparent` and the like.
    pub headers: BTreeMap<String, String>,
}

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// From 0.
    pub partition: u32,
    /// From 0, rises by one.
    pub offset: u64,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// When it was appended, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
}

/// A member's part of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Rises with every rebalance; fences off members that do not know of it.
    pub generation: u64,
    /// The (topic, partition) pairs that are this member's.
    pub partitions: Vec<(String, u32)>,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    /// The oldest offset that retention has left.
    pub first_offset: u64,
    /// The offset that the next record gets.
    pub next_offset: u64,
}

/// An ordered, durable, partitioned log with consumer groups.
#[async_trait]
pub trait EventLog: Send + Sync + Debug {
    /// Creates the topic unless it exists. Raising the number of partitions or changing the retention of an existing
    /// topic is done; lowering the number of partitions is refused.
    async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        retention: Duration,
    ) -> Result<(), EventError>;
    /// Appends all records or none; they are on disk when this returns. Order within a key is the order of calls.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, EventError>;
    /// Records from `from_offset` (or the oldest kept, if that is later), at most `records_max`; waits up to `wait`
    /// for a first one. A `from_offset` beyond the partition's end is [`EventError::Invalid`].
    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, EventError>;
    /// Those of `positions` that have a record to read now; waits up to `wait` for a first one. One waiting call stands
    /// for many of [`EventLog::read`]. At most [`BATCH_RECORDS_MAX`] positions.
    async fn ready(
        &self,
        positions: &[Position],
        wait: Duration,
    ) -> Result<Vec<Position>, EventError>;
    /// Joins (or stays in) a group; partitions are spread over its live members. A member that does not call
    /// `heartbeat` within `session_timeout` loses its partitions. A partition that moves between live members is
    /// given to the new one only after the old one was told, or left. Joining under a name that is a member already
    /// fences what that name did before.
    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
    ) -> Result<Assignment, EventError>;
    /// Says that the member lives, and tells its assignment now.
    async fn heartbeat(&self, group: &str, member: &str) -> Result<Assignment, EventError>;
    /// Leaves at once, so that others need not wait for the timeout.
    async fn leave(&self, group: &str, member: &str) -> Result<(), EventError>;
    /// Stores the next offset to read, durably. [`EventError::Fenced`] unless the partition was the member's in this
    /// generation and has been ever since.
    async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        topic: &str,
        partition: u32,
        next_offset: u64,
    ) -> Result<(), EventError>;
    /// The next offset to read; 0 when nothing was committed.
    async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<u64, EventError>;
    /// What each partition holds, in order.
    async fn describe(&self, topic: &str) -> Result<Vec<PartitionState>, EventError>;
}

/// A log that many owners share.
pub type SharedEventLog = Arc<dyn EventLog>;
