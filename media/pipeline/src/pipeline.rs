//! The pipeline as one thing to run.

use std::sync::Arc;

use mcsp_db::{Db, DbError};
use mcsp_events::SharedEventLog;
use mcsp_events::consumer::{Consumer, ConsumerError, RetryPolicy};
use mcsp_events::outbox::{Outbox, OutboxRelay};
use mcsp_media_transcode::Transcoder;
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown};
use thiserror::Error;
use tokio::task::JoinSet;

use crate::SERVICE;
use crate::attempts::Attempts;
use crate::config::PipelineConfig;
use crate::item::Buckets;
use crate::progress::{self, ProgressPump, ProgressSink};
use crate::scratch::{Scratch, ScratchError};
use crate::stage::{Stage, StageJob};
use crate::stages::{Art, Lowest, Package, Rest, Validate};

/// The consumer's own tries come on top of a stage's: they are for what lies between, such as the database.
const EXTRA_TRIES: u32 = 5;

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct PipelineParts {
    /// Where events come from and go to.
    pub log: SharedEventLog,
    /// The worker's own database.
    pub db: Db,
    /// The region's object storage.
    pub buckets: Buckets,
    /// Runs the children.
    pub transcoder: Transcoder,
    /// Unique among the region's workers.
    pub member: String,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

/// Why a pipeline does not start or go on.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// The database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The scratch folder cannot be used.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A consumer cannot start.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// A part of it ended by itself.
    #[error("pipeline: {0}")]
    Ended(String),
}

/// What all stages share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) buckets: Buckets,
    pub(crate) transcoder: Transcoder,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) progress: Arc<ProgressSink>,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) tries: u32,
}

/// Every stage of the region's media work.
pub struct Pipeline {
    parts: PipelineParts,
    config: PipelineConfig,
    shared: Arc<Shared>,
    pump: ProgressPump,
}

impl Pipeline {
    /// Makes the tables and empties the scratch folder.
    ///
    /// # Errors
    /// [`PipelineError`] when the database or the folder cannot be used.
    pub async fn open(parts: PipelineParts, config: PipelineConfig) -> Result<Self, PipelineError> {
        Outbox::migrate(&parts.db).await?;
        Attempts::migrate(&parts.db).await?;
        let scratch = Arc::new(Scratch::open(&config.scratch)?);
        let (sink, pump) = progress::channel(
            Arc::clone(&parts.log),
            Arc::clone(&parts.clock),
            Arc::clone(&parts.entropy),
        );
        let shared = Arc::new(Shared {
            db: parts.db.clone(),
            buckets: parts.buckets.clone(),
            transcoder: parts.transcoder.clone(),
            scratch,
            progress: Arc::new(sink),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            tries: config.tries,
        });
        Ok(Self {
            parts,
            config,
            shared,
            pump,
        })
    }

    /// Works until it is told to stop; what is being worked on then is given a moment, and done again later.
    ///
    /// # Errors
    /// [`PipelineError`] when a stage cannot start, or a part ended by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), PipelineError> {
        let mut tasks = JoinSet::new();
        let relay = OutboxRelay::new(self.parts.db.clone(), Arc::clone(&self.parts.log), SERVICE);
        let (relay_stop, pump_stop) = (shutdown.clone(), shutdown.clone());
        tasks.spawn(async move {
            relay.run(relay_stop).await;
            Ok(())
        });
        let pump = self.pump;
        tasks.spawn(async move {
            pump.run(pump_stop).await;
            Ok(())
        });
        let parallel = self.config.parallel;
        let stages = Stages {
            parts: &self.parts,
            config: &self.config,
            shared: &self.shared,
            shutdown: &shutdown,
        };
        stages.spawn(&mut tasks, Validate::new(&self.shared), parallel.validate);
        stages.spawn(&mut tasks, Lowest::new(&self.shared), parallel.lowest);
        stages.spawn(&mut tasks, Rest::new(&self.shared), parallel.rest);
        stages.spawn(&mut tasks, Package::new(&self.shared), parallel.package);
        stages.spawn(&mut tasks, Art::new(&self.shared), parallel.art);
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| PipelineError::Ended(error.to_string()))??;
            if !shutdown.is_triggered() {
                return Err(PipelineError::Ended(
                    "a part stopped without being told to".into(),
                ));
            }
        }
        Ok(())
    }
}

struct Stages<'a> {
    parts: &'a PipelineParts,
    config: &'a PipelineConfig,
    shared: &'a Arc<Shared>,
    shutdown: &'a Shutdown,
}

impl Stages<'_> {
    fn spawn<S: Stage>(
        &self,
        tasks: &mut JoinSet<Result<(), PipelineError>>,
        stage: S,
        parallel: usize,
    ) {
        let policy = RetryPolicy {
            tries: self.config.tries + EXTRA_TRIES,
            base_ms: self.config.retry_base_ms,
            max_ms: self.config.retry_max_ms,
        };
        let PipelineParts {
            log,
            db,
            member,
            clock,
            entropy,
            ..
        } = self.parts;
        let consumer = Consumer::new(Arc::clone(log), db.clone(), S::GROUP, member, policy)
            .parallel_max(parallel)
            .with_inputs(Arc::clone(clock), Arc::clone(entropy));
        let job = StageJob::new(stage, Arc::clone(self.shared));
        let shutdown = self.shutdown.clone();
        tasks.spawn(async move { Ok(consumer.run_job(job, shutdown).await?) });
    }
}
