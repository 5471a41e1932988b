//! One subscriber's stream: the state if it needs that, then every entry in order, heartbeats in between.

use std::collections::VecDeque;
use std::time::Duration;

use mcsp_api::feed::HEARTBEAT_MS;
use mcsp_api::proto::feed::feed_message::Message;
use mcsp_api::proto::feed::{FeedEntry, FeedMessage, Heartbeat, Reset, SubscribeRequest};
use tokio::sync::OwnedSemaphorePermit;

use crate::entry::is_secret;
use crate::metrics::StreamCount;
use crate::nodes::Connected;
use crate::{Feed, FeedError};

/// How many entries of the state are copied at once.
const PAGE_ENTRIES: usize = 500;

/// Where a subscriber is.
pub(crate) struct Subscription {
    feed: Feed,
    /// May it have the region's keys that sign?
    secrets: bool,
    queue: VecDeque<FeedMessage>,
    /// The last entry that was queued, or left out.
    sent: u64,
    /// While the state is being sent: up to where.
    snapshot_end: Option<u64>,
    _place: OwnedSemaphorePermit,
    _count: StreamCount,
    _connected: Connected,
}

impl Subscription {
    pub(crate) async fn begin(
        feed: Feed,
        request: &SubscribeRequest,
        pop: Option<&str>,
        secrets: bool,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, FeedError> {
        let connected = feed.connected(&request.subscriber, pop);
        let bounds = feed.bounds().await?;
        // Entries are held from `first_offset + 1` on, so whoever has applied `first_offset` misses none. One who has
        // applied more than there is knows another history.
        let held = bounds.first_offset..=bounds.next_offset;
        let resumes = request.epoch == feed.epoch() && held.contains(&request.after_sequence);
        let mut subscription = Self {
            feed,
            secrets,
            queue: VecDeque::new(),
            sent: request.after_sequence,
            snapshot_end: None,
            _place: place,
            _count: StreamCount::begin(),
            _connected: connected,
        };
        if resumes {
            let head = bounds.next_offset;
            subscription.push(heartbeat(request.after_sequence, head));
        } else {
            subscription.reset().await?;
        }
        Ok(subscription)
    }

    /// The next message; waits for it, at most until a heartbeat is due.
    pub(crate) async fn next(&mut self) -> Result<FeedMessage, FeedError> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Ok(message);
            }
            match self.snapshot_end {
                Some(end) => self.queue_page(end).await,
                None => self.queue_entries().await?,
            }
        }
    }

    async fn reset(&mut self) -> Result<(), FeedError> {
        let end = self.feed.snapshot_end().await?;
        self.sent = 0;
        self.snapshot_end = Some(end);
        self.push(Message::Reset(Reset {
            epoch: self.feed.epoch().to_owned(),
            snapshot_end: end,
        }));
        Ok(())
    }

    /// An entry of the state that is replaced while this goes on is missing here and comes later, as an entry.
    async fn queue_page(&mut self, end: u64) {
        let page = self.feed.snapshot_page(self.sent, end, PAGE_ENTRIES).await;
        if page.is_empty() {
            self.snapshot_end = None;
            self.sent = end;
            // The newest entry of the state may be older than its end.
            self.push(heartbeat(end, end));
        }
        for entry in page {
            self.queue_entry(entry);
        }
    }

    async fn queue_entries(&mut self) -> Result<(), FeedError> {
        let wait = Duration::from_millis(HEARTBEAT_MS.unsigned_abs());
        let entries = self.feed.stored_after(self.sent, wait).await?;
        if entries
            .first()
            .is_some_and(|first| first.entry.sequence > self.sent + 1)
        {
            // The subscriber was so slow that the log has forgotten what it misses.
            return self.reset().await;
        }
        for stored in entries {
            self.queue_entry(stored.entry);
        }
        if self.queue.is_empty() {
            self.push(heartbeat(self.sent, self.sent));
        }
        Ok(())
    }

    fn queue_entry(&mut self, entry: FeedEntry) {
        self.sent = entry.sequence;
        // Another region's secret has no business in this feed; should there be one, it goes no further.
        let may_have = self.secrets && entry.region == self.feed.region();
        if may_have || !is_secret(&entry) {
            self.push(Message::Entry(entry));
        }
    }

    fn push(&mut self, message: Message) {
        self.queue.push_back(FeedMessage {
            message: Some(message),
        });
    }
}

/// Says that everything up to `last_sequence` was sent, of a feed that is at `head_sequence`.
fn heartbeat(last_sequence: u64, head_sequence: u64) -> Message {
    Message::Heartbeat(Heartbeat {
        last_sequence,
        head_sequence,
    })
}
