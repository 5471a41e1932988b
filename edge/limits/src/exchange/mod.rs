//! What nodes of one PoP tell each other: how much each admitted of the keys that are near their limit.
//!
//! Every interval a node sends the same message to all others, which count what it tells as if they had admitted it. So
//! after each message all know of the same debt, and N nodes together admit what one would, and beside it no more than what
//! the others admit within an interval before they hear of each other, and an eighth of a burst a node that is not worth
//! telling. A message that is lost is not sent again: its sender's share of one interval is not counted elsewhere. A node
//! that hears of nobody goes by what it sees itself.
//!
//! Whoever carries the messages has to make sure that they come from a node of the same PoP. What a node that lies can do is
//! bounded: nobody is put further into debt than sixteen bursts, and nobody's debt is ever taken back.

mod message;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use thiserror::Error;

use self::message::{ENTRIES_MAX, Message};
use crate::limiter::Limiter;

pub use self::message::MESSAGE_BYTES_MAX;

/// Nodes that are listened to.
const PEERS_MAX: usize = 63;

/// A message that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// It is not of the form that it should have.
    #[error("a message that cannot be read: {0}")]
    Malformed(&'static str),
    /// It is of a later form.
    #[error("a message of version {0}, which this node does not know")]
    Version(u8),
    /// It comes from this node, or from another of the same name.
    #[error("a message from a node of this node's own name, {0:?}")]
    Own(String),
    /// There are too many nodes.
    #[error("a message from a {n}th node", n = PEERS_MAX + 1)]
    TooManyPeers,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was counted.
    Counted {
        /// Keys in it.
        keys: usize,
        /// Keys of limits that this node does not have.
        unknown: usize,
        /// Messages of the same node that did not come.
        missed: u64,
    },
    /// It, or a later one, was counted before.
    Repeated,
}

#[derive(Debug)]
struct Peer {
    epoch: u64,
    sequence: u64,
    heard_ms: i64,
}

#[derive(Debug, Default)]
struct State {
    sequence: u64,
    peers: HashMap<String, Peer>,
}

/// One node's part.
#[derive(Debug)]
pub struct Exchange {
    limiter: Arc<Limiter>,
    node: String,
    epoch: u64,
    stale_ms: i64,
    clock: SharedClock,
    state: Mutex<State>,
    messages: IntCounterVec,
    peers: IntGauge,
}

impl Exchange {
    /// The part of `node`, a name of 1 to 64 bytes that no other node of the PoP has. Nodes that are silent for `stale_ms`
    /// are forgotten.
    ///
    /// # Errors
    /// When `registry` has these metrics already.
    pub fn new(
        limiter: Arc<Limiter>,
        node: &str,
        stale_ms: u64,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let messages = IntCounterVec::new(
            Opts::new(
                "mcsp_edge_limits_messages_total",
                "What nodes of the PoP told this one: counted, repeated, missed, malformed.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(messages.clone()))?;
        let peers = IntGauge::new(
            "mcsp_edge_limits_peers",
            "Nodes of the PoP that this one hears of.",
        )?;
        registry.register(Box::new(peers.clone()))?;
        Ok(Self {
            limiter,
            node: node.to_owned(),
            // A node that starts again begins to count anew, under a later epoch.
            epoch: u64::try_from(clock.now_ms()).unwrap_or(0),
            stale_ms: i64::try_from(stale_ms).unwrap_or(i64::MAX),
            clock,
            state: Mutex::default(),
            messages,
            peers,
        })
    }

    /// The next message to all other nodes; also when there is nothing to tell, so that they know that this one is there.
    /// What it tells is told once.
    #[must_use]
    pub fn take_deltas(&self) -> Vec<u8> {
        let entries = self.limiter.take_untold(ENTRIES_MAX);
        let sequence = {
            let mut state = self.state.lock();
            state.sequence += 1;
            state.sequence
        };
        let message = Message {
            node: &self.node,
            epoch: self.epoch,
            sequence,
            entries,
        };
        message.encode()
    }

    /// Counts what another node tells.
    ///
    /// # Errors
    /// [`ExchangeError`], and nothing of the message is counted.
    pub fn apply(&self, bytes: &[u8]) -> Result<Applied, ExchangeError> {
        let applied = Message::decode(bytes).and_then(|message| self.apply_message(&message));
        let count = |outcome: &str, by: u64| {
            self.messages.with_label_values(&[outcome]).inc_by(by);
        };
        match &applied {
            Ok(Applied::Counted { missed, .. }) => {
                count("counted", 1);
                count("missed", *missed);
            }
            Ok(Applied::Repeated) => count("repeated", 1),
            Err(_) => count("malformed", 1),
        }
        applied
    }

    fn apply_message(&self, message: &Message<'_>) -> Result<Applied, ExchangeError> {
        let Some(missed) = self.accept(message)? else {
            return Ok(Applied::Repeated);
        };
        let mut unknown = 0;
        for (key, cells) in &message.entries {
            let Some(cells) = NonZeroU32::new(*cells) else {
                continue;
            };
            if !self.limiter.apply(*key, cells) {
                unknown += 1;
            }
        }
        let keys = message.entries.len();
        Ok(Applied::Counted {
            keys,
            unknown,
            missed,
        })
    }

    /// Is it the latest of its node? Tells how many before it did not come.
    fn accept(&self, message: &Message<'_>) -> Result<Option<u64>, ExchangeError> {
        if message.node == self.node {
            return Err(ExchangeError::Own(self.node.clone()));
        }
        let now_ms = self.clock.now_ms();
        let mut state = self.state.lock();
        self.forget_silent(&mut state, now_ms);
        if let Some(peer) = state.peers.get_mut(message.node) {
            let (known, told) = (
                (peer.epoch, peer.sequence),
                (message.epoch, message.sequence),
            );
            if told <= known {
                return Ok(None);
            }
            let missed = match message.epoch == peer.epoch {
                true => message.sequence - peer.sequence - 1,
                false => 0,
            };
            *peer = Peer {
                epoch: message.epoch,
                sequence: message.sequence,
                heard_ms: now_ms,
            };
            return Ok(Some(missed));
        }
        if state.peers.len() >= PEERS_MAX {
            return Err(ExchangeError::TooManyPeers);
        }
        let peer = Peer {
            epoch: message.epoch,
            sequence: message.sequence,
            heard_ms: now_ms,
        };
        state.peers.insert(message.node.to_owned(), peer);
        self.tell_peers(&state);
        Ok(Some(0))
    }

    /// Nodes that are heard of.
    pub fn peers_alive(&self) -> usize {
        let mut state = self.state.lock();
        self.forget_silent(&mut state, self.clock.now_ms());
        state.peers.len()
    }

    fn forget_silent(&self, state: &mut State, now_ms: i64) {
        state.peers.retain(|_, peer| {
            let silent_ms = now_ms.saturating_sub(peer.heard_ms);
            // A clock that was set back makes nobody silent.
            silent_ms < self.stale_ms
        });
        self.tell_peers(state);
    }

    fn tell_peers(&self, state: &State) {
        let peers = i64::try_from(state.peers.len()).unwrap_or(i64::MAX);
        self.peers.set(peers);
    }
}
