//! Brings the peer region's own entries into this region's feed. What the peer had from elsewhere is left out, so
//! nothing goes round in circles and no region speaks for another; so are keys that sign, which never leave their region.

use std::time::Duration;

use mcsp_api::feed::{FeedCursor, FeedFault, FeedStep, SILENCE_MS_MAX};
use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{FeedEntry, FeedMessage, Purge};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{SharedEntropy, Shutdown, SystemEntropy};
use thiserror::Error;
use tonic::{Status, Streaming};

use crate::entry::{PeerPosition, is_secret};
use crate::{Feed, FeedError, metrics};

/// The peer is told of progress after so many messages, and with every heartbeat.
const ACKNOWLEDGE_EVERY: u32 = 100;
/// How long the peer may take to open the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Follows the feed of a peer region.
#[derive(Debug)]
pub struct Mirror {
    feed: Feed,
    peer: String,
    client: EdgeFeedClient<RpcChannel>,
    entropy: SharedEntropy,
}

#[derive(Debug, Error)]
enum MirrorError {
    #[error("the peer's feed: {0}")]
    Peer(Status),
    #[error("the peer's feed: {0}")]
    Fault(#[from] FeedFault),
    #[error("the peer's feed was silent")]
    Silent,
    #[error("the peer's feed ended")]
    Ended,
    #[error(transparent)]
    Own(#[from] FeedError),
}

impl From<Status> for MirrorError {
    fn from(status: Status) -> Self {
        Self::Peer(status)
    }
}

impl Mirror {
    /// Brings what region `peer`, reached by `channel`, publishes into `feed`.
    #[must_use]
    pub fn new(feed: Feed, peer: &str, channel: RpcChannel) -> Self {
        Self {
            feed,
            peer: peer.to_owned(),
            client: EdgeFeedClient::new(channel),
            entropy: SystemEntropy::shared(),
        }
    }

    /// Mirrors until it is told to stop; while the link is cut it tries again, ever more slowly up to every 10 s, and
    /// goes on where it was.
    pub async fn run(self, shutdown: Shutdown) {
        let mut cursor = FeedCursor::newcomer();
        let mut known = false;
        loop {
            let followed = tokio::select! {
                biased;
                () = shutdown.wait() => return,
                followed = self.follow(&mut cursor, &mut known) => followed,
            };
            let wait_ms = cursor.reconnect_delay_ms(self.entropy.next_u64());
            if let Err(error) = followed {
                tracing::warn!(peer = self.peer, error = %error, wait_ms, "mirror of the edge feed was cut");
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
        }
    }

    /// One connection; returns only with what ended it.
    async fn follow(&self, cursor: &mut FeedCursor, known: &mut bool) -> Result<(), MirrorError> {
        if !*known {
            // Where an earlier process got to is in the feed itself.
            if let Some(position) = self.feed.mirrored(&self.peer).await? {
                *cursor = FeedCursor::resumed(&position.epoch, position.sequence);
            }
            *known = true;
        }
        let mut client = self.client.clone();
        let request = cursor.request(self.feed.region());
        let opened = tokio::time::timeout(OPEN_TIMEOUT, client.subscribe(request)).await;
        let mut stream = opened.map_err(|_| MirrorError::Silent)??.into_inner();
        let mut unacknowledged = 0;
        // The purge that stands for those that a snapshot leaves out.
        let mut stands_for = None;
        loop {
            let message = next(&mut stream).await?;
            let before = cursor.applied_sequence();
            let idle = match cursor.receive(message, self.feed.now_ms())? {
                FeedStep::Apply(entry) => {
                    let sequence = entry.sequence;
                    self.apply(cursor.epoch(), entry).await?;
                    cursor.applied(sequence);
                    false
                }
                FeedStep::Reset => {
                    stands_for = Some(self.reset().await?);
                    false
                }
                FeedStep::Nothing => true,
            };
            if let Some(sequence) = stands_for.take_if(|_| cursor.has_state()) {
                let position = PeerPosition {
                    epoch: cursor.epoch().to_owned(),
                    sequence: cursor.applied_sequence(),
                };
                self.feed.covered(&self.peer, position, sequence).await;
            }
            metrics::mirrored(&self.peer, cursor.applied_sequence());
            unacknowledged += u32::from(cursor.applied_sequence() != before);
            if unacknowledged >= ACKNOWLEDGE_EVERY || (idle && unacknowledged > 0) {
                client
                    .acknowledge(cursor.acknowledgement(self.feed.region()))
                    .await?;
                unacknowledged = 0;
            }
        }
    }

    async fn apply(&self, epoch: &str, entry: FeedEntry) -> Result<(), FeedError> {
        if entry.region != self.peer || entry.change.is_none() {
            return Ok(());
        }
        if is_secret(&entry) {
            // Nothing signs outside its region, so what was sent is not even written down.
            tracing::error!(peer = self.peer, "the peer sent a media key that signs");
            return Ok(());
        }
        let position = PeerPosition {
            epoch: epoch.to_owned(),
            sequence: entry.sequence,
        };
        self.feed.publish_mirrored(entry, &position).await?;
        Ok(())
    }

    /// The peer does not hold what this region misses, or is another log, or was never followed. Purges may be among
    /// what was missed, so every edge of this region has to revalidate. Returns the number of the purge that says so.
    async fn reset(&self) -> Result<u64, FeedError> {
        tracing::warn!(
            peer = self.peer,
            "the peer's feed begins anew; edges revalidate everything"
        );
        let purge = Purge {
            target: Some(Target::Everything(true)),
            soft: true,
        };
        self.feed.publish_as(&self.peer, Change::Purge(purge)).await
    }
}

async fn next(stream: &mut Streaming<FeedMessage>) -> Result<FeedMessage, MirrorError> {
    let silence = Duration::from_millis(SILENCE_MS_MAX.unsigned_abs());
    match tokio::time::timeout(silence, stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(MirrorError::Ended),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(MirrorError::Silent),
    }
}
