//! Who has applied the feed up to where.

use std::collections::HashMap;

use mcsp_api::proto::feed::AcknowledgeRequest;
use parking_lot::Mutex;

use crate::metrics;

/// The most subscribers that are remembered.
const SUBSCRIBERS_MAX: usize = 10_000;
/// A subscriber that was silent for so long is forgotten, milliseconds.
const SILENT_MS_MAX: i64 = 24 * 3600 * 1000;

/// What is known of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Its name: a PoP's id and node name, or a region's id.
    pub name: String,
    /// The last entry that it has applied; 0 when it follows another epoch.
    pub applied_sequence: u64,
    /// When it said so, Unix milliseconds.
    pub heard_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Acknowledgements {
    subscribers: Mutex<HashMap<String, Subscriber>>,
}

impl Acknowledgements {
    pub(crate) fn note(&self, request: &AcknowledgeRequest, same_epoch: bool, now_ms: i64) {
        let applied_sequence = if same_epoch {
            request.applied_sequence
        } else {
            0
        };
        let mut subscribers = self.subscribers.lock();
        if !subscribers.contains_key(&request.subscriber) {
            forget_silent(&mut subscribers, now_ms);
            if subscribers.len() >= SUBSCRIBERS_MAX {
                return;
            }
        }
        subscribers.insert(
            request.subscriber.clone(),
            Subscriber {
                name: request.subscriber.clone(),
                applied_sequence,
                heard_ms: now_ms,
            },
        );
        metrics::acknowledged(&request.subscriber, applied_sequence);
    }

    pub(crate) fn list(&self) -> Vec<Subscriber> {
        let mut list: Vec<_> = self.subscribers.lock().values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}

fn forget_silent(subscribers: &mut HashMap<String, Subscriber>, now_ms: i64) {
    subscribers.retain(|name, subscriber| {
        let kept = now_ms.saturating_sub(subscriber.heard_ms) <= SILENT_MS_MAX;
        if !kept {
            metrics::forget_subscriber(name);
        }
        kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgement(subscriber: &str, applied_sequence: u64) -> AcknowledgeRequest {
        AcknowledgeRequest {
            subscriber: subscriber.to_owned(),
            epoch: String::new(),
            applied_sequence,
        }
    }

    #[test]
    fn the_last_word_counts_and_the_silent_are_forgotten() {
        let acknowledgements = Acknowledgements::default();
        acknowledgements.note(&acknowledgement("los1", 4), true, 0);
        acknowledgements.note(&acknowledgement("los1", 7), true, 1);
        acknowledgements.note(&acknowledgement("abv1", 7), false, SILENT_MS_MAX);
        let applied: Vec<_> = acknowledgements
            .list()
            .into_iter()
            .map(|s| (s.name, s.applied_sequence))
            .collect();
        assert_eq!(applied, [("abv1".to_owned(), 0), ("los1".to_owned(), 7)]);
        acknowledgements.note(&acknowledgement("lhr1", 1), true, SILENT_MS_MAX + 2);
        assert_eq!(acknowledgements.list().len(), 2);
    }
}
