//! Background work without input: identity files, gauges, pruning.

use std::sync::Arc;
use std::time::Duration;

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

/// Keeps gauges true and forgets what has expired, each second.
pub(crate) async fn housekeeping(
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
