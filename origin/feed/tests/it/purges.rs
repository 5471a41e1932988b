//! Purges by operators: who may, what is audited, and who is said to have carried one out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::purges_client::PurgesClient;
use mcsp_api::proto::feed::{
    GetProgressRequest, GetProgressResponse, Purge, PurgeRequest, RegionProgress,
};
use mcsp_audit::{Audit, Phase};
use mcsp_db::Db;
use mcsp_feed::{Change, Feed, FeedOptions, Mirror, NodeTable, Purges, PurgesParts};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{SeededEntropy, ShutdownTrigger};
use tonic::Code;
use tonic::service::RoutesBuilder;

use crate::support::{Edge, NOW_MS, Region, changes, channel, region};

/// A region with its operators' interface.
struct Operated {
    region: Region,
    feed: Feed,
    audit: Audit,
    db: Db,
    purges: Purges,
}

/// `pops` are those whose home is the region.
async fn operated(
    name: &str,
    seed: u64,
    pops: &[&str],
    peers: BTreeMap<String, RpcChannel>,
) -> Operated {
    let region = region(name, seed).await;
    let db = Db::open("sqlite::memory:").await.unwrap();
    let home_pops: BTreeSet<String> = pops.iter().map(|pop| (*pop).to_owned()).collect();
    let feed = Feed::open_with(FeedOptions {
        log: Arc::clone(&region.log),
        region: name.to_owned(),
        clock: region.clock.clone(),
        entropy: SeededEntropy::new(seed),
        signing_pops: Arc::new(|_| false),
        home_pops: Some(Arc::new(home_pops)),
    })
    .await
    .unwrap();
    let audit = Audit::open(db.clone(), region.clock.clone(), SeededEntropy::new(seed))
        .await
        .unwrap();
    let purges = Purges::new(PurgesParts {
        feed: feed.clone(),
        audit: audit.clone(),
        peers,
    });
    Operated {
        region,
        feed,
        audit,
        db,
        purges,
    }
}

impl Operated {
    fn channel(&self, namespace: &str, account: &str) -> RpcChannel {
        let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, namespace, account).unwrap();
        let mut routes = RoutesBuilder::default();
        routes.add_service(self.purges.operators());
        routes.add_service(self.purges.regions());
        let callers = mcsp_identity::CallerTable::embedded().unwrap();
        RpcChannel::in_process_with(routes.routes(), caller, self.feed.region(), callers)
    }

    fn operator(&self) -> PurgesClient<RpcChannel> {
        PurgesClient::new(self.channel(self.feed.region(), "operator"))
    }

    async fn purge(&self, target: Target) -> u64 {
        let answer = self.operator().purge(request(target, "a test")).await;
        answer.unwrap().into_inner().sequence
    }

    async fn progress(&self, sequence: u64, wait_ms: u32) -> GetProgressResponse {
        let request = GetProgressRequest {
            sequence,
            wait_ms,
            ..GetProgressRequest::default()
        };
        self.operator()
            .get_progress(request)
            .await
            .unwrap()
            .into_inner()
    }
}

fn request(target: Target, reason: &str) -> PurgeRequest {
    PurgeRequest {
        purge: Some(Purge {
            target: Some(target),
            soft: false,
        }),
        reason: reason.to_owned(),
    }
}

fn content() -> Target {
    Target::ContentId("c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".to_owned())
}

async fn acknowledge(edge: &mut Edge, node: &str) {
    let acknowledgement = edge.cursor.acknowledgement(node);
    edge.client.acknowledge(acknowledgement).await.unwrap();
}

/// `node: is applied, is connected`.
fn nodes(region: &RegionProgress) -> Vec<(&str, bool, bool)> {
    let nodes = region.nodes.iter();
    nodes
        .map(|node| (node.node.as_str(), node.is_applied, node.is_connected))
        .collect()
}

#[tokio::test]
async fn a_purge_is_asked_after_by_node_and_is_over_when_the_last_has_it() {
    let here = operated("ng-lagos", 1, &["abv1", "los1", "ph1"], BTreeMap::new()).await;
    let (mut los1, mut abv1) = (Edge::new(&here.feed, "los1"), Edge::new(&here.feed, "abv1"));
    los1.follow_to(0).await;
    abv1.follow_to(0).await;
    acknowledge(&mut abv1, "abv1").await;
    abv1.cut();
    let sequence = here.purge(content()).await;
    let entries = los1.follow_to(sequence).await;
    assert!(
        matches!(&changes(&entries)[..], [Change::Purge(purge)] if purge.target == Some(content()))
    );
    let before = here.progress(sequence, 0).await;
    assert!(!before.is_complete);
    assert_eq!(
        nodes(&before.regions[0])[1],
        ("los1", false, true),
        "applied, and not yet said so"
    );
    acknowledge(&mut los1, "los1").await;
    let told = here.progress(sequence, 50).await;
    assert!(!told.is_complete);
    let expected = [
        ("abv1", false, false),
        ("los1", true, true),
        ("ph1", false, false),
    ];
    assert_eq!(nodes(&told.regions[0]), expected);
    let [abv, los, ph] = &told.regions[0].nodes[..] else {
        panic!("three")
    };
    assert_eq!(
        (abv.heard_ms, los.applied_ms, ph.heard_ms),
        (NOW_MS, NOW_MS, 0)
    );
    // The one who was away comes back while someone waits.
    let (waited, ()) = tokio::join!(here.progress(sequence, 2_000), async {
        abv1.follow_to(sequence).await;
        acknowledge(&mut abv1, "abv1").await;
    });
    assert!(waited.is_complete, "{waited:?}");
    // A PoP that nobody ever heard of is told of and not waited for.
    assert_eq!(nodes(&waited.regions[0])[2], ("ph1", false, false));
    // Without a number: the feed's last entry.
    assert_eq!(here.progress(0, 0).await.sequence, sequence);
}

#[tokio::test]
async fn what_is_not_audited_is_not_purged_and_what_is_purged_is_audited() {
    let here = operated("ng-lagos", 1, &["los1"], BTreeMap::new()).await;
    let sequence = here.purge(Target::Prefix("/media/ng/".to_owned())).await;
    let audited = here.audit.list(0, 10).await.unwrap();
    let phases: Vec<_> = audited.iter().map(|record| record.phase).collect();
    assert_eq!(phases, [Phase::Intended, Phase::Committed]);
    assert_eq!(
        (audited[0].action.as_str(), audited[0].object.as_str()),
        ("cache.purge", "prefix:/media/ng/")
    );
    assert!(
        audited[0].actor.ends_with("/ns/ng-lagos/sa/operator"),
        "{}",
        audited[0].actor
    );
    let committed: serde_json::Value = serde_json::from_str(&audited[1].detail_json).unwrap();
    assert_eq!(committed["sequence"], sequence);
    for bad in [
        request(Target::Everything(false), "x"),
        request(Target::Key("no-slash".to_owned()), "x"),
        request(content(), "  "),
    ] {
        let refused = here.operator().purge(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    // The table is gone, so nothing can be written down.
    let mut tx = here.db.begin().await.unwrap();
    sqlx::query("DROP TABLE audit_entries")
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let refused = here
        .operator()
        .purge(request(content(), "x"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(here.feed.last_sequence().await.unwrap(), sequence);
}

#[tokio::test]
async fn only_operators_of_the_region_purge() {
    let here = operated("ng-lagos", 1, &["los1"], BTreeMap::new()).await;
    for (namespace, account) in [
        ("ng-lagos", "origin"),
        ("global-london", "operator"),
        ("edge", "los1"),
    ] {
        let mut client = PurgesClient::new(here.channel(namespace, account));
        let refused = client.purge(request(content(), "x")).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::PermissionDenied,
            "{namespace}/{account}"
        );
    }
    assert_eq!(here.feed.last_sequence().await.unwrap(), 0);
}

#[tokio::test]
async fn who_was_away_when_the_origin_began_again_is_still_missed() {
    let here = operated("ng-lagos", 1, &["los1", "abv1"], BTreeMap::new()).await;
    let mut table = NodeTable::open(here.feed.clone(), here.db.clone())
        .await
        .unwrap();
    let mut abv1 = Edge::new(&here.feed, "abv1");
    let first = here.purge(content()).await;
    abv1.follow_to(first).await;
    acknowledge(&mut abv1, "abv1").await;
    table.save().await.unwrap();
    // The same log and the same tables, in a new process.
    let again = FeedOptions {
        log: Arc::clone(&here.region.log),
        region: "ng-lagos".to_owned(),
        clock: here.region.clock.clone(),
        entropy: SeededEntropy::new(9),
        signing_pops: Arc::new(|_| false),
        home_pops: None,
    };
    let again = Feed::open_with(again).await.unwrap();
    drop(
        NodeTable::open(again.clone(), here.db.clone())
            .await
            .unwrap(),
    );
    let wait = std::time::Duration::ZERO;
    assert_eq!(
        nodes(&again.progress(first, wait).await),
        [("abv1", true, false)]
    );
    assert_eq!(
        nodes(&again.progress(first + 1, wait).await),
        [("abv1", false, false)]
    );
    // After a week it counts as new: the feed no longer holds what it missed, so it begins with the state.
    here.region
        .clock
        .advance(std::time::Duration::from_secs(8 * 24 * 3600));
    assert_eq!(nodes(&again.progress(first + 1, wait).await), []);
    let mut table = NodeTable::open(again.clone(), here.db.clone())
        .await
        .unwrap();
    table.save().await.unwrap();
    let mut connection = here.db.acquire().await.unwrap();
    let left = sqlx::query("SELECT name FROM feed_nodes")
        .fetch_all(connection.conn())
        .await;
    assert_eq!(left.unwrap().len(), 0);
}

#[tokio::test]
async fn nodes_of_a_region_that_mirrors_the_feed_are_waited_for_too() {
    let london = operated("global-london", 2, &["lhr1"], BTreeMap::new()).await;
    let to_london = london.channel("ng-lagos", "origin");
    let peers = BTreeMap::from([("global-london".to_owned(), to_london)]);
    let lagos = operated("ng-lagos", 1, &["los1"], peers).await;
    let mut lhr1 = Edge::new(&london.feed, "lhr1");
    lhr1.follow_to(0).await;
    // London has entries of its own, so its numbers are others.
    for _ in 0..3 {
        london.purge(Target::Everything(true)).await;
    }
    acknowledge(&mut lhr1, "lhr1").await;
    let missed = lagos.purge(content()).await;
    let cut = lagos.progress(missed, 20).await;
    assert!(!cut.is_complete && !cut.regions[1].is_published, "{cut:?}");
    let (trigger, shutdown) = ShutdownTrigger::new();
    let mirror = Mirror::new(
        london.feed.clone(),
        "ng-lagos",
        channel(&lagos.feed, "global-london", "origin"),
    );
    let mirroring = tokio::spawn(mirror.run(shutdown));
    // What was purged before the mirror began is in no snapshot: entry 4 has all of London revalidate instead.
    follow_and_wait(&lagos, missed, &mut lhr1, 4).await;
    let sequence = lagos.purge(content()).await;
    let told = follow_and_wait(&lagos, sequence, &mut lhr1, 5).await;
    assert_eq!(told.regions[1].region, "global-london");
    assert_eq!(nodes(&told.regions[1]), [("lhr1", true, true)]);
    trigger.trigger();
    mirroring.await.unwrap();
}

/// Waits for a purge of Lagos while `lhr1` follows London's feed up to `there`.
async fn follow_and_wait(
    lagos: &Operated,
    sequence: u64,
    lhr1: &mut Edge,
    there: u64,
) -> GetProgressResponse {
    let waited = async {
        for _ in 0..10 {
            let told = lagos.progress(sequence, 2_000).await;
            if told.is_complete {
                return told;
            }
        }
        panic!("never complete");
    };
    let followed = async {
        lhr1.follow_to(there).await;
        acknowledge(lhr1, "lhr1").await;
    };
    tokio::join!(waited, followed).0
}
