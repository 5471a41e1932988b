//! Background work without input: identity files, gauges, pruning.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mcsp_auth_edge::media::partner::{PartnerConfig, Partners};
use mcsp_auth_edge::{MediaKeyring, Revocations};
use mcsp_edge_limits::Limits;
use mcsp_edge_proxy::{Edge, FeedState};
use mcsp_identity::WorkloadIdentity;
use mcsp_runtime::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::metrics::NodeMetrics;

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Reads the identity's files again when it is time; a changed certificate is presented from then on.
pub(crate) async fn identity(
    identity: WorkloadIdentity,
    edge: Arc<Edge>,
    every: Duration,
    shutdown: Shutdown,
) {
    let mut ticks = ticks(every);
    let mut held = identity.cert_chain_pem();
    let mut generation = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        if let Err(error) = identity.reload() {
            tracing::error!(%error, "identity not reloaded; the last good one stays in force");
            continue;
        }
        let found = identity.cert_chain_pem();
        if found == held {
            continue;
        }
        generation += 1;
        match edge.set_identity(&identity, generation) {
            Ok(()) => {
                held = found;
                tracing::info!("identity reloaded");
            }
            Err(error) => tracing::error!(%error, "identity not presented to origins"),
        }
    }
}

/// Reads partners' keys again when one of their files has changed. A set that cannot be used is told, and the last good one
/// stays in force.
pub(crate) async fn partners(
    configs: Vec<PartnerConfig>,
    edge: Arc<Edge>,
    every: Duration,
    shutdown: Shutdown,
) {
    let mut ticks = ticks(every);
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        let files = configs.clone();
        // A change since they were read at the start is seen as one by the first look.
        let known = std::mem::take(&mut seen);
        let looked = tokio::task::spawn_blocking(move || {
            let now = stamps(&files);
            let loaded = (now != known).then(|| Partners::load(&files));
            (now, loaded)
        });
        let Ok((now, loaded)) = looked.await else {
            continue;
        };
        seen = now;
        match loaded {
            None => {}
            Some(Ok(partners)) => {
                edge.set_partners(partners);
                tracing::info!("media partners read");
            }
            Some(Err(error)) => {
                tracing::error!(%error, "media partners not read; the last good ones stay in force");
            }
        }
    }
}

/// When each file was last written and how long it is; what cannot be looked at differs from everything.
fn stamps(configs: &[PartnerConfig]) -> Vec<Option<(SystemTime, u64)>> {
    let files = configs
        .iter()
        .flat_map(|config| std::iter::once(&config.keys_file).chain(&config.address_key_file));
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.map(stamp).collect()
}

/// Keeps gauges true and forgets what has expired, each second.
pub(crate) async fn housekeeping(
    edge: Arc<Edge>,
    feed: Arc<FeedState>,
    keyring: Arc<MediaKeyring>,
    revocations: Arc<Revocations>,
    limits: Arc<Limits>,
    metrics: NodeMetrics,
    shutdown: Shutdown,
) {
    let mut ticks = ticks(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        edge.look_at_feed();
        revocations.prune();
        limits.limiter.tell_metrics();
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.media_keys.set(gauge(keyring.len()));
        metrics.revocations.set(gauge(revocations.len()));
        // A day of milliseconds is exact in a float.
        metrics.feed_age_s.set(
            feed.age_ms()
                .map_or(-1.0, |age_ms| Duration::from_millis(age_ms).as_secs_f64()),
        );
    }
}
