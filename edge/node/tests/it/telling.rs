//! What an answer tells players of how it came, and what an operator is told of what was not there.

use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;

use crate::harness::{Node, RawOrigin, Serve, World, cache_status, get, header, origin_path};

const REST: &str = "v360/1.m4s";

/// CTA-5006 for media alone, `Server-Timing` for all.
#[tokio::test]
async fn media_tell_players_where_the_time_went() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let answer = Serve::ok("segment").with("cache-control", "max-age=600");
    world.origin.serve(&origin_path(Global, REST), answer);
    let path = world.media_path(Global, REST);
    for is_hit in [false, true] {
        let answer = get(&node, &path).await;
        assert_eq!(cache_status(&answer).contains("; hit"), is_hit);
        // For pages of other origins, too.
        let exposed = header(answer.headers(), "access-control-expose-headers").unwrap();
        assert!(exposed.split(", ").any(|name| name == "CMSD-Dynamic"));
        let timing_for = header(answer.headers(), "timing-allow-origin");
        assert_eq!(timing_for, Some("*"));
        let told = header(answer.headers(), "cmsd-dynamic").unwrap();
        let delay = told.strip_prefix("\"los1\";rd=");
        assert!(
            delay.is_some_and(|ms| ms.parse::<u32>().is_ok()),
            "is_hit = {is_hit}: {told}"
        );
        let timing = header(answer.headers(), "server-timing").unwrap();
        let waited = timing.strip_prefix("cache;desc=fwd, origin;dur=");
        let is_right = match is_hit {
            true => timing == "cache;desc=hit",
            false => waited.is_some_and(|ms| ms.parse::<u32>().is_ok()),
        };
        assert!(is_right, "is_hit = {is_hit}: {timing}");
    }
}

#[tokio::test]
async fn what_is_no_media_tells_its_timing_alone() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let asking = tokio::spawn(node.request(reqwest::Method::GET, "/a").send());
    let asked = origin.asked().await;
    asked.answer("Cache-Control: max-age=600\r\n", "a").await;
    let miss = asking.await.unwrap().unwrap();
    let hit = get(&node, "/a").await;
    for answer in [&miss, &hit] {
        assert!(header(answer.headers(), "cmsd-dynamic").is_none());
        assert!(header(answer.headers(), "server-timing").is_some());
    }
    assert!(cache_status(&hit).contains("; hit"));
}

async fn missed(node: &Node, key: &str) -> String {
    let inspection = node.inspect(key).await;
    assert_eq!(
        inspection["variants"],
        serde_json::json!([]),
        "{inspection}"
    );
    inspection["missed"].as_str().unwrap_or_default().to_owned()
}

/// What is held for a key, and why there is nothing.
#[tokio::test]
async fn an_operator_is_told_why_there_is_nothing() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let key = origin_path(Global, REST);
    assert_eq!(missed(&node, &key).await, "never_seen");
    let kept = Serve::ok("segment")
        .with("cache-control", "max-age=600")
        .with("surrogate-key", "a b");
    world.origin.serve(&key, kept);
    let path = world.media_path(Global, REST);
    get(&node, &path).await.bytes().await.unwrap();
    let held = node.inspect(&key).await;
    let variant = &held["variants"][0];
    assert_eq!(variant["state"], "fresh", "{held}");
    assert_eq!(variant["status"], 200, "{held}");
    assert_eq!(variant["total_bytes"], 7, "{held}");
    assert_eq!(variant["held_in"], "memory", "{held}");
    assert_eq!(held["disk"]["state"], "absent", "{held}");
    assert_eq!(variant["surrogate_keys"], serde_json::json!(["a", "b"]));
    assert!(held["missed"].is_null(), "{held}");
    let target = Target::Key(key.clone());
    let sequence = world.origin.feed.purge(target, false);
    world.origin.feed.wait_acknowledged(sequence).await;
    assert_eq!(missed(&node, &key).await, "purged");
    // What its origin lets nobody keep.
    let other = origin_path(Global, "v360/2.m4s");
    let unkept = Serve::ok("segment").with("cache-control", "private");
    world.origin.serve(&other, unkept);
    let path = world.media_path(Global, "v360/2.m4s");
    get(&node, &path).await.bytes().await.unwrap();
    assert_eq!(missed(&node, &other).await, "not_shareable");
}
