//! Purges, and fills that cross them.

use bytes::Bytes;
use mcsp_edge_cache::PurgeSelector::{Everything, Key, Prefix, SurrogateKey};
use mcsp_edge_cache::{CacheConfig, EdgeCache};
use pingora_cache::Storage as _;
use pingora_cache::trace::Span;

use crate::legacy::harness::{Harness, drain, length, small};

const PATHS: [&str; 4] = [
    "/media/ng/x/1",
    "/media/ng/x/2",
    "/media/ng/xy/1",
    "/media/global/z/1",
];

async fn filled() -> Harness {
    let harness = Harness::new();
    for path in PATHS {
        let tag = path.rsplit('/').nth(1).unwrap();
        harness
            .store(
                path,
                path.as_bytes(),
                &[("surrogate-key", format!("all {tag}"))],
            )
            .await;
    }
    harness
}

async fn held(harness: &Harness) -> Vec<&'static str> {
    let mut held = Vec::new();
    for path in PATHS {
        if harness.lookup(path).await.is_some() {
            held.push(path);
        }
    }
    held
}

#[tokio::test]
async fn each_selector_reaches_what_it_names_and_no_more() {
    let cases = [
        (Key(PATHS[0].into()), vec![PATHS[1], PATHS[2], PATHS[3]]),
        (Prefix("/media/ng/x/".into()), vec![PATHS[2], PATHS[3]]),
        (Prefix("/media/ng/".into()), vec![PATHS[3]]),
        (
            SurrogateKey("xy".into()),
            vec![PATHS[0], PATHS[1], PATHS[3]],
        ),
        (SurrogateKey("all".into()), vec![]),
        (SurrogateKey("none".into()), PATHS.to_vec()),
        (Everything, vec![]),
    ];
    for (selector, left) in cases {
        let harness = filled().await;
        let report = harness.purge(selector.clone(), false);
        assert_eq!(held(&harness).await, left, "{selector:?}");
        assert_eq!(report.objects, PATHS.len() - left.len(), "{selector:?}");
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_a_later_revalidation_makes_fresh() {
    let harness = filled().await;
    let before = harness.cache.key(PATHS[0]);
    harness.purge(SurrogateKey("x".into()), true);
    assert_eq!(harness.cache.inspect(PATHS[0]).state, "stale");
    assert_eq!(harness.cache.inspect(PATHS[2]).state, "fresh");
    let fresh = harness.meta(&[]);
    let trace = Span::inactive().handle();
    // Asked for before the purge: what it says is out of date.
    assert!(
        !harness
            .cache
            .update_meta(&before, &fresh, &trace)
            .await
            .unwrap()
    );
    assert_eq!(harness.cache.inspect(PATHS[0]).state, "stale");
    let after = harness.cache.key(PATHS[0]);
    assert!(
        harness
            .cache
            .update_meta(&after, &fresh, &trace)
            .await
            .unwrap()
    );
    assert_eq!(harness.cache.inspect(PATHS[0]).state, "fresh");
}

#[tokio::test]
async fn a_purge_during_a_fill_keeps_it_out_and_does_not_disturb_its_writer() {
    for selector in [
        Key("/a".into()),
        Prefix("/".into()),
        SurrogateKey("s".into()),
        Everything,
    ] {
        for soft in [false, true] {
            let harness = Harness::new();
            let headers = [length(4), ("surrogate-key", "s".to_owned())];
            let mut writer = harness.begin(&harness.cache.key("/a"), &headers).await;
            writer
                .write_body(Bytes::from_static(b"ab"), false)
                .await
                .unwrap();
            let report = harness.purge(selector.clone(), soft);
            assert_eq!(report.fills, 1);
            assert!(
                harness.lookup("/a").await.is_none(),
                "newcomers do not join it"
            );
            let tag = writer.streaming_write_tag().map(<[u8]>::to_vec);
            let (_, mut own) = harness
                .cache
                .lookup_streaming_write(
                    &harness.cache.key("/a"),
                    tag.as_deref(),
                    &Span::inactive().handle(),
                )
                .await
                .unwrap()
                .expect("its own request still reads it");
            writer
                .write_body(Bytes::from_static(b"cd"), true)
                .await
                .unwrap();
            writer.finish().await.unwrap();
            assert_eq!(drain(&mut own).await, Ok(b"abcd".to_vec()));
            assert!(harness.lookup("/a").await.is_none(), "{selector:?}");
            assert_eq!(harness.counter("mcsp_cache_fills_total", "superseded"), 1);
        }
    }
}

#[tokio::test]
async fn a_purge_between_the_request_and_its_response_counts_too() {
    let harness = Harness::new();
    let asked = harness.cache.key("/a");
    harness.purge(Key("/a".into()), false);
    let mut writer = harness.begin(&asked, &[]).await;
    assert!(harness.lookup("/a").await.is_none());
    writer
        .write_body(Bytes::from_static(b"old"), true)
        .await
        .unwrap();
    writer.finish().await.unwrap();
    assert!(harness.lookup("/a").await.is_none());
    harness.store("/a", b"new", &[]).await;
    let (_, mut reader) = harness.lookup("/a").await.unwrap();
    assert_eq!(drain(&mut reader).await, Ok(b"new".to_vec()));
}

#[tokio::test]
async fn a_fill_older_than_the_remembered_purges_is_taken_for_purged() {
    let harness = Harness::new();
    let asked = harness.cache.key("/a");
    for n in 0..5000 {
        harness.purge(Key(format!("/other/{n}").into()), false);
    }
    let writer = harness.begin(&asked, &[]).await;
    writer.finish().await.unwrap();
    assert!(harness.lookup("/a").await.is_none());
}

#[tokio::test]
async fn what_was_looked_up_before_a_hard_purge_is_not_served_after_it() {
    let harness = filled().await;
    let (_, mut reader) = harness.lookup(PATHS[0]).await.unwrap();
    harness.purge(Key(PATHS[0].into()), false);
    assert_eq!(drain(&mut reader).await, Err("CachePurged".to_owned()));
}

#[tokio::test]
async fn a_newer_fill_takes_the_place_of_a_purged_one() {
    let harness = Harness::new();
    let old = harness.begin(&harness.cache.key("/a"), &[]).await;
    harness.purge(Everything, false);
    let mut new = harness.begin(&harness.cache.key("/a"), &[]).await;
    new.write_body(Bytes::from_static(b"new"), true)
        .await
        .unwrap();
    new.finish().await.unwrap();
    old.finish().await.unwrap();
    let (_, mut reader) = harness.lookup("/a").await.unwrap();
    assert_eq!(drain(&mut reader).await, Ok(b"new".to_vec()));
}

#[tokio::test]
async fn an_object_that_no_purge_could_find_is_not_cached() {
    let harness = Harness::new();
    let many: Vec<String> = (0..17).map(|n| format!("k{n}")).collect();
    let mut header = pingora_http::ResponseHeader::build(200, None).unwrap();
    header
        .insert_header("surrogate-key", many.join(" "))
        .unwrap();
    assert_eq!(harness.cache.may_fill(&header), Err("surrogate-keys"));
}

#[test]
fn a_configuration_out_of_range_is_named() {
    let error = EdgeCache::open(
        CacheConfig {
            memory_bytes: 1,
            ..small()
        },
        mcsp_runtime::ManualClock::new(0),
        &prometheus::Registry::new(),
    )
    .map(|_| ())
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cache: memory_bytes = 1: expected 262144 to 4398046511104"
    );
}
