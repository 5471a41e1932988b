//! What several tests need.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::feed::{FeedCursor, FeedStep};
use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{
    FeedEntry, FeedMessage, MediaKey, Purge, RevokeMediaSession, RevokeUserSession, TokenKeySet,
};
use mcsp_events::{NewRecord, RedbLog, SharedEventLog};
use mcsp_feed::{Change, Feed, FeedOptions, grpc_service};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock};
use tempfile::TempDir;
use tonic::Streaming;
use tonic::service::Routes;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;
pub(crate) const NOW_S: i64 = NOW_MS / 1000;
/// How long a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Region {
    pub(crate) feed: Feed,
    pub(crate) log: SharedEventLog,
    pub(crate) clock: Arc<ManualClock>,
    /// The engine itself, for its retention sweep.
    pub(crate) engine: Arc<RedbLog>,
    _dir: TempDir,
}

/// A region with a log of its own; `seed` makes its epoch. PoPs whose id begins with `own` may hold its secrets.
pub(crate) async fn region(name: &str, seed: u64) -> Region {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(NOW_MS);
    let engine = Arc::new(RedbLog::open(&dir.path().join("events.redb"), clock.clone()).unwrap());
    let log: SharedEventLog = engine.clone();
    let feed = open(&log, name, clock.clone(), seed).await;
    Region {
        feed,
        log,
        clock,
        engine,
        _dir: dir,
    }
}

pub(crate) async fn open(log: &SharedEventLog, name: &str, clock: SharedClock, seed: u64) -> Feed {
    Feed::open_with(FeedOptions {
        log: Arc::clone(log),
        region: name.to_owned(),
        clock,
        entropy: SeededEntropy::new(seed),
        signing_pops: Arc::new(|pop| pop.starts_with("own")),
        home_pops: None,
    })
    .await
    .unwrap()
}

/// A channel to the feed for `{namespace}/{account}`.
pub(crate) fn channel(feed: &Feed, namespace: &str, account: &str) -> RpcChannel {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, namespace, account).unwrap();
    RpcChannel::in_process(Routes::new(grpc_service(feed.clone())), caller)
}

/// An edge that follows the feed.
pub(crate) struct Edge {
    pub(crate) cursor: FeedCursor,
    pub(crate) client: EdgeFeedClient<RpcChannel>,
    pub(crate) name: String,
    stream: Option<Streaming<FeedMessage>>,
    pub(crate) resets: u32,
}

impl Edge {
    pub(crate) fn new(feed: &Feed, pop: &str) -> Self {
        Self {
            cursor: FeedCursor::newcomer(),
            client: EdgeFeedClient::new(channel(feed, "edge", pop)),
            name: pop.to_owned(),
            stream: None,
            resets: 0,
        }
    }

    pub(crate) fn cut(&mut self) {
        self.stream = None;
    }

    /// Applies messages until it has applied `sequence`; returns the entries.
    pub(crate) async fn follow_to(&mut self, sequence: u64) -> Vec<FeedEntry> {
        let mut entries = Vec::new();
        let followed = tokio::time::timeout(PATIENCE, async {
            while self.cursor.applied_sequence() < sequence || !self.cursor.has_state() {
                if let FeedStep::Apply(entry) = self.step().await {
                    self.cursor.applied(entry.sequence);
                    entries.push(entry);
                }
            }
        });
        followed.await.unwrap();
        entries
    }

    async fn step(&mut self) -> FeedStep {
        if self.stream.is_none() {
            let request = self.cursor.request(&self.name);
            self.stream = Some(self.client.subscribe(request).await.unwrap().into_inner());
        }
        let message = self
            .stream
            .as_mut()
            .unwrap()
            .message()
            .await
            .unwrap()
            .unwrap();
        let step = self.cursor.receive(message, NOW_MS).unwrap();
        self.resets += u32::from(step == FeedStep::Reset);
        step
    }
}

pub(crate) fn purge(content_id: &str) -> Change {
    Change::Purge(Purge {
        target: Some(Target::ContentId(content_id.to_owned())),
        soft: false,
    })
}

pub(crate) fn keys(jwks: &str) -> Change {
    Change::TokenKeySet(TokenKeySet {
        jwks_json: jwks.to_owned(),
    })
}

pub(crate) fn media_key(id: &str, algorithm: &str) -> Change {
    Change::MediaKey(MediaKey {
        key_id: id.to_owned(),
        algorithm: algorithm.to_owned(),
        key: b"secret".as_slice().into(),
        not_before_s: 0,
        not_after_s: NOW_S + 86_400,
    })
}

pub(crate) fn revoked(session: &str, lives_s: i64) -> Change {
    Change::RevokeUserSession(RevokeUserSession {
        user_session_id: session.to_owned(),
        expires_s: NOW_S + lives_s,
    })
}

pub(crate) fn revoked_media(session: &str, lives_s: i64) -> Change {
    Change::RevokeMediaSession(RevokeMediaSession {
        media_session_id: session.to_owned(),
        expires_s: NOW_S + lives_s,
    })
}

pub(crate) fn changes(entries: &[FeedEntry]) -> Vec<Change> {
    entries
        .iter()
        .filter_map(|entry| entry.change.clone())
        .collect()
}

/// Waits until `state` holds; fails the test when that takes too long.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, state: impl Fn() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !state().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

/// An entry as a record of the feed's topic, past the feed itself.
pub(crate) fn record(entry: &FeedEntry) -> NewRecord {
    NewRecord {
        topic: mcsp_feed::TOPIC.to_owned(),
        key: entry.region.clone(),
        value: prost::Message::encode_to_vec(entry).into(),
        headers: std::collections::BTreeMap::new(),
    }
}

/// Every entry of the feed, as an own edge of it would be sent them from the beginning.
pub(crate) async fn all(log: &SharedEventLog) -> Vec<FeedEntry> {
    let records = log
        .read(mcsp_feed::TOPIC, 0, 0, 1000, Duration::ZERO)
        .await
        .unwrap();
    records
        .into_iter()
        .map(|record| prost::Message::decode(record.value).unwrap())
        .collect()
}
