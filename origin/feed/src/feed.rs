//! The feed of one region.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::{AcknowledgeRequest, FeedEntry};
use mcsp_events::{EventError, NewRecord, PartitionState, Record, SharedEventLog};
use mcsp_identity::Peer;
use mcsp_runtime::{SharedClock, SharedEntropy, SystemEntropy, hex_lower};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use crate::entry::{
    PeerPosition, RETENTION, Stored, TOPIC, TOPIC_EPOCH, from_record, offset_after, sequence_of,
    to_record,
};
use crate::nodes::{Connected, Nodes, Subscriber};
use crate::progress::HomePops;
use crate::state::State;
use crate::{FeedError, metrics, refresh};

/// The most subscribers at once.
const SUBSCRIBERS_MAX: usize = 4096;
/// How many records are read at once.
const READ_RECORDS_MAX: usize = 500;
/// A hundred years: an epoch is never forgotten.
const EPOCH_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// May the PoP of this id hold what signs media URLs of the feed's region?
pub type SigningPops = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a feed is made of.
#[derive(Clone)]
pub struct FeedOptions {
    /// The region's log; one feed writes to it.
    pub log: SharedEventLog,
    /// The region's id, such as `ng-lagos`.
    pub region: String,
    /// The time.
    pub clock: SharedClock,
    /// Makes the epoch.
    pub entropy: SharedEntropy,
    /// To which PoPs the region's HMAC media keys are sent. Other regions' origins never get them.
    pub signing_pops: SigningPops,
    /// The PoPs whose home is the region. Nothing: every edge that follows the feed counts as a node of it.
    pub home_pops: Option<HomePops>,
}

/// The feed of one region. Clones are the same feed.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    options: FeedOptions,
    epoch: String,
    /// Also held while an entry is published, so that what is decided by the state is true of it.
    state: Mutex<State>,
    nodes: Arc<Nodes>,
    places: Arc<Semaphore>,
    closed: watch::Sender<bool>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("region", &self.inner.options.region)
            .field("epoch", &self.inner.epoch)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// The feed of `region` over its log, for nodes none of which is trusted with HMAC keys; [`Feed::open_with`]
    /// says otherwise.
    ///
    /// # Errors
    /// The log's.
    pub async fn open(
        log: SharedEventLog,
        region: &str,
        clock: SharedClock,
    ) -> Result<Self, FeedError> {
        Self::open_with(FeedOptions {
            log,
            region: region.to_owned(),
            clock,
            entropy: SystemEntropy::shared(),
            signing_pops: Arc::new(|_| false),
            home_pops: None,
        })
        .await
    }

    /// Makes the topics and the epoch unless they are there, and reads the state. Entries of the state are written
    /// again before the log forgets them, until the last clone is dropped.
    ///
    /// # Errors
    /// The log's; [`FeedError::Entry`] when the topic holds something else.
    pub async fn open_with(options: FeedOptions) -> Result<Self, FeedError> {
        options.log.ensure_topic(TOPIC, 1, RETENTION).await?;
        let epoch = epoch(&options).await?;
        let feed = Self {
            inner: Arc::new(Inner {
                options,
                epoch,
                state: Mutex::new(State::default()),
                nodes: Nodes::new(),
                places: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
                closed: watch::Sender::new(false),
            }),
        };
        feed.catch_up(&mut *feed.inner.state.lock().await).await?;
        tokio::spawn(refresh::refresh_forever(Arc::downgrade(&feed.inner).into()));
        Ok(feed)
    }

    /// The region's id.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.options.region
    }

    /// The log's identity; a subscriber that knows another starts from the state.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.inner.epoch
    }

    /// Publishes a change; returns its sequence number. It is on disk then.
    ///
    /// # Errors
    /// The log's; after [`FeedError::is_retryable`] the change may be there, and publishing it again is harmless.
    pub async fn publish(&self, change: Change) -> Result<u64, FeedError> {
        self.publish_as(self.region(), change).await
    }

    /// [`Self::publish`] in the name of a region; what is another's is not mirrored.
    pub(crate) async fn publish_as(&self, region: &str, change: Change) -> Result<u64, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.append(&mut state, self.entry(region, change), None, None)
            .await
    }

    /// [`Self::publish`], once for each `source`, such as an event's id; `None` when its entry is there.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_once(
        &self,
        source: &str,
        change: Change,
    ) -> Result<Option<u64>, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        if state.knows(source) {
            return Ok(None);
        }
        let entry = self.entry(self.region(), change);
        self.append(&mut state, entry, Some(source), None)
            .await
            .map(Some)
    }

    /// The number of the last entry; 0 when there is none.
    ///
    /// # Errors
    /// The log's.
    pub async fn last_sequence(&self) -> Result<u64, FeedError> {
        Ok(self.bounds().await?.next_offset)
    }

    /// What every subscriber has applied, for operators.
    #[must_use]
    pub fn subscribers(&self) -> Vec<Subscriber> {
        self.inner.nodes.list()
    }

    pub(crate) fn nodes(&self) -> &Arc<Nodes> {
        &self.inner.nodes
    }

    pub(crate) fn home_pops(&self) -> Option<&HomePops> {
        self.inner.options.home_pops.as_ref()
    }

    /// Ends every subscription; further ones are refused. Called when the node stops, so that it need not wait for
    /// streams that never end by themselves.
    pub fn close(&self) {
        self.inner.closed.send_replace(true);
    }

    fn entry(&self, region: &str, change: Change) -> FeedEntry {
        FeedEntry {
            sequence: 0,
            region: region.to_owned(),
            created_ms: self.inner.options.clock.now_ms(),
            change: Some(change),
        }
    }

    /// Publishes what a peer region made; `None` when it is there.
    pub(crate) async fn publish_mirrored(
        &self,
        entry: FeedEntry,
        position: &PeerPosition,
    ) -> Result<Option<u64>, FeedError> {
        let source = format!("{}:{}:{}", entry.region, position.epoch, position.sequence);
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        if state.knows(&source) {
            return Ok(None);
        }
        self.append(&mut state, entry, Some(&source), Some(position))
            .await
            .map(Some)
    }

    /// Where mirroring of a region got to.
    pub(crate) async fn mirrored(&self, region: &str) -> Result<Option<PeerPosition>, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        Ok(state.mirrored(region).cloned())
    }

    /// Every purge of `region` up to `position` is carried out by whoever has applied `sequence` here.
    pub(crate) async fn covered(&self, region: &str, position: PeerPosition, sequence: u64) {
        let mut state = self.inner.state.lock().await;
        state.covered(region.to_owned(), position, sequence);
        self.inner.nodes.bump();
    }

    /// Under which number this feed has what `region` published at `position`, or one after it; nothing while it has
    /// neither.
    pub(crate) async fn mirrored_as(
        &self,
        region: &str,
        position: &PeerPosition,
    ) -> Result<Option<u64>, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        Ok(state.mirrored_as(region, position))
    }

    /// Writes the oldest entries of the state again that the log took before `before_ms`; returns how many.
    pub(crate) async fn rewrite_older_than(
        &self,
        before_ms: i64,
        max: usize,
    ) -> Result<usize, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        let old = state.older_than(before_ms, max, self.inner.options.clock.now_s());
        let count = old.len();
        for stored in old {
            // With where mirroring is now, not where it was: the newest record of a region tells that.
            let position = state.mirrored(&stored.entry.region).cloned();
            self.append(&mut state, stored.entry, None, position.as_ref())
                .await?;
        }
        Ok(count)
    }

    async fn append(
        &self,
        state: &mut State,
        entry: FeedEntry,
        source: Option<&str>,
        mirrored: Option<&PeerPosition>,
    ) -> Result<u64, FeedError> {
        if entry.change.is_none() {
            return Err(FeedError::Invalid("an entry without a change".to_owned()));
        }
        let record: NewRecord = to_record(&entry, source, mirrored);
        let positions = self.inner.options.log.append(vec![record]).await?;
        let offset = positions
            .first()
            .map(|position| position.offset)
            .unwrap_or_default();
        // Taken in by reading, so that the state is what the log says.
        self.catch_up(state).await?;
        metrics::published(&self.inner.options.region, sequence_of(offset));
        self.inner.nodes.bump();
        Ok(sequence_of(offset))
    }

    /// Reads what the log has and the state has not.
    async fn catch_up(&self, state: &mut State) -> Result<(), FeedError> {
        let now_s = self.inner.options.clock.now_s();
        loop {
            let records = self.read_after(state.sequence(), Duration::ZERO).await?;
            if records.is_empty() {
                return Ok(());
            }
            for record in &records {
                state.take(from_record(record)?, now_s);
            }
        }
    }

    pub(crate) async fn read_after(
        &self,
        sequence: u64,
        wait: Duration,
    ) -> Result<Vec<Record>, FeedError> {
        let from = offset_after(sequence);
        Ok(self
            .inner
            .options
            .log
            .read(TOPIC, 0, from, READ_RECORDS_MAX, wait)
            .await?)
    }

    pub(crate) async fn stored_after(
        &self,
        sequence: u64,
        wait: Duration,
    ) -> Result<Vec<Stored>, FeedError> {
        self.read_after(sequence, wait)
            .await?
            .iter()
            .map(from_record)
            .collect()
    }

    pub(crate) async fn bounds(&self) -> Result<PartitionState, FeedError> {
        let states = self.inner.options.log.describe(TOPIC).await?;
        let absent = || EventError::UnknownTopic(TOPIC.to_owned());
        Ok(states.first().copied().ok_or_else(absent)?)
    }

    /// The number up to which a snapshot that begins now is the whole state.
    pub(crate) async fn snapshot_end(&self) -> Result<u64, FeedError> {
        let mut state = self.inner.state.lock().await;
        self.catch_up(&mut state).await?;
        Ok(state.sequence())
    }

    pub(crate) async fn snapshot_page(&self, after: u64, end: u64, max: usize) -> Vec<FeedEntry> {
        let state = self.inner.state.lock().await;
        state.page(after, end, max, self.inner.options.clock.now_s())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.inner.options.clock.now_ms()
    }

    /// May this peer hold the region's keys that sign media URLs?
    pub(crate) fn trusts_with_secrets(&self, peer: &Peer) -> bool {
        peer.is_edge() && (self.inner.options.signing_pops)(peer.0.account())
    }

    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        if *self.inner.closed.borrow() {
            return None;
        }
        Arc::clone(&self.inner.places).try_acquire_owned().ok()
    }

    pub(crate) async fn closed(&self) {
        let mut closed = self.inner.closed.subscribe();
        // The sender lives as long as this feed.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// A subscriber says how far it got; `pop` is its PoP by its certificate.
    pub(crate) fn acknowledge(&self, request: &AcknowledgeRequest, pop: Option<&str>) {
        let is_same_epoch = request.epoch == self.inner.epoch;
        self.inner
            .nodes
            .acknowledge(request, pop, is_same_epoch, self.now_ms());
    }

    pub(crate) fn connected(&self, subscriber: &str, pop: Option<&str>) -> Connected {
        self.inner.nodes.connected(subscriber, pop, self.now_ms())
    }
}

/// A feed that may be gone.
pub(crate) struct WeakFeed(std::sync::Weak<Inner>);

impl From<std::sync::Weak<Inner>> for WeakFeed {
    fn from(inner: std::sync::Weak<Inner>) -> Self {
        Self(inner)
    }
}

impl WeakFeed {
    pub(crate) fn upgrade(&self) -> Option<Feed> {
        self.0.upgrade().map(|inner| Feed { inner })
    }
}

/// The first record of the epoch's topic. Two who make one at the same time both take the first.
async fn epoch(options: &FeedOptions) -> Result<String, FeedError> {
    let log = &options.log;
    log.ensure_topic(TOPIC_EPOCH, 1, EPOCH_RETENTION).await?;
    for _ in 0..2 {
        let records = log.read(TOPIC_EPOCH, 0, 0, 1, Duration::ZERO).await?;
        if let Some(record) = records.first() {
            return Ok(String::from_utf8_lossy(&record.value).into_owned());
        }
        let mut random = [0; 16];
        options.entropy.fill(&mut random);
        log.append(vec![NewRecord {
            topic: TOPIC_EPOCH.to_owned(),
            key: options.region.clone(),
            value: hex_lower(&random).into_bytes().into(),
            headers: std::collections::BTreeMap::new(),
        }])
        .await?;
    }
    Err(EventError::Corrupt("the feed's epoch was written and cannot be read".to_owned()).into())
}
