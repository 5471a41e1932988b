//! What is worth fetching before anyone asks.

use std::time::Duration;

use mcsp_edge_cache::engine::{Key, PurgeSelector};

use crate::support::{FRESH_MS, Harness, any};

fn lacks(harness: &Harness, key: &str) -> bool {
    let ticket = harness.cache.ticket();
    harness.cache.lacks(Key::new(key), &any(), ticket)
}

#[tokio::test]
async fn what_is_held_asked_for_or_filled_is_not_lacking() {
    let harness = Harness::new();
    assert!(lacks(&harness, "/a"));
    let lead = harness.lead("/a");
    assert!(!lacks(&harness, "/a"), "it is being asked for");
    let filling = lead.begin(harness.whole(Some(4), &[])).unwrap();
    assert!(!lacks(&harness, "/a"), "it is being filled");
    drop(filling);
    assert!(lacks(&harness, "/a"), "the fill died");
    harness.store("/a", b"body", &[]).await;
    assert!(!lacks(&harness, "/a"));
    let life_ms = u64::try_from(FRESH_MS).unwrap();
    harness.clock.advance(Duration::from_millis(2 * life_ms));
    assert!(
        !lacks(&harness, "/a"),
        "what is stale is for viewers to revalidate"
    );
    harness.lead("/b").not_shareable("private", true);
    assert!(!lacks(&harness, "/b"), "nobody else may have it");
    let lookups = |found| harness.counter("mcsp_cache_lookups_total", found);
    assert_eq!(
        lookups("never-seen") + lookups("stored") + lookups("fill"),
        0
    );
    assert!(harness.hit("/c").is_none());
    assert_eq!(lookups("never-seen"), 1, "that was a lookup");
}

#[tokio::test]
async fn what_was_purged_since_is_not_wanted_any_more() {
    let harness = Harness::new();
    let before = harness.cache.ticket();
    harness.purge(PurgeSelector::Key("/a".into()), false);
    assert!(!harness.cache.lacks(Key::new("/a"), &any(), before));
    assert!(harness.cache.lacks(Key::new("/b"), &any(), before));
    assert!(lacks(&harness, "/a"), "but who asks from now on may");
}
