//! Who has carried out an entry: of this region, and of those that mirror it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::proto::feed::{NodeProgress, RegionProgress};
use tokio::time::{Instant, timeout_at};

use crate::entry::PeerPosition;
use crate::nodes::Subscriber;
use crate::{Feed, FeedError};

/// The longest that one call waits; who wants to wait longer asks again.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// The PoPs whose home is the feed's region, by their manifests.
pub type HomePops = Arc<BTreeSet<String>>;

/// Are all known nodes there? PoPs of which no node was ever heard are told of and not waited for: they hold nothing that
/// they would serve before they have followed the feed.
#[must_use]
pub fn is_complete(region: &RegionProgress) -> bool {
    region.fault.is_empty()
        && region.is_published
        && region
            .nodes
            .iter()
            .all(|node| node.is_applied || node.heard_ms == 0)
}

impl Feed {
    /// Waits until every node of the region has carried out `sequence`, `wait` and [`WAIT_MAX`] at most, and says who has.
    pub async fn progress(&self, sequence: u64, wait: Duration) -> RegionProgress {
        let until = Instant::now() + wait.min(WAIT_MAX);
        let mut changes = self.nodes().changes();
        while !self.have_all(sequence) {
            // The sender lives as long as this feed.
            if !matches!(timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        self.progress_now(sequence)
    }

    /// [`Self::progress`] of what `region` published as `position` in its own feed.
    ///
    /// # Errors
    /// The log's.
    pub(crate) async fn mirrored_progress(
        &self,
        region: &str,
        position: &PeerPosition,
        wait: Duration,
    ) -> Result<RegionProgress, FeedError> {
        let until = Instant::now() + wait.min(WAIT_MAX);
        let mut changes = self.nodes().changes();
        loop {
            if let Some(sequence) = self.mirrored_as(region, position).await? {
                let left = until.saturating_duration_since(Instant::now());
                return Ok(self.progress(sequence, left).await);
            }
            if !matches!(timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                // Nobody has what is not here.
                let mut progress = self.progress_now(u64::MAX);
                progress.is_published = false;
                return Ok(progress);
            }
        }
    }

    /// Is this subscriber a node that follows this region's feed? Others are regions, or nodes of PoPs that moved away.
    fn is_node(&self, subscriber: &Subscriber) -> bool {
        match (&subscriber.pop, self.home_pops()) {
            (Some(pop), Some(home)) => home.contains(pop),
            (pop, None) => pop.is_some(),
            (None, Some(_)) => false,
        }
    }

    fn have_all(&self, sequence: u64) -> bool {
        let now_ms = self.now_ms();
        self.nodes().all(|subscriber| {
            subscriber.applied_sequence >= sequence
                || !self.is_node(subscriber)
                || subscriber.is_forgotten(now_ms)
        })
    }

    fn progress_now(&self, sequence: u64) -> RegionProgress {
        let now_ms = self.now_ms();
        let mut silent: BTreeSet<&str> = self
            .home_pops()
            .into_iter()
            .flat_map(|pops| pops.iter().map(String::as_str))
            .collect();
        let mut nodes = Vec::new();
        for known in self.nodes().list() {
            if !self.is_node(&known) || known.is_forgotten(now_ms) {
                continue;
            }
            silent.remove(known.pop.as_deref().unwrap_or_default());
            nodes.push(NodeProgress {
                is_applied: known.applied_sequence >= sequence,
                applied_sequence: known.applied_sequence,
                applied_ms: known.applied_ms,
                heard_ms: known.heard_ms,
                is_connected: known.streams > 0,
                node: known.name,
            });
        }
        nodes.extend(silent.into_iter().map(|pop| NodeProgress {
            node: pop.to_owned(),
            ..NodeProgress::default()
        }));
        RegionProgress {
            region: self.region().to_owned(),
            fault: String::new(),
            is_published: true,
            nodes,
        }
    }
}
