//! Two regions follow each other.

use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{FeedEntry, Purge};
use mcsp_feed::{Feed, Mirror};
use mcsp_runtime::ShutdownTrigger;
use tokio::task::JoinHandle;

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
    lagos
        .feed
        .publish(media_key("h", "hmac-sha256"))
        .await
        .unwrap();
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
