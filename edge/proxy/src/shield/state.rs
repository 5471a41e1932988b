//! The shield tier as operators see it.

use std::net::SocketAddr;

use serde::Serialize;

use crate::edge::Edge;
use crate::feed_position::FeedPosition;

/// How the node stands in the shield tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShieldState {
    /// Do children ask this node?
    pub is_parent: bool,
    /// Everything of the feed up to here is carried out; absent until the node knows its feed's state.
    pub feed: Option<FeedPositionState>,
    /// The parents that it asks, by region.
    pub parents: Vec<ParentState>,
}

/// A place in a region's feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedPositionState {
    /// Whose feed.
    pub region: String,
    /// Its identity.
    pub epoch: String,
    /// The number of an entry.
    pub sequence: u64,
}

/// How a parent does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParentState {
    /// Whose objects it is asked for.
    pub region: String,
    /// Its id.
    pub id: String,
    /// Its PoP.
    pub pop: String,
    /// Where it is asked.
    pub address: SocketAddr,
    /// Is it asked?
    pub is_healthy: bool,
    /// For how long it is left alone still, ms.
    pub unhealthy_ms: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Requests under way.
    pub in_flight: usize,
}

impl Edge {
    /// How the node stands in the shield tier.
    #[must_use]
    pub fn shield_state(&self) -> ShieldState {
        let position = |held: &FeedPosition| FeedPositionState {
            region: held.region.clone(),
            epoch: held.epoch.clone(),
            sequence: held.sequence,
        };
        let home = self.home.as_ref();
        ShieldState {
            is_parent: self.shield.listener.is_some(),
            feed: self.feed.progress().done().as_deref().map(position),
            parents: home.map(|home| home.parents.states()).unwrap_or_default(),
        }
    }
}
