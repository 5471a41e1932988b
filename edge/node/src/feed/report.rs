//! Telling the origin how far the node got: one call at a time, beside the stream.

use std::time::Duration;

use mcsp_api::feed::FeedCursor;
use mcsp_api::proto::feed::AcknowledgeRequest;
use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_edge_cache::engine::Cache;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::transport::Channel;

/// How long an origin may take to hear how far we got.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long after a call that failed the next is made.
const PAUSE: Duration = Duration::from_secs(1);
/// What was told is told again after so long, so that the origin knows who is away.
const AGAIN: Duration = Duration::from_secs(10);

/// What was told on one stream.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Ends with whether the origin took it.
    under_way: Option<JoinHandle<bool>>,
    told: Option<Told>,
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Told {
    epoch: String,
    sequence: u64,
    at: Instant,
}

impl Report {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Is there something to tell?
    pub(super) fn is_due(&self, cursor: &FeedCursor) -> bool {
        let is_known = self.told.as_ref().is_some_and(|told| {
            (told.epoch.as_str(), told.sequence) == (cursor.epoch(), cursor.applied_sequence())
                && told.at.elapsed() < AGAIN
        });
        let may_try = self.failed.is_none_or(|failed| failed.elapsed() >= PAUSE);
        !self.is_under_way() && cursor.has_state() && !is_known && may_try
    }

    /// Says so, once every purge up to there would outlive a loss of power: what is acknowledged is not undone by a
    /// restart.
    pub(super) fn begin(
        &mut self,
        mut client: EdgeFeedClient<Channel>,
        request: AcknowledgeRequest,
        cache: Cache,
    ) {
        self.told = Some(Told {
            epoch: request.epoch.clone(),
            sequence: request.applied_sequence,
            at: Instant::now(),
        });
        self.under_way = Some(tokio::spawn(async move {
            if let Err(error) = cache.flush_purges().await {
                tracing::error!(%error, "purges are carried out and not acknowledged");
                return false;
            }
            match tokio::time::timeout(TIMEOUT, client.acknowledge(request)).await {
                Ok(Ok(_)) => return true,
                Ok(Err(status)) => {
                    tracing::warn!(%status, "the origin did not take an acknowledgement");
                }
                Err(_) => tracing::warn!("the origin took too long over an acknowledgement"),
            }
            false
        }));
    }

    /// Waits for the end of the call that is under way.
    pub(super) async fn finished(&mut self) {
        if let Some(task) = &mut self.under_way {
            let is_taken = task.await.unwrap_or(false);
            self.under_way = None;
            self.failed = None;
            if !is_taken {
                self.told = None;
                self.failed = Some(Instant::now());
            }
        }
    }
}
