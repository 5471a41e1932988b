//! The feed as a gRPC service (`proto/feed.proto`).

use std::pin::Pin;

use futures::Stream;
use futures::stream::unfold;
use mcsp_api::proto::feed::edge_feed_server::{EdgeFeed, EdgeFeedServer};
use mcsp_api::proto::feed::{
    AcknowledgeRequest, AcknowledgeResponse, FeedMessage, SubscribeRequest,
};
use mcsp_identity::Peer;
use tonic::{Request, Response, Status};

use crate::subscription::Subscription;
use crate::{Feed, FeedError};

/// The longest name of a subscriber, bytes.
const NAME_BYTES_MAX: usize = 128;

/// The feed as a gRPC service. Every request must carry its caller's verified name, as every server of ours adds it.
#[must_use]
pub fn grpc_service(feed: Feed) -> EdgeFeedServer<EdgeFeedService> {
    EdgeFeedServer::new(EdgeFeedService { feed })
}

/// The gRPC interface over a feed.
#[derive(Debug)]
pub struct EdgeFeedService {
    feed: Feed,
}

#[tonic::async_trait]
impl EdgeFeed for EdgeFeedService {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<FeedMessage, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let peer = peer_of(&request)?;
        let request = request.into_inner();
        check_name(&peer, &request.subscriber)?;
        let place = self.feed.place().ok_or_else(|| {
            Status::unavailable("the feed is closing, or has as many subscribers as it takes")
        })?;
        let secrets = self.feed.trusts_with_secrets(&peer);
        let feed = self.feed.clone();
        let subscription = Subscription::begin(feed, &request, pop_of(&peer), secrets, place)
            .await
            .map_err(status_of)?;
        tracing::info!(
            subscriber = request.subscriber,
            after = request.after_sequence,
            secrets,
            "feed subscription"
        );
        let feed = self.feed.clone();
        let stream = unfold(Some((subscription, feed)), |state| async {
            let (mut subscription, feed) = state?;
            let next = tokio::select! {
                biased;
                () = feed.closed() => Err(Status::unavailable("the feed is closing")),
                next = subscription.next() => next.map_err(status_of),
            };
            match next {
                Ok(message) => Some((Ok(message), Some((subscription, feed)))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        let peer = peer_of(&request)?;
        let request = request.into_inner();
        check_name(&peer, &request.subscriber)?;
        self.feed.acknowledge(&request, pop_of(&peer));
        Ok(Response::new(AcknowledgeResponse {}))
    }
}

pub(crate) fn peer_of<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| Status::unauthenticated("the caller has no verified name"))
}

/// The PoP of a caller that is an edge.
fn pop_of(peer: &Peer) -> Option<&str> {
    peer.is_edge().then(|| peer.0.account())
}

/// A subscriber's name begins with what its certificate says: the PoP's id, or the region's.
fn check_name(peer: &Peer, subscriber: &str) -> Result<(), Status> {
    let own = if peer.is_edge() {
        peer.0.account()
    } else {
        peer.0.namespace()
    };
    let rest = subscriber
        .strip_prefix(own)
        .filter(|_| subscriber.len() <= NAME_BYTES_MAX);
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '-', ':', '.']) => Ok(()),
        _ => Err(Status::permission_denied(format!(
            "subscriber {subscriber:?} is not {own:?} or a node of it"
        ))),
    }
}

pub(crate) fn status_of(error: FeedError) -> Status {
    if error.is_retryable() {
        return Status::unavailable(error.to_string());
    }
    tracing::error!(error = %error, "edge feed failed");
    Status::internal("the feed cannot be read")
}
