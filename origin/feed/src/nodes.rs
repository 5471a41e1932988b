//! The subscribers: who follows the feed, and how far each has got.

use std::collections::HashMap;
use std::sync::Arc;

use mcsp_api::proto::feed::AcknowledgeRequest;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::entry::RETENTION;
use crate::metrics;

/// The most subscribers that are remembered, and the most nodes of one PoP.
const SUBSCRIBERS_MAX: usize = 10_000;
const NODES_OF_POP_MAX: usize = 256;

/// What is known of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Its name: a PoP's id and node name, or a region's id.
    pub name: String,
    /// The PoP's id by the node's certificate; nothing for another region.
    pub pop: Option<String>,
    /// The last entry that it has applied; 0 when it has not said, or follows another epoch.
    pub applied_sequence: u64,
    /// When it first said so, Unix milliseconds; 0 when it has not.
    pub applied_ms: i64,
    /// When it was last heard of, Unix milliseconds.
    pub heard_ms: i64,
    /// Streams that it holds now.
    pub streams: u32,
}

impl Subscriber {
    /// One that has said nothing yet.
    fn new(name: &str, pop: Option<&str>, now_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            pop: pop.map(str::to_owned),
            applied_sequence: 0,
            applied_ms: 0,
            heard_ms: now_ms,
            streams: 0,
        }
    }

    /// How long a subscriber may be silent before it is forgotten, milliseconds: as long as the feed holds what it misses.
    /// One who comes back later starts from the state and revalidates everything it holds.
    pub(crate) fn is_forgotten(&self, now_ms: i64) -> bool {
        let silent_ms_max = i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        self.streams == 0 && now_ms.saturating_sub(self.heard_ms) > silent_ms_max
    }
}

/// Every subscriber, bounded.
#[derive(Debug)]
pub(crate) struct Nodes {
    subscribers: Mutex<HashMap<String, Subscriber>>,
    /// Goes up with whatever those who wait for progress should look at.
    version: watch::Sender<u64>,
}

impl Nodes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            subscribers: Mutex::default(),
            version: watch::Sender::new(0),
        })
    }

    /// What an earlier process knew.
    pub(crate) fn restore(&self, known: Vec<Subscriber>) {
        let mut subscribers = self.subscribers.lock();
        for subscriber in known.into_iter().take(SUBSCRIBERS_MAX) {
            metrics::acknowledged(&subscriber.name, subscriber.applied_sequence);
            subscribers
                .entry(subscriber.name.clone())
                .or_insert(subscriber);
        }
    }

    /// A subscriber says how far it got.
    pub(crate) fn acknowledge(
        &self,
        request: &AcknowledgeRequest,
        pop: Option<&str>,
        is_same_epoch: bool,
        now_ms: i64,
    ) {
        let applied = if is_same_epoch {
            request.applied_sequence
        } else {
            0
        };
        let is_news = self.with(&request.subscriber, pop, now_ms, |subscriber| {
            let is_news = subscriber.applied_sequence != applied;
            if is_news {
                subscriber.applied_sequence = applied;
                subscriber.applied_ms = now_ms;
            }
            is_news
        });
        metrics::acknowledged(&request.subscriber, applied);
        if is_news == Some(true) {
            self.bump();
        }
    }

    /// A subscriber opened a stream; it holds it as long as the value lives.
    pub(crate) fn connected(
        self: &Arc<Self>,
        name: &str,
        pop: Option<&str>,
        now_ms: i64,
    ) -> Connected {
        self.with(name, pop, now_ms, |subscriber| subscriber.streams += 1);
        self.bump();
        Connected {
            nodes: Arc::clone(self),
            name: name.to_owned(),
        }
    }

    /// Changes what is known of a subscriber; nothing when it is new and there is no room for it.
    fn with<T>(
        &self,
        name: &str,
        pop: Option<&str>,
        now_ms: i64,
        change: impl FnOnce(&mut Subscriber) -> T,
    ) -> Option<T> {
        let mut subscribers = self.subscribers.lock();
        if !subscribers.contains_key(name) {
            forget_silent(&mut subscribers, now_ms);
            let of_pop = subscribers
                .values()
                .filter(|known| known.pop.as_deref() == pop);
            if subscribers.len() >= SUBSCRIBERS_MAX || of_pop.count() >= NODES_OF_POP_MAX {
                tracing::error!(
                    subscriber = name,
                    "no room to remember a subscriber of the feed"
                );
                return None;
            }
        }
        let subscriber = subscribers
            .entry(name.to_owned())
            .or_insert_with(|| Subscriber::new(name, pop, now_ms));
        subscriber.heard_ms = now_ms;
        Some(change(subscriber))
    }

    /// Everyone, by name.
    pub(crate) fn list(&self) -> Vec<Subscriber> {
        let mut list: Vec<_> = self.subscribers.lock().values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Does `holds` hold for every subscriber?
    pub(crate) fn all(&self, holds: impl Fn(&Subscriber) -> bool) -> bool {
        self.subscribers.lock().values().all(holds)
    }

    /// Wakes whoever waits for progress.
    pub(crate) fn bump(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Tells of every [`Self::bump`] from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Connected {
    nodes: Arc<Nodes>,
    name: String,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(subscriber) = self.nodes.subscribers.lock().get_mut(&self.name) {
            subscriber.streams = subscriber.streams.saturating_sub(1);
        }
        self.nodes.bump();
    }
}

fn forget_silent(subscribers: &mut HashMap<String, Subscriber>, now_ms: i64) {
    subscribers.retain(|name, subscriber| {
        let is_forgotten = subscriber.is_forgotten(now_ms);
        if is_forgotten {
            metrics::forget_subscriber(name);
        }
        !is_forgotten
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

    fn acknowledge(nodes: &Nodes, subscriber: &str, applied_sequence: u64, now_ms: i64) {
        let request = AcknowledgeRequest {
            subscriber: subscriber.to_owned(),
            epoch: "e".to_owned(),
            applied_sequence,
        };
        let pop = subscriber.split('/').next();
        nodes.acknowledge(&request, pop, true, now_ms);
    }

    #[test]
    fn the_last_word_counts_and_the_silent_are_forgotten() {
        let nodes = Nodes::new();
        acknowledge(&nodes, "los1/1", 4, 0);
        acknowledge(&nodes, "los1/1", 7, 1);
        acknowledge(&nodes, "los1/1", 7, 9);
        let request = AcknowledgeRequest {
            subscriber: "abv1/1".to_owned(),
            epoch: "other".to_owned(),
            applied_sequence: 7,
        };
        nodes.acknowledge(&request, Some("abv1"), false, WEEK_MS);
        let known: Vec<_> = nodes
            .list()
            .into_iter()
            .map(|s| (s.name, s.applied_sequence, s.applied_ms, s.heard_ms))
            .collect();
        let expected = [
            ("abv1/1".to_owned(), 0, 0, WEEK_MS),
            ("los1/1".to_owned(), 7, 1, 9),
        ];
        assert_eq!(known, expected);
        acknowledge(&nodes, "lhr1/1", 1, WEEK_MS + 10);
        assert_eq!(nodes.list().len(), 2);
    }

    #[test]
    fn who_holds_a_stream_is_not_forgotten_and_its_end_is_seen() {
        let nodes = Nodes::new();
        let first = nodes.connected("los1/1", Some("los1"), 0);
        let second = nodes.connected("los1/1", Some("los1"), 0);
        acknowledge(&nodes, "abv1/1", 1, 2 * WEEK_MS);
        assert_eq!(nodes.list()[1].streams, 2);
        let mut changes = nodes.changes();
        drop((first, second));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(nodes.list()[1].streams, 0);
        acknowledge(&nodes, "abv1/1", 1, 2 * WEEK_MS);
        assert!(!changes.has_changed().unwrap(), "what is known is no news");
    }

    #[test]
    fn one_pop_cannot_fill_the_table() {
        let nodes = Nodes::new();
        for n in 0..=NODES_OF_POP_MAX {
            acknowledge(&nodes, &format!("los1/{n}"), 1, 0);
        }
        acknowledge(&nodes, "abv1/1", 1, 0);
        assert_eq!(nodes.list().len(), NODES_OF_POP_MAX + 1);
    }
}
