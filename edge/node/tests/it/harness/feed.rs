//! The edge feed of an origin, as a test says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use mcsp_api::proto::feed::edge_feed_server::EdgeFeed;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::feed_message::Message;
use mcsp_api::proto::feed::{
    AcknowledgeRequest, AcknowledgeResponse, FeedEntry, FeedMessage, Heartbeat, MediaKey, Purge,
    Reset, RevokeMediaSession, RevokeUserSession, SubscribeRequest, TokenKeySet, purge,
};
use mcsp_auth_edge::MediaKeyMaterial;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Request as RpcRequest, Response as RpcResponse, Status};

/// The edge feed of the origin.
#[derive(Clone)]
pub(crate) struct TestFeed {
    entries: Arc<watch::Sender<Vec<FeedEntry>>>,
    pub(crate) acknowledged: Arc<Mutex<Vec<AcknowledgeRequest>>>,
    pub(crate) subscribed: Arc<Mutex<Vec<SubscribeRequest>>>,
    epoch: Arc<Mutex<String>>,
    /// While true, subscriptions are refused and open ones end.
    away: Arc<watch::Sender<bool>>,
}

impl Default for TestFeed {
    fn default() -> Self {
        Self {
            entries: Arc::new(watch::Sender::new(Vec::new())),
            acknowledged: Arc::default(),
            subscribed: Arc::default(),
            epoch: Arc::new(Mutex::new("epoch-1".to_owned())),
            away: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl TestFeed {
    pub(crate) fn publish(&self, region: &str, change: Change) -> u64 {
        let mut sequence = 0;
        self.entries.send_modify(|entries| {
            sequence = entries.len() as u64 + 1;
            entries.push(FeedEntry {
                sequence,
                region: region.to_owned(),
                created_ms: 0,
                change: Some(change),
            });
        });
        sequence
    }

    pub(crate) fn media_key(&self, region: &str, key: &MediaKeyMaterial) -> u64 {
        let key = MediaKey {
            key_id: key.key_id.clone(),
            algorithm: key.algorithm.as_str().to_owned(),
            key: key.key.clone().into(),
            not_before_s: key.not_before_s,
            not_after_s: key.not_after_s,
        };
        self.publish(region, Change::MediaKey(key))
    }

    pub(crate) fn token_keys(&self, region: &str, jwks_json: &str) {
        let keys = TokenKeySet {
            jwks_json: jwks_json.to_owned(),
        };
        self.publish(region, Change::TokenKeySet(keys));
    }

    pub(crate) fn revoke_media_session(&self, id: &str, expires_s: i64) -> u64 {
        let revoke = RevokeMediaSession {
            media_session_id: id.to_owned(),
            expires_s,
        };
        self.publish("ng-lagos", Change::RevokeMediaSession(revoke))
    }

    pub(crate) fn revoke_user_session(&self, id: &str, expires_s: i64) -> u64 {
        let revoke = RevokeUserSession {
            user_session_id: id.to_owned(),
            expires_s,
        };
        self.publish("ng-lagos", Change::RevokeUserSession(revoke))
    }

    pub(crate) fn purge(&self, target: purge::Target, soft: bool) -> u64 {
        let purge = Purge {
            soft,
            target: Some(target),
        };
        self.publish("ng-lagos", Change::Purge(purge))
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.away.send_replace(is_away);
    }

    /// Another history: subscribers must start over. Keeps what was published.
    pub(crate) fn set_epoch(&self, epoch: &str) {
        epoch.clone_into(&mut self.epoch.lock());
    }

    /// Waits until a node has said that it applied `sequence`.
    pub(crate) async fn wait_acknowledged(&self, sequence: u64) {
        super::wait_for("an acknowledgement", || async {
            self.acknowledged
                .lock()
                .iter()
                .any(|acknowledged| acknowledged.applied_sequence >= sequence)
        })
        .await;
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<FeedMessage, Status>> + Send>>;

#[tonic::async_trait]
impl EdgeFeed for TestFeed {
    type SubscribeStream = Messages;

    async fn subscribe(
        &self,
        request: RpcRequest<SubscribeRequest>,
    ) -> Result<RpcResponse<Messages>, Status> {
        if *self.away.borrow() {
            return Err(Status::unavailable("away"));
        }
        let request = request.into_inner();
        self.subscribed.lock().push(request.clone());
        let epoch = self.epoch.lock().clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let work = feed_to(sender, self.entries.subscribe(), request, epoch);
        let mut away = self.away.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = away.wait_for(|away| *away) => {}
            }
        });
        Ok(RpcResponse::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(receiver),
        )))
    }

    async fn acknowledge(
        &self,
        request: RpcRequest<AcknowledgeRequest>,
    ) -> Result<RpcResponse<AcknowledgeResponse>, Status> {
        self.acknowledged.lock().push(request.into_inner());
        Ok(RpcResponse::new(AcknowledgeResponse {}))
    }
}

type Sender = tokio::sync::mpsc::Sender<Result<FeedMessage, Status>>;

/// True while the subscriber is there.
async fn send(sender: &Sender, message: Message) -> bool {
    sender
        .send(Ok(FeedMessage {
            message: Some(message),
        }))
        .await
        .is_ok()
}

/// The whole of one subscription: the snapshot if it is wanted, then entries as they come, heartbeats in between.
async fn feed_to(
    sender: Sender,
    mut entries: watch::Receiver<Vec<FeedEntry>>,
    request: SubscribeRequest,
    epoch: String,
) {
    let mut sent = request.after_sequence;
    if request.epoch != epoch {
        sent = 0;
        let snapshot_end = entries.borrow().len() as u64;
        if !send(
            &sender,
            Message::Reset(Reset {
                epoch,
                snapshot_end,
            }),
        )
        .await
        {
            return;
        }
    }
    loop {
        let missing: Vec<_> = entries
            .borrow_and_update()
            .iter()
            .skip(sent as usize)
            .cloned()
            .collect();
        for entry in missing {
            sent = entry.sequence;
            if !send(&sender, Message::Entry(entry)).await {
                return;
            }
        }
        if !send(
            &sender,
            Message::Heartbeat(Heartbeat {
                last_sequence: sent,
                head_sequence: sent,
            }),
        )
        .await
        {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(300), entries.changed()).await;
    }
}
