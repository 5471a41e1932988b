//! A fill that dies never looks complete and is never stored.

use bytes::Bytes;
use futures::future::join_all;
use mcsp_edge_cache::CacheConfig;
use pingora_cache::Storage as _;
use pingora_cache::trace::Span;

use crate::legacy::harness::{Harness, drain, length, small};

#[tokio::test]
async fn readers_join_a_fill_at_header_time_and_get_every_byte() {
    let harness = Harness::new();
    let mut writer = harness
        .begin(&harness.cache.key("/a"), &[length(3000)])
        .await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let (_, mut reader) = harness
            .lookup("/a")
            .await
            .expect("the fill is visible at once");
        readers.push(async move { drain(&mut reader).await });
    }
    let write = async {
        for byte in 0..3u8 {
            writer
                .write_body(Bytes::from(vec![byte; 1000]), byte == 2)
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
        writer.finish().await.unwrap();
    };
    let (bodies, ()) = tokio::join!(join_all(readers), write);
    let whole = [[0u8; 1000], [1; 1000], [2; 1000]].concat();
    assert!(bodies.iter().all(|body| body.as_ref() == Ok(&whole)));
    assert_eq!(harness.counter("mcsp_cache_fills_total", "admitted"), 1);
    assert_eq!(harness.counter("mcsp_cache_lookups_total", "fill"), 20);
}

#[tokio::test]
async fn a_dropped_writer_is_an_error_to_every_reader_and_leaves_nothing() {
    let harness = Harness::new();
    let mut writer = harness.begin(&harness.cache.key("/a"), &[]).await;
    writer
        .write_body(Bytes::from_static(b"half"), false)
        .await
        .unwrap();
    let (_, mut early) = harness.lookup("/a").await.unwrap();
    assert_eq!(
        early.read_body().await.unwrap().as_deref(),
        Some(&b"half"[..])
    );
    let (_, mut late) = harness.lookup("/a").await.unwrap();
    drop(writer);
    assert_eq!(drain(&mut early).await, Err("CacheFillFailed".to_owned()));
    assert_eq!(drain(&mut late).await, Err("CacheFillFailed".to_owned()));
    drop((early, late));
    assert!(harness.lookup("/a").await.is_none());
    assert_eq!(harness.cache.fill_bytes(), 0);
    assert_eq!(harness.counter("mcsp_cache_fills_total", "failed"), 1);
}

#[tokio::test]
async fn fewer_or_more_bytes_than_the_length_says_are_not_stored() {
    for (says, sends) in [(10, 9), (10, 11), (1, 0)] {
        let harness = Harness::new();
        let mut writer = harness
            .begin(&harness.cache.key("/a"), &[length(says)])
            .await;
        let (_, mut reader) = harness.lookup("/a").await.unwrap();
        writer
            .write_body(Bytes::from(vec![7; sends]), true)
            .await
            .unwrap();
        assert!(writer.finish().await.is_err(), "{says} {sends}");
        assert_eq!(drain(&mut reader).await, Err("CacheFillFailed".to_owned()));
        assert!(harness.lookup("/a").await.is_none());
    }
}

#[tokio::test]
async fn an_empty_body_is_complete() {
    let harness = Harness::new();
    harness.store("/empty", b"", &[length(0)]).await;
    let (_, mut reader) = harness.lookup("/empty").await.unwrap();
    assert_eq!(drain(&mut reader).await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_admitted_object_knows_its_length() {
    let harness = Harness::new();
    let chunked = ("transfer-encoding", "chunked".to_owned());
    harness.store("/a", &[1; 2500], &[chunked]).await;
    let (meta, mut reader) = harness.lookup("/a").await.unwrap();
    assert_eq!(meta.headers().get("content-length").unwrap(), "2500");
    assert!(!meta.headers().contains_key("transfer-encoding"));
    assert_eq!(drain(&mut reader).await, Ok(vec![1; 2500]));
}

#[tokio::test(start_paused = true)]
async fn a_reader_does_not_wait_for_ever() {
    let harness = Harness::new();
    let _stalled = harness.begin(&harness.cache.key("/a"), &[]).await;
    let (_, mut reader) = harness.lookup("/a").await.unwrap();
    assert_eq!(drain(&mut reader).await, Err("CacheFillStalled".to_owned()));
}

#[tokio::test]
async fn fills_are_bounded_in_size_and_in_sum() {
    let harness = Harness::with(CacheConfig {
        fill_bytes_max: 64 << 10,
        ..small()
    });
    let kib = |n: usize| Bytes::from(vec![0; n << 10]);
    let mut first = harness.begin(&harness.cache.key("/a"), &[]).await;
    first.write_body(kib(40), false).await.unwrap();
    let mut second = harness.begin(&harness.cache.key("/b"), &[]).await;
    assert!(
        second.write_body(kib(40), false).await.is_err(),
        "80 KiB do not fit in 64"
    );
    let refused = harness
        .cache
        .get_miss_handler(
            &harness.cache.key("/c"),
            &harness.meta(&[length(40 << 10)]),
            &Span::inactive().handle(),
        )
        .await;
    assert!(refused.is_err());
    assert!(
        first.write_body(kib(25), false).await.is_err(),
        "65 KiB are more than one object may have"
    );
}

#[tokio::test]
async fn memory_is_bounded_and_what_was_evicted_is_forgotten() {
    let harness = Harness::new();
    for n in 0..200 {
        harness
            .store(
                &format!("/evict/{n}"),
                &[0; 20_000],
                &[("surrogate-key", "all".to_owned())],
            )
            .await;
    }
    assert!(
        harness.cache.bytes() <= 1 << 20,
        "{}",
        harness.cache.bytes()
    );
    let report = harness.purge(
        mcsp_edge_cache::PurgeSelector::SurrogateKey("all".into()),
        false,
    );
    assert!((10..=52).contains(&report.objects), "{report:?}");
    assert_eq!(harness.cache.bytes(), 0);
}
