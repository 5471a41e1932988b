//! Purges, and fills and readers that cross them.

use std::time::Duration;

use bytes::Bytes;
use mcsp_edge_cache::engine::PurgeSelector::{
    ContentId, Everything, Key as OneKey, Prefix, SurrogateKey,
};
use mcsp_edge_cache::engine::{
    Cache, CacheConfig, Claim, FillError, Key, Lookup, MissReason, ReadError, Stored,
};

use crate::support::{Harness, any, drain, pattern, small, whole};

const KEYS: [&str; 4] = [
    "/media/ng/x/1",
    "/media/ng/x/2",
    "/media/ng/xy/1",
    "/media/global/z/1",
];

async fn filled() -> Harness {
    let harness = Harness::new();
    for key in KEYS {
        let tag = key.rsplit('/').nth(1).unwrap();
        let tags = format!("all t-{tag}");
        harness
            .store(key, key.as_bytes(), &[("surrogate-key", &tags)])
            .await;
    }
    harness
        .store("/art/1", b"", &[("surrogate-key", "x")])
        .await;
    harness
}

fn held(harness: &Harness) -> Vec<&'static str> {
    KEYS.into_iter()
        .chain(["/art/1"])
        .filter(|key| harness.hit(key).is_some())
        .collect()
}

#[tokio::test]
async fn each_selector_reaches_what_it_names_and_no_more() {
    let cases = [
        (OneKey(KEYS[0].into()), vec![1, 2, 3, 4]),
        (Prefix("/media/ng/x/".into()), vec![2, 3, 4]),
        (Prefix("/media/ng/".into()), vec![3, 4]),
        (SurrogateKey("t-xy".into()), vec![0, 1, 3, 4]),
        (SurrogateKey("all".into()), vec![4]),
        (SurrogateKey("none".into()), vec![0, 1, 2, 3, 4]),
        (SurrogateKey("x".into()), vec![0, 1, 2, 3]),
        (ContentId("x".into()), vec![2, 3]),
        (ContentId("xy".into()), vec![0, 1, 3, 4]),
        (Everything, vec![]),
    ];
    for (selector, left) in cases {
        let harness = filled().await;
        let all = held(&harness);
        let left: Vec<_> = left.into_iter().map(|index| all[index]).collect();
        let report = harness.purge(selector.clone(), false);
        assert_eq!(held(&harness), left, "{selector:?}");
        assert_eq!(report.objects, all.len() - left.len(), "{selector:?}");
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_a_later_revalidation_makes_fresh() {
    let harness = filled().await;
    let before = harness.cache.ticket();
    harness.purge(SurrogateKey("t-x".into()), true);
    let entity = harness.hit(KEYS[0]).expect("still there");
    let now = harness.cache.now_ms();
    assert!(entity.is_expired() && !entity.is_fresh(now));
    assert!(harness.hit(KEYS[2]).unwrap().is_fresh(now));
    // Asked for before the purge: what it says is out of date.
    let cache = &harness.cache;
    assert_eq!(
        cache.update_head(&entity, before, harness.head(&[])),
        Ok(false)
    );
    assert!(!entity.is_fresh(now));
    let newer = harness.head(&[("etag", "\"2\"")]);
    assert_eq!(cache.update_head(&entity, cache.ticket(), newer), Ok(true));
    assert!(entity.is_fresh(now));
    assert_eq!(
        harness.hit(KEYS[0]).unwrap().head().headers["etag"],
        "\"2\""
    );
}

#[tokio::test]
async fn an_unsafe_method_takes_away_what_is_stored() {
    let harness = filled().await;
    assert_eq!(harness.cache.invalidate(Key::new(KEYS[1])).objects, 1);
    assert!(harness.hit(KEYS[1]).is_none() && harness.hit(KEYS[0]).is_some());
}

#[tokio::test]
async fn what_a_soft_purge_reached_is_stale_since_then_however_often_it_is_purged_again() {
    let harness = filled().await;
    let entity = harness.hit(KEYS[0]).unwrap();
    assert_eq!(entity.expired_at_ms(), None);
    let purged_ms = harness.cache.now_ms();
    for _ in 0..3 {
        harness.purge(SurrogateKey("t-x".into()), true);
        assert_eq!(entity.expired_at_ms(), Some(purged_ms));
        harness.clock.advance(Duration::from_secs(3600));
    }
    let cache = &harness.cache;
    let head = harness.head(&[]);
    assert_eq!(cache.update_head(&entity, cache.ticket(), head), Ok(true));
    assert_eq!(entity.expired_at_ms(), None);
    harness.purge(SurrogateKey("t-x".into()), true);
    assert_eq!(entity.expired_at_ms(), Some(cache.now_ms()));
}

#[tokio::test]
async fn a_purge_during_a_fill_keeps_it_out() {
    for selector in [
        OneKey("/a".into()),
        Prefix("/".into()),
        SurrogateKey("s".into()),
        Everything,
    ] {
        for soft in [false, true] {
            let harness = Harness::new();
            let response = harness.whole(Some(4), &[("surrogate-key", "s")]);
            let mut filling = harness.lead("/a").begin(response).unwrap();
            filling.write(Bytes::from_static(b"ab")).await.unwrap();
            let reader = whole(&harness.hit("/a").unwrap());
            let report = harness.purge(selector.clone(), soft);
            assert_eq!(report.fills, 1);
            assert!(harness.hit("/a").is_none(), "newcomers do not join it");
            assert!(filling.is_superseded());
            if soft {
                // Those who read it go on; nobody else gets it.
                filling.write(Bytes::from_static(b"cd")).await.unwrap();
                assert_eq!(filling.complete(), Ok(Stored::Not));
                assert_eq!(drain(reader).await, Ok(b"abcd".to_vec()));
            } else {
                let written = filling.write(Bytes::from_static(b"cd")).await;
                assert_eq!(written, Err(FillError::Purged));
                assert_eq!(drain(reader).await, Err(ReadError::Purged));
            }
            assert!(harness.hit("/a").is_none(), "{selector:?}");
        }
    }
}

#[tokio::test]
async fn a_hard_purge_ends_those_who_wait_for_the_next_byte() {
    let harness = Harness::new();
    let _filling = harness.begin("/a", None);
    let reader = tokio::spawn(drain(whole(&harness.hit("/a").unwrap())));
    tokio::task::yield_now().await;
    harness.purge(OneKey("/a".into()), false);
    assert_eq!(reader.await.unwrap(), Err(ReadError::Purged));
}

#[tokio::test]
async fn readers_of_what_was_purged_get_no_further_wherever_it_is() {
    let harness = Harness::new();
    let body = pattern(600_000);
    harness.store("/stored", &body, &[]).await;
    let mut stored = whole(&harness.hit("/stored").unwrap());
    // One that is replaced, one that died: neither is stored nor in flight, but both are read.
    harness.store("/replaced", &body, &[]).await;
    let mut replaced = whole(&harness.hit("/replaced").unwrap());
    let known = harness.hit("/replaced").unwrap();
    let ticket = harness.cache.ticket();
    let key = Key::new("/replaced");
    let lead = crate::support::lead(harness.cache.join(key, &any(), ticket, Some(&known)));
    lead.begin(harness.whole(Some(0), &[]))
        .unwrap()
        .complete()
        .unwrap();
    let mut filling = harness.begin("/died", Some(600_000));
    filling
        .write(Bytes::copy_from_slice(&body[..400_000]))
        .await
        .unwrap();
    let mut died = whole(&harness.hit("/died").unwrap());
    drop(filling);
    for reader in [&mut stored, &mut replaced, &mut died] {
        assert!(reader.next().await.is_ok());
    }
    harness.purge(Everything, false);
    for reader in [&mut stored, &mut replaced, &mut died] {
        assert_eq!(reader.next().await, Err(ReadError::Purged));
        assert_eq!(reader.try_next(), None);
    }
    drop((stored, replaced, died, known));
    assert_eq!(harness.cache.used_bytes(), 0);
}

#[tokio::test]
async fn what_is_claimed_after_a_purge_does_not_bring_it_back() {
    let harness = Harness::new();
    drop(harness.begin("/a", Some(10)));
    let mut filling = harness.begin("/a", Some(10));
    filling.write(Bytes::from_static(b"01234")).await.unwrap();
    let entity = harness.hit("/a").unwrap();
    let reader = whole(&entity);
    drop(filling);
    let before = harness.cache.ticket();
    harness.purge(OneKey("/a".into()), true);
    let Claim::Lead(slice) = harness.cache.claim(&entity, 5..10, before) else {
        panic!("it is missing");
    };
    let mut filling = slice.begin(10).unwrap();
    assert!(harness.hit("/a").is_none());
    filling.write(Bytes::from_static(b"56789")).await.unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Not));
    assert_eq!(drain(reader).await, Ok(b"0123456789".to_vec()));
    assert!(harness.hit("/a").is_none());
}

#[tokio::test]
async fn a_fill_older_than_the_remembered_purges_is_taken_for_purged() {
    let harness = Harness::new();
    let ticket = harness.cache.ticket();
    for n in 0..70_000 {
        harness.purge(OneKey(format!("/other/{n}").into()), false);
    }
    let key = Key::new("/a");
    let lead = crate::support::lead(harness.cache.join(key, &any(), ticket, None));
    let filling = lead.begin(harness.whole(Some(0), &[])).unwrap();
    assert!(filling.is_superseded());
}

#[tokio::test]
async fn a_miss_says_why() {
    let harness = Harness::with(CacheConfig {
        variants_max: 1,
        ..small()
    });
    let why = |key| match harness.cache.lookup(Key::new(key), &any()) {
        Lookup::Miss(reason) => reason,
        found => panic!("{found:?}"),
    };
    assert_eq!(why("/never"), MissReason::NeverSeen);
    harness.store("/purged", b"", &[]).await;
    harness.purge(OneKey("/purged".into()), false);
    assert_eq!(why("/purged"), MissReason::Purged);
    harness.lead("/private").not_shareable("private", false);
    assert_eq!(why("/private"), MissReason::NotShareable);
    harness.store("/evicted", &[0; 1000], &[]).await;
    for n in 0..12 {
        harness.store(&format!("/{n}"), &[0; 1 << 20], &[]).await;
    }
    assert_eq!(why("/evicted"), MissReason::Evicted);
    let inspection = harness.cache.inspect(Key::new("/evicted"), &any()).await;
    assert_eq!(inspection.missed, Some(MissReason::Evicted));
    assert!(inspection.variants.is_empty());
}

#[tokio::test]
async fn an_inspection_tells_what_is_held() {
    let harness = Harness::new();
    harness
        .store("/a", b"0123456789", &[("cache-tag", "t1,t2")])
        .await;
    let inspection = harness.cache.inspect(Key::new("/a"), &any()).await;
    assert_eq!(inspection.missed, None);
    let [variant] = inspection.variants.as_slice() else {
        panic!("{inspection:?}");
    };
    assert_eq!((variant.state, variant.status), ("fresh", 200));
    assert_eq!(variant.total_bytes, Some(10));
    assert_eq!(variant.surrogate_keys, ["t1", "t2"]);
    let _filling = harness.begin("/b", None);
    assert_eq!(
        harness.cache.inspect(Key::new("/b"), &any()).await.variants[0].state,
        "filling"
    );
}

#[test]
fn a_configuration_out_of_range_is_named() {
    let config = CacheConfig {
        memory_bytes: 1,
        ..small()
    };
    let clock = mcsp_runtime::ManualClock::new(0);
    let error = Cache::open(config, clock, &prometheus::Registry::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cache: memory_bytes = 1: expected 8388608 to 4398046511104"
    );
}

#[tokio::test]
async fn an_unsafe_request_takes_from_newcomers_and_not_from_readers() {
    let harness = Harness::new();
    harness.store("http://a/stored", b"stored", &[]).await;
    let stored = harness.hit("http://a/stored").unwrap();
    let mut of_stored = whole(&stored);
    let mut filling = harness.begin("http://a/filled", Some(6));
    let before = harness.cache.ticket();
    filling.write(Bytes::from_static(b"fil")).await.unwrap();
    let of_filled = whole(&harness.hit("http://a/filled").unwrap());
    for key in ["http://a/stored", "http://a/filled"] {
        harness.cache.invalidate(Key::new(key));
        assert!(harness.hit(key).is_none(), "{key}");
    }
    assert_eq!(of_stored.next().await.unwrap().unwrap(), "stored");
    filling.write(Bytes::from_static(b"led")).await.unwrap();
    assert_eq!(drain(of_filled).await.unwrap(), b"filled");
    // What was asked for before is not kept, and not brought back.
    assert_eq!(filling.complete(), Ok(Stored::Not));
    assert!(harness.hit("http://a/filled").is_none());
    let head = harness.head(&[]);
    assert_eq!(harness.cache.update_head(&stored, before, head), Ok(false));
    // The feed's word ends what an unsafe request spared.
    let mut late = whole(&stored);
    harness.purge(Everything, false);
    assert_eq!(late.next().await, Err(ReadError::Purged));
}
