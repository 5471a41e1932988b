//! The boot sequence: open engines, bind, say where, run, drain.

use std::sync::Arc;
use std::time::Duration;

use mcsp_db::Db;
use mcsp_events::EventsOptions;
use mcsp_identity::WorkloadIdentity;
use mcsp_media_pipeline::{ConfinedEncoder, ItemStore, Pipeline, PipelineParts, Scratch, Stores};
use mcsp_media_sandbox::Launcher;
use mcsp_media_transcode::Transcoder;
use mcsp_objects::ObjectsOptions;
use mcsp_runtime::{Shutdown, ShutdownTrigger, SystemClock, SystemEntropy};
use mcsp_telemetry::init_logging;
use tokio::time::MissedTickBehavior;

use crate::admin::{self, Health};
use crate::boot::{BootError, Prepared, PreparedBucket};

/// Beside the jobs' own time: the last events, the goodbye to the log.
const STOP_SPARE: Duration = Duration::from_secs(8);

/// Runs until a signal, then drains.
pub(crate) fn run(prepared: Prepared) -> Result<(), BootError> {
    init_logging("mcsp-media", &prepared.config.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("media")
        .enable_all()
        .build()
        .map_err(|source| BootError::io("runtime", source))?;
    let result = runtime.block_on(serve(prepared));
    // What did not drain in time is delivered again.
    runtime.shutdown_background();
    result
}

async fn serve(prepared: Prepared) -> Result<(), BootError> {
    let Prepared {
        config,
        identity,
        global,
        ng,
    } = prepared;
    let db = Db::open(&config.database).await?;
    let options = EventsOptions {
        clock: SystemClock::shared(),
        identity: Some(identity.clone()),
    };
    let log = mcsp_events::open(&config.events, options).await?;
    let global = open_bucket(global, &identity).await?;
    let ng = match ng {
        Some(ng) => Some(open_bucket(ng, &identity).await?),
        None => None,
    };
    let scratch = Scratch::open(&config.scratch.dir, config.scratch.bytes_max)?;
    let transcoder = Transcoder::new(Launcher::this_binary(), config.transcode.policy());
    let health = Health::new(Arc::clone(&log), db.clone(), &global, ng.as_ref());
    let parts = PipelineParts {
        region: config.region.code,
        member: config.member(),
        log,
        db,
        stores: Stores::new(global, ng),
        encoder: Arc::new(ConfinedEncoder::new(transcoder)),
        scratch,
        clock: SystemClock::shared(),
        entropy: SystemEntropy::shared(),
    };
    let pipeline = Pipeline::new(parts, config.pipeline()).await?;

    let (trigger, shutdown) = ShutdownTrigger::new();
    let address = admin::start(config.admin.address, Arc::clone(&health), shutdown.clone()).await?;
    tracing::info!(%address, "admin listens");
    let region = &config.region.id;
    tracing::info!(
        region,
        member = config.member(),
        events = config.events,
        "worker runs"
    );
    let every = Duration::from_millis(config.identity_check_ms);
    tokio::spawn(watch_identity(identity, every, shutdown.clone()));
    tokio::spawn(Arc::clone(&health).watch(shutdown.clone()));

    let drain_ms = config.drain_ms;
    let mut stages = tokio::spawn(pipeline.run(shutdown, drain_ms));
    tokio::select! {
        ended = &mut stages => {
            let ended = ended.map_err(|error| BootError::io("pipeline", std::io::Error::other(error)))?;
            return Ok(ended?);
        }
        signal = trigger.on_signal() => {
            signal.map_err(|source| BootError::io("signal handlers", source))?;
        }
    }
    health.drain();
    tracing::info!(drain_ms, "stopping");
    let deadline = Duration::from_millis(drain_ms) + STOP_SPARE;
    let is_drained = tokio::time::timeout(deadline, stages).await.is_ok();
    tracing::info!(is_drained, "stopped");
    Ok(())
}

async fn open_bucket(
    bucket: PreparedBucket,
    identity: &WorkloadIdentity,
) -> Result<ItemStore, BootError> {
    let PreparedBucket {
        config,
        credentials,
    } = bucket;
    let options = ObjectsOptions::new(
        Some(identity.clone()),
        credentials.access_key,
        credentials.secret,
    );
    Ok(ItemStore {
        objects: mcsp_objects::open(&config.uri, &options).await?,
        bucket: config.bucket,
    })
}

/// Reads the identity's files again when it is time; new connections use what was found.
async fn watch_identity(identity: WorkloadIdentity, every: Duration, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        if let Err(error) = identity.reload() {
            tracing::error!(%error, "identity not reloaded; the last good one stays in force");
        }
    }
}
