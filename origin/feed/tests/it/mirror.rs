//! Two regions follow each other.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use mcsp_api::proto::feed::edge_feed_server::{EdgeFeed, EdgeFeedServer};
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::feed_message::Message;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{
    AcknowledgeRequest, AcknowledgeResponse, FeedEntry, FeedMessage, Purge, Reset, SubscribeRequest,
};
use mcsp_feed::{Feed, Mirror};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::ShutdownTrigger;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::support::{Region, all, channel, eventually, keys, media_key, purge, region, revoked};

/// `into` follows `from`, until the trigger is pulled.
fn mirror(into: &Feed, from: &Feed) -> (ShutdownTrigger, JoinHandle<()>) {
    let (trigger, shutdown) = ShutdownTrigger::new();
    let mirror = Mirror::new(
        into.clone(),
        from.region(),
        channel(from, into.region(), "origin"),
    );
    (trigger, tokio::spawn(mirror.run(shutdown)))
}

async fn stop((trigger, run): (ShutdownTrigger, JoinHandle<()>)) {
    trigger.trigger();
    run.await.unwrap();
}

fn of(entries: &[FeedEntry], region: &str) -> Vec<Change> {
    entries
        .iter()
        .filter(|e| e.region == region)
        .filter_map(|e| e.change.clone())
        .collect()
}

/// What a region tells its own edges when it begins to follow a peer: purges may have been missed.
fn revalidate() -> Change {
    Change::Purge(Purge {
        target: Some(Target::Everything(true)),
        soft: true,
    })
}

async fn holds(region: &Region, from: &str, expected: &[Change]) {
    eventually(&format!("has of {from}: {expected:?}"), || async {
        of(&all(&region.log).await, from) == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_have_what_each_made_and_nothing_goes_round() {
    let (lagos, london) = (
        region("ng-lagos", 1).await,
        region("global-london", 2).await,
    );
    lagos.feed.publish(keys("lagos")).await.unwrap();
    london.feed.publish(keys("london")).await.unwrap();
    let to_london = mirror(&london.feed, &lagos.feed);
    let to_lagos = mirror(&lagos.feed, &london.feed);
    holds(&london, "ng-lagos", &[revalidate(), keys("lagos")]).await;
    holds(&lagos, "global-london", &[revalidate(), keys("london")]).await;
    for n in 0..5 {
        lagos
            .feed
            .publish(purge(&format!("lagos{n}")))
            .await
            .unwrap();
        london
            .feed
            .publish(purge(&format!("london{n}")))
            .await
            .unwrap();
    }
    lagos.feed.publish(media_key("p", "ed25519")).await.unwrap();
    // The last of each side: when it has come, anything that goes round would have come back too.
    lagos.feed.publish(purge("lagos-end")).await.unwrap();
    let mut made = of(&all(&lagos.log).await, "ng-lagos");
    made.insert(0, revalidate());
    holds(&london, "ng-lagos", &made).await;
    london.feed.publish(purge("london-end")).await.unwrap();
    let mut made = of(&all(&london.log).await, "global-london");
    made.insert(0, revalidate());
    holds(&lagos, "global-london", &made).await;
    assert_eq!(of(&all(&lagos.log).await, "ng-lagos").len(), 8);
    assert_eq!(of(&all(&london.log).await, "global-london").len(), 7);
    stop(to_london).await;
    stop(to_lagos).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_sign_stay_at_home() {
    let (lagos, london) = (
        region("ng-lagos", 1).await,
        region("global-london", 2).await,
    );
    let secret = || media_key("h", "hmac-sha256");
    lagos.feed.publish(secret()).await.unwrap();
    let running = mirror(&london.feed, &lagos.feed);
    holds(&london, "ng-lagos", &[revalidate()]).await;
    lagos.feed.publish(secret()).await.unwrap();
    lagos.feed.publish(media_key("p", "ed25519")).await.unwrap();
    holds(
        &london,
        "ng-lagos",
        &[revalidate(), media_key("p", "ed25519")],
    )
    .await;
    stop(running).await;
}

/// A peer that says whatever it likes.
struct TakenOver(Vec<FeedEntry>);

#[tonic::async_trait]
impl EdgeFeed for TakenOver {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<FeedMessage, Status>> + Send>>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let reset = Message::Reset(Reset {
            epoch: "taken over".to_owned(),
            snapshot_end: 0,
        });
        let entries = self.0.iter().cloned().map(Message::Entry);
        let messages: Vec<_> = std::iter::once(reset)
            .chain(entries)
            .map(|message| {
                Ok(FeedMessage {
                    message: Some(message),
                })
            })
            .collect();
        let open = futures::stream::iter(messages).chain(futures::stream::pending());
        Ok(Response::new(Box::pin(open)))
    }

    async fn acknowledge(
        &self,
        _: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        Ok(Response::new(AcknowledgeResponse {}))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_speaks_for_itself_only_and_its_secrets_are_not_kept() {
    let lagos = region("ng-lagos", 1).await;
    let said = [
        ("ng-lagos", media_key("forged", "ed25519")),
        ("ng-lagos", keys("forged")),
        ("elsewhere", media_key("forged", "ed25519")),
        ("global-london", media_key("secret", "hmac-sha256")),
        ("global-london", media_key("public", "ed25519")),
    ];
    let entries = (1..)
        .zip(said)
        .map(|(sequence, (region, change))| FeedEntry {
            sequence,
            region: region.to_owned(),
            created_ms: 0,
            change: Some(change),
        });
    let peer = EdgeFeedServer::new(TakenOver(entries.collect()));
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "ng-lagos", "origin").unwrap();
    let channel = RpcChannel::in_process(Routes::new(peer), caller);
    let (trigger, shutdown) = ShutdownTrigger::new();
    let mirror = Mirror::new(lagos.feed.clone(), "global-london", channel);
    let running = (trigger, tokio::spawn(mirror.run(shutdown)));
    holds(
        &lagos,
        "global-london",
        &[revalidate(), media_key("public", "ed25519")],
    )
    .await;
    assert_eq!(all(&lagos.log).await.len(), 2, "and nothing else");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_was_cut_goes_on_where_it_was() {
    let (lagos, london) = (
        region("ng-lagos", 1).await,
        region("global-london", 2).await,
    );
    let running = mirror(&london.feed, &lagos.feed);
    holds(&london, "ng-lagos", &[revalidate()]).await;
    lagos.feed.publish(purge("1")).await.unwrap();
    holds(&london, "ng-lagos", &[revalidate(), purge("1")]).await;
    stop(running).await;
    for n in 2..6 {
        lagos.feed.publish(purge(&n.to_string())).await.unwrap();
    }
    // Another process: all it knows is in its own feed.
    let again = crate::support::open(&london.log, "global-london", london.clock.clone(), 2).await;
    let running = mirror(&again, &lagos.feed);
    let mut expected: Vec<Change> = (1..6).map(|n| purge(&n.to_string())).collect();
    expected.insert(0, revalidate());
    holds(&london, "ng-lagos", &expected).await;
    assert_eq!(of(&all(&london.log).await, "global-london"), []);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_lost_its_log_makes_edges_revalidate() {
    let (lagos, london) = (
        region("ng-lagos", 1).await,
        region("global-london", 2).await,
    );
    lagos.feed.publish(keys("old")).await.unwrap();
    let running = mirror(&london.feed, &lagos.feed);
    holds(&london, "ng-lagos", &[revalidate(), keys("old")]).await;
    stop(running).await;
    let restored = region("ng-lagos", 3).await;
    restored.feed.publish(keys("new")).await.unwrap();
    let running = mirror(&london.feed, &restored.feed);
    holds(
        &london,
        "ng-lagos",
        &[revalidate(), keys("old"), revalidate(), keys("new")],
    )
    .await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_stops_nothing_local_and_a_stop_is_heard_meanwhile() {
    let (lagos, london) = (
        region("ng-lagos", 1).await,
        region("global-london", 2).await,
    );
    lagos.feed.close();
    let running = mirror(&london.feed, &lagos.feed);
    london.feed.publish(revoked("local", 60)).await.unwrap();
    assert_eq!(
        of(&all(&london.log).await, "global-london"),
        [revoked("local", 60)]
    );
    tokio::time::timeout(crate::support::PATIENCE, stop(running))
        .await
        .unwrap();
}
