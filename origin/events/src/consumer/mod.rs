//! Consumers: each event's effect exactly once, in order within a key, however often it is delivered.
//!
//! The id of the event is stored in the transaction of its effect, and known ids are skipped. A failure is tried
//! again with growing waits, which hold up its own partition only; after the last try the record goes to
//! `<topic>.dlq` with the error, the tries and where it was, and the partition moves on. Heartbeats go on while work
//! runs; when a partition becomes another member's, the work on it is dropped.

mod dead_letter;
mod effect;
mod idle;
mod member;
mod partition;
mod policy;

use std::time::Duration;

use async_trait::async_trait;
use mcsp_api::events::TOPICS;
use mcsp_db::{Db, DbError, DbErrorKind, Tx};
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown, SystemClock, SystemEntropy};
use thiserror::Error;

use self::effect::{HandlerProcessor, JobProcessor, Ledger};
use self::member::Member;
use crate::envelope::{DLQ_SUFFIX, EnvelopeError};
use crate::{EventError, Record, SharedEventLog};

pub use self::dead_letter::{
    HEADER_ATTEMPTS, HEADER_ERROR, HEADER_GROUP, HEADER_SOURCE_OFFSET, HEADER_SOURCE_PARTITION,
    HEADER_SOURCE_TOPIC,
};
pub use self::effect::MIGRATION_SQL;
pub use self::policy::RetryPolicy;

/// Why a record was not dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandleError {
    /// Another try may help; counts towards the last try.
    #[error("{0}")]
    Retry(String),
    /// No try will ever help: a dead letter at once.
    #[error("{0}")]
    Poison(String),
    /// Something that the work needs is away, which is not the record's fault: tried again with growing waits until
    /// it is back, and a dead letter only after a day ([`AWAY_MAX`]).
    #[error("{0}")]
    Away(String),
}

/// How long a record waits for what is away before it is a dead letter.
pub const AWAY_MAX: Duration = Duration::from_secs(24 * 3600);

impl HandleError {
    /// May another try help?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Poison(_))
    }
}

impl From<EnvelopeError> for HandleError {
    fn from(error: EnvelopeError) -> Self {
        Self::Poison(error.to_string())
    }
}

impl From<DbError> for HandleError {
    fn from(error: DbError) -> Self {
        // A full disk may be emptied.
        if error.is_retryable() || error.kind() == DbErrorKind::Storage {
            Self::Away(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<EventError> for HandleError {
    fn from(error: EventError) -> Self {
        if error.is_retryable() {
            Self::Away(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}

/// Acts on events within a transaction.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The consumer group; each group sees every event.
    const GROUP: &'static str;

    /// The topics it takes.
    fn topics(&self) -> Vec<String>;

    /// Puts the record's effect, and nothing else, into `tx`. Called again after a failure, and never after the
    /// transaction was committed.
    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError>;
}

/// Acts on events with work that takes long, or that is outside the database, before the transaction.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// The consumer group; each group sees every event.
    const GROUP: &'static str;
    /// What the work hands to the transaction.
    type Effect: Send;

    /// The topics it takes.
    fn topics(&self) -> Vec<String>;

    /// Does the work; its traces outside the database must be harmless to repeat. Dropped when the partition becomes
    /// another member's.
    async fn work(&self, record: &Record) -> Result<Self::Effect, HandleError>;

    /// Puts the effect into `tx`.
    async fn apply(
        &self,
        record: &Record,
        effect: Self::Effect,
        tx: &mut Tx,
    ) -> Result<(), HandleError>;

    /// Called after the record became a dead letter, so that whoever waits for its effect can be told. Must be harmless
    /// to repeat: a crash brings the record, and then this call, once more. The event does not count as consumed.
    async fn give_up(
        &self,
        record: &Record,
        error: &HandleError,
        tx: &mut Tx,
    ) -> Result<(), HandleError> {
        let _ = (record, error, tx);
        Ok(())
    }
}

/// Acts on records without a database; the effect must be harmless to repeat.
#[async_trait]
pub trait Processor: Send + Sync + 'static {
    /// The topics it takes.
    fn topics(&self) -> Vec<String>;

    /// Deals with one record, once.
    async fn process(&self, record: &Record) -> Result<(), HandleError>;

    /// Called after the record became a dead letter; see [`Job::give_up`].
    async fn buried(&self, record: &Record, error: &HandleError) -> Result<(), HandleError> {
        let _ = (record, error);
        Ok(())
    }

    /// Called about once an hour: a bounded step of clearing up.
    async fn maintain(&self) {}
}

/// Why a consumer does not start. None of these gets better by waiting.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// A topic, a name or a number cannot be used.
    #[error("consumer {group:?}: {reason}")]
    Invalid {
        /// The group.
        group: String,
        /// What was expected.
        reason: String,
    },
    /// The table of consumed events cannot be made.
    #[error("consumer {group:?}: {source}")]
    Db {
        /// The group.
        group: String,
        /// Why.
        source: DbError,
    },
}

/// What a consumer's work is bounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// The most records that are worked on at once, each of another partition; 1 to 256, default 4.
    pub parallel_max: usize,
    /// A member that is silent for so long loses its partitions, milliseconds; default 6 000.
    pub session_timeout_ms: u64,
    /// How often a member says that it lives, milliseconds; at most a third of the session timeout; default 2 000.
    pub heartbeat_ms: u64,
    /// The most records read at once of a partition; 1 to 1 000, default 64.
    pub batch_records_max: usize,
    /// How long a stop waits for records that are being worked on, milliseconds; default 10 000.
    pub drain_ms: u64,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            parallel_max: 4,
            session_timeout_ms: 6_000,
            heartbeat_ms: 2_000,
            batch_records_max: 64,
            drain_ms: 10_000,
        }
    }
}

impl ConsumerOptions {
    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(format!("{name} = {value}: expected {min} to {max}"))
        };
        within("parallel_max", self.parallel_max as u64, 1, 256)?;
        within("session_timeout_ms", self.session_timeout_ms, 100, 600_000)?;
        within(
            "heartbeat_ms",
            self.heartbeat_ms,
            10,
            self.session_timeout_ms / 3,
        )?;
        within("batch_records_max", self.batch_records_max as u64, 1, 1_000)?;
        within("drain_ms", self.drain_ms, 0, 600_000)
    }
}

/// A member of a consumer group.
#[derive(Debug, Clone)]
pub struct Consumer {
    log: SharedEventLog,
    db: Db,
    identity: MemberIdentity,
    policy: RetryPolicy,
    options: ConsumerOptions,
    clock: SharedClock,
    entropy: SharedEntropy,
}

/// Who consumes.
#[derive(Debug, Clone)]
pub(crate) struct MemberIdentity {
    pub(crate) group: String,
    pub(crate) member: String,
}

impl Consumer {
    /// A member of `group` with effects in `db`. `member` must be unique among the group's processes.
    #[must_use]
    pub fn new(
        log: SharedEventLog,
        db: Db,
        group: &str,
        member: &str,
        policy: RetryPolicy,
    ) -> Self {
        Self {
            log,
            db,
            identity: MemberIdentity {
                group: group.to_owned(),
                member: member.to_owned(),
            },
            policy,
            options: ConsumerOptions::default(),
            clock: SystemClock::shared(),
            entropy: SystemEntropy::shared(),
        }
    }

    /// With other bounds.
    #[must_use]
    pub fn with_options(mut self, options: ConsumerOptions) -> Self {
        self.options = options;
        self
    }

    /// With another bound on how many records are worked on at once.
    #[must_use]
    pub fn parallel_max(mut self, records: usize) -> Self {
        self.options.parallel_max = records;
        self
    }

    /// With another clock and other randomness than the system's.
    #[must_use]
    pub fn with_inputs(mut self, clock: SharedClock, entropy: SharedEntropy) -> Self {
        self.clock = clock;
        self.entropy = entropy;
        self
    }

    /// Consumes until it is told to stop; what is being worked on then is finished, or dropped after `drain_ms` and
    /// delivered again later. Outages of the log and the database are waited for.
    ///
    /// # Errors
    /// [`ConsumerError`] when it cannot start at all.
    pub async fn run<H: Handler>(
        self,
        handler: H,
        shutdown: Shutdown,
    ) -> Result<(), ConsumerError> {
        let ledger = self.ledger(&handler.topics()).await?;
        let processor = HandlerProcessor::new(handler, ledger);
        self.member(processor).run(shutdown).await
    }

    /// [`Self::run`] for a [`Job`].
    ///
    /// # Errors
    /// [`ConsumerError`] when it cannot start at all.
    pub async fn run_job<J: Job>(self, job: J, shutdown: Shutdown) -> Result<(), ConsumerError> {
        let ledger = self.ledger(&job.topics()).await?;
        let processor = JobProcessor::new(job, ledger);
        self.member(processor).run(shutdown).await
    }

    async fn ledger(&self, topics: &[String]) -> Result<Ledger, ConsumerError> {
        let group = &self.identity.group;
        let ledger = Ledger::new(
            self.db.clone(),
            group,
            retention_of(topics),
            self.clock.clone(),
        );
        ledger.migrate().await.map_err(|source| ConsumerError::Db {
            group: group.clone(),
            source,
        })?;
        Ok(ledger)
    }

    fn member<P: Processor>(self, processor: P) -> Member<P> {
        Member::new(
            self.log,
            self.identity,
            self.policy,
            self.options,
            self.entropy,
            processor,
        )
    }
}

/// Consumes with a [`Processor`] until it is told to stop, as [`Consumer::run`] does.
///
/// # Errors
/// [`ConsumerError`] when it cannot start at all.
pub async fn run_processor<P: Processor>(
    log: SharedEventLog,
    group: &str,
    member: &str,
    policy: RetryPolicy,
    options: ConsumerOptions,
    processor: P,
    shutdown: Shutdown,
) -> Result<(), ConsumerError> {
    let identity = MemberIdentity {
        group: group.to_owned(),
        member: member.to_owned(),
    };
    Member::new(
        log,
        identity,
        policy,
        options,
        SystemEntropy::shared(),
        processor,
    )
    .run(shutdown)
    .await
}

/// How long ids of these topics' events must be known: the longest retention, and a day for relays that were late.
fn retention_of(topics: &[String]) -> Duration {
    const UNLISTED_DAYS: u32 = 90;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let days = topics
        .iter()
        .map(|name| {
            let source = name.strip_suffix(DLQ_SUFFIX).unwrap_or(name);
            let listed = TOPICS.iter().find(|topic| topic.name == source);
            listed.map_or(UNLISTED_DAYS, |topic| topic.retention_days)
        })
        .max()
        .unwrap_or(UNLISTED_DAYS);
    DAY * (days + 1)
}
