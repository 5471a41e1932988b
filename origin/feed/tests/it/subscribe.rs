//! What a subscriber is sent.

use std::time::Duration;

use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_api::proto::feed::{FeedEntry, SubscribeRequest};
use mcsp_feed::{Change, FeedError};
use tonic::Code;

use crate::support::{
    Edge, NOW_MS, changes, channel, keys, media_key, open, purge, record, region, revoked,
    revoked_media,
};

#[tokio::test]
async fn a_newcomer_gets_the_state_and_then_what_follows() {
    let region = region("ng-lagos", 1).await;
    for change in [
        keys("old"),
        purge("gone"),
        revoked("over", -1),
        revoked("live", 60),
        keys("new"),
    ] {
        region.feed.publish(change).await.unwrap();
    }
    let mut edge = Edge::new(&region.feed, "own1");
    assert_eq!(
        changes(&edge.follow_to(5).await),
        [revoked("live", 60), keys("new")]
    );
    let sequence = region.feed.publish(purge("next")).await.unwrap();
    assert_eq!(sequence, 6);
    let entries = edge.follow_to(6).await;
    assert_eq!(changes(&entries), [purge("next")]);
    assert_eq!(
        (entries[0].region.as_str(), entries[0].created_ms),
        ("ng-lagos", NOW_MS)
    );
    assert_eq!(edge.resets, 1);
}

#[tokio::test]
async fn one_who_was_away_catches_up_and_misses_nothing() {
    let region = region("ng-lagos", 1).await;
    let mut edge = Edge::new(&region.feed, "own1");
    edge.follow_to(0).await;
    edge.cut();
    for n in 0..600 {
        region.feed.publish(purge(&n.to_string())).await.unwrap();
    }
    let expected: Vec<Change> = (0..600).map(|n| purge(&n.to_string())).collect();
    assert_eq!(changes(&edge.follow_to(600).await), expected);
    assert_eq!(edge.resets, 1);
}

#[tokio::test]
async fn a_feed_that_was_opened_again_is_the_same_one() {
    let region = region("ng-lagos", 1).await;
    region.feed.publish(keys("1")).await.unwrap();
    region
        .feed
        .publish_once("event", revoked_media("m", 60))
        .await
        .unwrap();
    let mut edge = Edge::new(&region.feed, "own1");
    edge.follow_to(2).await;
    edge.cut();
    let again = open(&region.log, "ng-lagos", region.clock.clone(), 99).await;
    assert_eq!(again.epoch(), region.feed.epoch());
    assert_eq!(
        again
            .publish_once("event", revoked_media("m", 60))
            .await
            .unwrap(),
        None
    );
    again.publish(keys("2")).await.unwrap();
    edge.client = EdgeFeedClient::new(channel(&again, "edge", "own1"));
    assert_eq!(changes(&edge.follow_to(3).await), [keys("2")]);
    assert_eq!(edge.resets, 1);
    let mut newcomer = Edge::new(&again, "own2");
    assert_eq!(
        changes(&newcomer.follow_to(3).await),
        [revoked_media("m", 60), keys("2")]
    );
}

#[tokio::test]
async fn another_log_is_another_epoch() {
    let (old, new) = (region("ng-lagos", 1).await, region("ng-lagos", 2).await);
    assert_ne!(old.feed.epoch(), new.feed.epoch());
    old.feed.publish(keys("old")).await.unwrap();
    new.feed.publish(keys("new")).await.unwrap();
    let mut edge = Edge::new(&old.feed, "own1");
    edge.follow_to(1).await;
    edge.cut();
    edge.client = EdgeFeedClient::new(channel(&new.feed, "edge", "own1"));
    // It asks for what follows 1 and is sent the new log's state instead.
    let sequence = new.feed.publish(purge("x")).await.unwrap();
    let entries = loop {
        let entries = edge.follow_to(sequence).await;
        if !entries.is_empty() {
            break entries;
        }
    };
    assert_eq!(changes(&entries), [keys("new")]);
    assert_eq!((edge.resets, edge.cursor.epoch()), (2, new.feed.epoch()));
}

#[tokio::test]
async fn what_the_log_forgot_is_replaced_by_the_state_which_is_written_again_in_time() {
    let region = region("ng-lagos", 1).await;
    region.feed.publish(keys("kept")).await.unwrap();
    let mut edge = Edge::new(&region.feed, "own1");
    edge.follow_to(1).await;
    edge.cut();
    region.feed.publish(purge("forgotten")).await.unwrap();
    region.clock.advance(Duration::from_secs(5 * 86_400));
    // Opened again, the feed writes what is older than half the retention again.
    let again = open(&region.log, "ng-lagos", region.clock.clone(), 1).await;
    crate::support::eventually("written again", || async {
        again.last_sequence().await.unwrap() == 3
    })
    .await;
    region.clock.advance(Duration::from_secs(3 * 86_400));
    assert_eq!(region.engine.sweep(100).await.unwrap().removed, 2);
    let mut newcomer = Edge::new(&again, "own2");
    assert_eq!(changes(&newcomer.follow_to(3).await), [keys("kept")]);
    edge.client = EdgeFeedClient::new(channel(&again, "edge", "own1"));
    assert_eq!(changes(&edge.follow_to(3).await), [keys("kept")]);
    assert_eq!(edge.resets, 2);
}

#[tokio::test]
async fn keys_that_sign_go_to_our_own_nodes_only_and_to_no_peer() {
    let region = region("ng-lagos", 1).await;
    region
        .feed
        .publish(media_key("h", "hmac-sha256"))
        .await
        .unwrap();
    region
        .feed
        .publish(media_key("p", "ed25519"))
        .await
        .unwrap();
    let mut own = Edge::new(&region.feed, "own1");
    let mut partner = Edge::new(&region.feed, "partner1");
    let both = [media_key("h", "hmac-sha256"), media_key("p", "ed25519")];
    assert_eq!(changes(&own.follow_to(2).await), both);
    assert_eq!(changes(&partner.follow_to(2).await), both[1..]);
    // As a later entry too; the partner learns that it was passed over.
    region
        .feed
        .publish(media_key("h2", "hmac-sha256"))
        .await
        .unwrap();
    assert_eq!(
        changes(&own.follow_to(3).await),
        [media_key("h2", "hmac-sha256")]
    );
    assert_eq!(partner.follow_to(3).await, []);
    let mut peer = Edge::new(&region.feed, "own1");
    peer.client = EdgeFeedClient::new(channel(&region.feed, "global-london", "origin"));
    peer.name = "global-london".to_owned();
    assert_eq!(changes(&peer.follow_to(3).await), both[1..]);
    let later = media_key("h3", "hmac-sha256");
    region.feed.publish(later).await.unwrap();
    assert_eq!(peer.follow_to(4).await, [], "nor as an entry");
}

#[tokio::test]
async fn another_regions_secret_that_came_into_the_log_goes_to_nobody() {
    let region = region("ng-lagos", 1).await;
    let stray = FeedEntry {
        sequence: 0,
        region: "global-london".to_owned(),
        created_ms: NOW_MS,
        change: Some(media_key("h", "hmac-sha256")),
    };
    region.log.append(vec![record(&stray)]).await.unwrap();
    let own = region.feed.publish(media_key("h", "hmac-sha256"));
    own.await.unwrap();
    let mut edge = Edge::new(&region.feed, "own1");
    let entries = edge.follow_to(2).await;
    assert_eq!(changes(&entries), [media_key("h", "hmac-sha256")]);
    assert_eq!(entries[0].region, "ng-lagos");
}

#[tokio::test]
async fn regions_may_use_the_same_key_id() {
    let region = region("ng-lagos", 1).await;
    region
        .feed
        .publish(media_key("k", "ed25519"))
        .await
        .unwrap();
    let other = FeedEntry {
        sequence: 0,
        region: "global-london".to_owned(),
        created_ms: NOW_MS,
        change: Some(media_key("k", "ed25519")),
    };
    region.log.append(vec![record(&other)]).await.unwrap();
    let mut newcomer = Edge::new(&region.feed, "own1");
    let entries = newcomer.follow_to(2).await;
    let regions: Vec<&str> = entries.iter().map(|entry| entry.region.as_str()).collect();
    assert_eq!(regions, ["ng-lagos", "global-london"]);
}

#[tokio::test]
async fn a_subscriber_cannot_take_anothers_name() {
    let region = region("ng-lagos", 1).await;
    let mut client = EdgeFeedClient::new(channel(&region.feed, "edge", "own1"));
    for (name, allowed) in [
        ("own1", true),
        ("own1/node-a", true),
        ("own10", false),
        ("los1", false),
        ("", false),
    ] {
        let request = SubscribeRequest {
            subscriber: name.to_owned(),
            ..SubscribeRequest::default()
        };
        let code = client
            .subscribe(request)
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code == Code::Ok, allowed, "{name:?}: {code:?}");
    }
}

#[tokio::test]
async fn progress_is_noted() {
    let region = region("ng-lagos", 1).await;
    let mut edge = Edge::new(&region.feed, "own1");
    region.feed.publish(keys("1")).await.unwrap();
    edge.follow_to(1).await;
    edge.client
        .acknowledge(edge.cursor.acknowledgement("own1/a"))
        .await
        .unwrap();
    let noted = region.feed.subscribers();
    let noted: Vec<_> = noted
        .iter()
        .map(|s| (s.name.as_str(), s.applied_sequence, s.heard_ms, s.streams))
        .collect();
    assert_eq!(noted, [("own1", 0, NOW_MS, 1), ("own1/a", 1, NOW_MS, 0)]);
}

#[tokio::test]
async fn a_feed_that_closes_ends_its_streams() {
    let region = region("ng-lagos", 1).await;
    let mut client = EdgeFeedClient::new(channel(&region.feed, "edge", "own1"));
    let request = SubscribeRequest {
        subscriber: "own1".to_owned(),
        ..SubscribeRequest::default()
    };
    let mut stream = client
        .subscribe(request.clone())
        .await
        .unwrap()
        .into_inner();
    region.feed.close();
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break Code::Ok,
                Err(status) => break status.code(),
            }
        }
    };
    let code = tokio::time::timeout(crate::support::PATIENCE, ended)
        .await
        .unwrap();
    assert_eq!(code, Code::Unavailable);
    assert_eq!(
        client.subscribe(request).await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn a_topic_that_holds_something_else_is_not_opened() {
    let region = region("ng-lagos", 1).await;
    let alien = mcsp_events::NewRecord {
        topic: mcsp_feed::TOPIC.to_owned(),
        key: "k".to_owned(),
        value: b"\xff\xff\xff".as_slice().into(),
        headers: std::collections::BTreeMap::new(),
    };
    region.log.append(vec![alien]).await.unwrap();
    let error = region.feed.publish_once("s", keys("1")).await.unwrap_err();
    assert!(
        matches!(error, FeedError::Entry { offset: 0, .. }) && !error.is_retryable(),
        "{error}"
    );
}
