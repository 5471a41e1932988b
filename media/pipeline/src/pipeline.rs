//! All stages of a worker, with the outbox that carries what they tell.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::RegionCode;
use mcsp_db::{Db, DbError};
use mcsp_events::SharedEventLog;
use mcsp_events::consumer::{Consumer, ConsumerError};
use mcsp_events::outbox::{Outbox, OutboxRelay};
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown, ShutdownTrigger};
use thiserror::Error;
use tokio::task::JoinSet;

use crate::config::{PipelineConfig, PipelineConfigError};
use crate::context::Context;
use crate::encoder::Encoder;
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::stages::{Art, Ingest, Lowest, PackageStage, Rest, Stage, StageJob};
use crate::stores::Stores;
use crate::{SERVICE, store};

/// How long a stop waits for the last events to leave the outbox; what stays leaves at the next start.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The most steps of that.
const FLUSH_STEPS_MAX: usize = 100;

/// Why a pipeline does not start or ended by itself. None of these gets better by waiting.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// A value of the configuration cannot be used.
    #[error(transparent)]
    Config(#[from] PipelineConfigError),
    /// The tables cannot be made.
    #[error("media database: {0}")]
    Db(#[from] DbError),
    /// A stage cannot consume.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// A stage's task panicked.
    #[error("media stage: {0}")]
    Panicked(String),
}

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct PipelineParts {
    /// The region's code: items of other regions are refused.
    pub region: RegionCode,
    /// This worker among those of the region; unique. A worker that starts again under its name takes its work up at
    /// once.
    pub member: String,
    /// The region's event log; its topics are made by its owner.
    pub log: SharedEventLog,
    /// Shared by the workers of the region, and by nobody else.
    pub db: Db,
    /// The ways to items' objects.
    pub stores: Stores,
    /// Opens creators' files.
    pub encoder: Arc<dyn Encoder>,
    /// This worker's disk.
    pub scratch: Scratch,
    /// Time.
    pub clock: SharedClock,
    /// Randomness: ids of events, jitter of waits.
    pub entropy: SharedEntropy,
}

/// The stages of one worker.
#[derive(Debug)]
pub struct Pipeline {
    context: Arc<Context>,
    log: SharedEventLog,
    member: String,
    config: PipelineConfig,
}

impl Pipeline {
    /// Checks the configuration and makes the tables that are missing.
    ///
    /// # Errors
    /// [`PipelineError::Config`], [`PipelineError::Db`].
    pub async fn new(parts: PipelineParts, config: PipelineConfig) -> Result<Self, PipelineError> {
        config.validate()?;
        store::migrate(&parts.db).await?;
        Outbox::migrate(&parts.db).await?;
        Ok(Self {
            context: Arc::new(Context {
                region: parts.region,
                db: parts.db,
                stores: parts.stores,
                encoder: parts.encoder,
                scratch: parts.scratch,
                progress: Progress::default(),
                clock: parts.clock,
                entropy: parts.entropy,
                uploads_max: config.parallel.uploads,
            }),
            log: parts.log,
            member: parts.member,
            config,
        })
    }

    /// Runs until it is told to stop. Jobs that are running then get `drain_ms` to finish; what is cut short is
    /// delivered again. Dropping the future instead leaves nothing half done either.
    ///
    /// # Errors
    /// [`PipelineError`] when a stage cannot run at all.
    pub async fn run(self, shutdown: Shutdown, drain_ms: u64) -> Result<(), PipelineError> {
        let parallel = self.config.parallel;
        let mut stages = JoinSet::new();
        self.start(&mut stages, Ingest, parallel.ingest, drain_ms, &shutdown);
        self.start(&mut stages, Lowest, parallel.lowest, drain_ms, &shutdown);
        self.start(&mut stages, Rest, parallel.rest, drain_ms, &shutdown);
        self.start(
            &mut stages,
            PackageStage,
            parallel.package,
            drain_ms,
            &shutdown,
        );
        self.start(&mut stages, Art, parallel.art, drain_ms, &shutdown);

        // These stop after the stages, whose last words they carry.
        let (quiet, silence) = ShutdownTrigger::new();
        let mut carriers = JoinSet::new();
        let relay = OutboxRelay::new(self.context.db.clone(), Arc::clone(&self.log), SERVICE);
        carriers.spawn(relay.clone().run(silence.clone()));
        let Context {
            progress,
            clock,
            entropy,
            ..
        } = &*self.context;
        carriers.spawn(progress.clone().run(
            Arc::clone(&self.log),
            Arc::clone(clock),
            Arc::clone(entropy),
            silence,
        ));

        let ended = wait_for_all(&mut stages).await;
        stages.shutdown().await;
        quiet.trigger();
        while carriers.join_next().await.is_some() {}
        // Unsent, they wait in the database.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, flush(&relay)).await;
        ended
    }

    fn start<S: Stage>(
        &self,
        stages: &mut JoinSet<Result<(), ConsumerError>>,
        stage: S,
        parallel_max: usize,
        drain_ms: u64,
        shutdown: &Shutdown,
    ) {
        let context = &self.context;
        let consumer = Consumer::new(
            Arc::clone(&self.log),
            context.db.clone(),
            S::GROUP,
            &self.member,
            self.config.retry_policy(),
        )
        .with_options(PipelineConfig::consumer_options(parallel_max, drain_ms))
        .with_inputs(Arc::clone(&context.clock), Arc::clone(&context.entropy));
        let job = StageJob::new(stage, Arc::clone(context));
        stages.spawn(consumer.run_job(job, shutdown.clone()));
    }
}

/// Waits until every stage has ended, or until one has failed.
async fn wait_for_all(
    stages: &mut JoinSet<Result<(), ConsumerError>>,
) -> Result<(), PipelineError> {
    while let Some(ended) = stages.join_next().await {
        ended.map_err(|error| PipelineError::Panicked(error.to_string()))??;
    }
    Ok(())
}

async fn flush(relay: &OutboxRelay) {
    for _ in 0..FLUSH_STEPS_MAX {
        match relay.step().await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the outbox keeps its events until the next start");
                return;
            }
        }
    }
}
