//! One fetch for many: who leads, who waits, and what they learn.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use mcsp_edge_cache::engine::{
    CacheConfig, FailureKind, FetchFailure, Follow, Followed, InVain, Join, Key, Lookup,
    NewResponse, PurgeSelector, Stored, Variant,
};

use crate::support::{Harness, any, drain, headers, lead, small, whole};

const LONG: Duration = Duration::from_secs(5);

fn join(harness: &Harness, key: &str) -> Join {
    harness
        .cache
        .join(Key::new(key), &any(), harness.cache.ticket(), None)
}

fn follow(harness: &Harness, key: &str) -> Follow {
    match join(harness, key) {
        Join::Follow(follow) => follow,
        Join::Lead(_) => panic!("there is a leader"),
    }
}

#[tokio::test]
async fn those_who_wait_get_the_head_when_it_comes_and_not_the_body() {
    let harness = Harness::new();
    let lead = harness.lead("/a");
    let waits: Vec<_> = (0..20)
        .map(|_| {
            let follow = follow(&harness, "/a");
            async move {
                match follow.wait(&any(), LONG).await {
                    Followed::Shared(entity) => entity,
                    other => panic!("{other:?}"),
                }
            }
        })
        .collect();
    let mut filling = lead.begin(harness.whole(Some(4), &[])).unwrap();
    // Not a byte of the body has come.
    let entities = join_all(waits).await;
    filling.write(Bytes::from_static(b"body")).await.unwrap();
    filling.complete().unwrap();
    for entity in entities {
        assert_eq!(drain(whole(&entity)).await, Ok(b"body".to_vec()));
    }
    assert_eq!(harness.counter("mcsp_cache_joins_total", "lead"), 1);
}

#[tokio::test]
async fn what_came_since_the_lookup_is_handed_over_at_once() {
    let harness = Harness::new();
    harness.store("/a", b"new", &[]).await;
    let Followed::Shared(entity) = follow(&harness, "/a").wait(&any(), LONG).await else {
        panic!("it is stored");
    };
    // But whoever wants to revalidate that very response leads.
    let known = Some(&entity);
    let lead = lead(
        harness
            .cache
            .join(Key::new("/a"), &any(), harness.cache.ticket(), known),
    );
    let waits = harness
        .cache
        .join(Key::new("/a"), &any(), harness.cache.ticket(), known);
    lead.share(&entity);
    let Join::Follow(waits) = waits else {
        panic!("somebody revalidates");
    };
    assert!(matches!(
        waits.wait(&any(), LONG).await,
        Followed::Shared(_)
    ));
}

#[tokio::test]
async fn a_leader_that_dies_or_may_not_share_says_so() {
    let harness = Harness::new();
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    drop(lead);
    assert!(matches!(waits.wait(&any(), LONG).await, Followed::AskAgain));
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    lead.not_shareable("private", false);
    assert!(matches!(
        waits.wait(&any(), LONG).await,
        Followed::NotShareable("private")
    ));
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    assert!(lead.begin(harness.whole(Some(1 << 30), &[])).is_err());
    assert!(matches!(
        waits.wait(&any(), LONG).await,
        Followed::NotShareable("too-large")
    ));
}

#[tokio::test]
async fn what_could_not_be_shared_is_not_waited_for_until_it_is_stored() {
    let harness = Harness::new();
    harness.lead("/a").not_shareable("private", true);
    let first = harness.lead("/a");
    let second = harness.lead("/a");
    drop(second);
    // One time it may be kept.
    let filling = first.begin(harness.whole(Some(0), &[])).unwrap();
    filling.complete().unwrap();
    harness.cache.invalidate(Key::new("/a"));
    let _first = harness.lead("/a");
    assert!(matches!(join(&harness, "/a"), Join::Follow(_)));
    // Nor is what is too large to be stored.
    let large = harness.lead("/b");
    assert!(large.begin(harness.whole(Some(1 << 30), &[])).is_err());
    let first = harness.lead("/b");
    let second = harness.lead("/b");
    drop((first, second));
}

#[tokio::test]
async fn what_is_lent_is_for_those_who_wait_and_nobody_else() {
    let harness = Harness::new();
    let lead = harness.lead("/a");
    let waits: Vec<_> = (0..3).map(|_| follow(&harness, "/a")).collect();
    let mut filling = lead.lend(harness.whole(Some(4), &[])).unwrap();
    assert!(filling.is_wanted(), "they have not come to read it");
    let found = harness.cache.lookup(Key::new("/a"), &any());
    assert!(matches!(found, Lookup::Miss(_)), "{found:?}");
    let newcomer = harness.lead("/a");
    let mut entities = Vec::new();
    for follow in waits {
        match follow.wait(&any(), LONG).await {
            Followed::Lent(entity) => entities.push(entity),
            other => panic!("{other:?}"),
        }
    }
    filling.write(Bytes::from_static(b"body")).await.unwrap();
    assert!(filling.is_wanted(), "they still have it");
    assert_eq!(filling.complete(), Ok(Stored::Not));
    for entity in entities {
        assert_eq!(drain(whole(&entity)).await, Ok(b"body".to_vec()));
    }
    assert!(harness.hit("/a").is_none());
    // Nor is it brought for nobody.
    let filling = newcomer.lend(harness.whole(Some(4), &[])).unwrap();
    assert!(!filling.is_wanted());
}

#[tokio::test]
async fn a_purge_reaches_what_is_lent() {
    let harness = Harness::new();
    let tagged = || harness.whole(Some(4), &[("surrogate-key", "t")]);
    let purge = || harness.purge(PurgeSelector::SurrogateKey("t".into()), false);
    // While it comes.
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    let mut filling = lead.lend(tagged()).unwrap();
    let Followed::Lent(entity) = waits.wait(&any(), LONG).await else {
        panic!("it is lent");
    };
    filling.write(Bytes::from_static(b"bo")).await.unwrap();
    purge();
    assert!(entity.is_purged());
    assert!(filling.write(Bytes::from_static(b"dy")).await.is_err());
    // And before its head, which tells that it is reached.
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    purge();
    let _filling = lead.lend(tagged()).unwrap();
    assert!(matches!(waits.wait(&any(), LONG).await, Followed::AskAgain));
}

/// RFC 9111 section 4.1: a variant that is in use is not lost to a crowd of others.
#[tokio::test]
async fn variants_that_are_asked_for_outlive_those_that_nobody_asks_for() {
    let harness = Harness::with(CacheConfig {
        variants_max: 4,
        ..small()
    });
    let key = Key::new("/a");
    let language = |n: u32| headers(&[("accept-language", &format!("l{n}"))]);
    let store = |n: u32| {
        let (cache, request) = (&harness.cache, language(n));
        let lead = lead(cache.join(key, &request, cache.ticket(), None));
        let variant = Variant::of([http::header::ACCEPT_LANGUAGE], &request);
        let response = NewResponse {
            variant,
            ..harness.whole(Some(0), &[])
        };
        lead.begin(response).unwrap().complete().unwrap();
    };
    let has = |n: u32| matches!(harness.cache.lookup(key, &language(n)), Lookup::Hit(_));
    store(0);
    for n in 1..100 {
        store(n);
        assert!(has(0) && has(n), "{n}");
    }
    assert!(!has(1));
}

#[tokio::test(start_paused = true)]
async fn waits_are_bounded_in_time_and_in_number() {
    let harness = Harness::with(CacheConfig {
        waiters_max: 2,
        ..small()
    });
    let _lead = harness.lead("/a");
    let first = follow(&harness, "/a");
    let second = follow(&harness, "/a");
    let third = follow(&harness, "/a");
    assert!(matches!(third.wait(&any(), LONG).await, Followed::TooMany));
    assert!(matches!(
        first.wait(&any(), LONG).await,
        Followed::TimedOut(_)
    ));
    drop(second);
    let again = follow(&harness, "/a");
    assert!(matches!(
        again.wait(&any(), LONG).await,
        Followed::TimedOut(_)
    ));
}

#[tokio::test]
async fn a_response_for_other_selecting_headers_is_not_shared() {
    let harness = Harness::new();
    let key = Key::new("/a");
    let english = headers(&[("accept-language", "en")]);
    let french = headers(&[("accept-language", "fr")]);
    let ticket = harness.cache.ticket();
    let lead = lead(harness.cache.join(key, &english, ticket, None));
    let Join::Follow(same) = harness.cache.join(key, &english, ticket, None) else {
        panic!("there is a leader");
    };
    let Join::Follow(other) = harness.cache.join(key, &french, ticket, None) else {
        panic!("nothing is known of what it varies by");
    };
    let mut response = harness.whole(Some(0), &[]);
    response.variant = Variant::of([http::header::ACCEPT_LANGUAGE], &english);
    let filling = lead.begin(response).unwrap();
    assert!(matches!(
        same.wait(&english, LONG).await,
        Followed::Shared(_)
    ));
    assert!(matches!(
        other.wait(&french, LONG).await,
        Followed::AskAgain
    ));
    filling.complete().unwrap();
    // Now it is known, and the two are fetched side by side.
    assert!(matches!(
        harness.cache.join(key, &french, ticket, None),
        Join::Lead(_)
    ));
}

#[tokio::test]
async fn nobody_waits_for_what_was_asked_for_before_a_purge() {
    for soft in [false, true] {
        for selector in [
            PurgeSelector::Key("/a".into()),
            PurgeSelector::Prefix("/".into()),
            PurgeSelector::Everything,
        ] {
            let harness = Harness::new();
            let old = harness.lead("/a");
            let before = follow(&harness, "/a");
            harness.purge(selector, soft);
            assert!(matches!(
                before.wait(&any(), LONG).await,
                Followed::AskAgain
            ));
            let new = harness.lead("/a");
            let after = follow(&harness, "/a");
            let filling = old.begin(harness.whole(Some(0), &[])).unwrap();
            assert!(filling.is_superseded());
            filling.complete().unwrap();
            assert!(harness.hit("/a").is_none());
            let _new = new.begin(harness.whole(Some(0), &[])).unwrap();
            assert!(matches!(
                after.wait(&any(), LONG).await,
                Followed::Shared(_)
            ));
        }
    }
}

#[tokio::test]
async fn a_purge_by_a_surrogate_key_that_comes_before_the_head_counts_when_the_head_names_it() {
    let harness = Harness::new();
    let lead = harness.lead("/a");
    let waits = follow(&harness, "/a");
    harness.purge(PurgeSelector::SurrogateKey("t".into()), false);
    let filling = lead
        .begin(harness.whole(Some(0), &[("surrogate-key", "s t")]))
        .unwrap();
    assert!(filling.is_superseded());
    assert!(matches!(waits.wait(&any(), LONG).await, Followed::AskAgain));
    filling.complete().unwrap();
    assert!(harness.hit("/a").is_none());
}

/// What one who waits in vain learns, and his part in what comes of it.
async fn in_vain(harness: &Harness, key: &str, wait_max: Duration) -> InVain {
    match follow(harness, key).wait(&any(), wait_max).await {
        Followed::Failed(_, in_vain) | Followed::TimedOut(in_vain) => in_vain,
        other => panic!("{other:?}"),
    }
}

fn join_again(harness: &Harness, key: &str, in_vain: &InVain) -> Option<Join> {
    let ticket = harness.cache.ticket();
    harness
        .cache
        .join_again(Key::new(key), &any(), ticket, None, in_vain)
}

const FAILURE: FetchFailure = FetchFailure {
    kind: FailureKind::Unusable,
    may_be_the_requests: true,
};

#[tokio::test]
async fn of_those_whose_fetch_failed_a_few_lead_in_turn_however_quickly_each_fails() {
    let harness = Harness::new();
    let lead = harness.lead("/a");
    let follows: Vec<_> = (0..50).map(|_| follow(&harness, "/a")).collect();
    lead.fail(FAILURE);
    let mut led = 0;
    for waits in follows {
        let Followed::Failed(failure, mut in_vain) = waits.wait(&any(), LONG).await else {
            panic!("it failed");
        };
        assert_eq!(failure, FAILURE);
        // Each comes after the one before has failed already.
        while let Some(joined) = join_again(&harness, "/a", &in_vain) {
            let Join::Lead(lead) = joined else {
                panic!("nobody is at it");
            };
            let waits = follow(&harness, "/a");
            lead.fail(FAILURE);
            if let Followed::Failed(_, again) = waits.wait(&any(), LONG).await {
                in_vain = again;
            }
            led += 1;
        }
    }
    assert_eq!(led, 2);
    // Newcomers are another crowd.
    let lead = harness.lead("/a");
    assert!(matches!(join(&harness, "/a"), Join::Follow(_)));
    drop(lead);
}

#[tokio::test(start_paused = true)]
async fn one_of_those_who_waited_long_enough_leads_for_newcomers_in_place_of_a_fetch_that_hangs() {
    let harness = Harness::new();
    let hanging = harness.lead("/a");
    let first = in_vain(&harness, "/a", LONG).await;
    let second = in_vain(&harness, "/a", LONG).await;
    let Some(Join::Lead(lead)) = join_again(&harness, "/a", &first) else {
        panic!("one may lead");
    };
    // The other waits for that one now, and so does who comes.
    let Some(Join::Follow(other)) = join_again(&harness, "/a", &second) else {
        panic!("there is another leader");
    };
    let newcomer = follow(&harness, "/a");
    let filling = lead.begin(harness.whole(Some(0), &[])).unwrap();
    assert!(matches!(
        other.wait(&any(), LONG).await,
        Followed::Shared(_)
    ));
    let newcomer = newcomer.wait(&any(), LONG).await;
    assert!(matches!(newcomer, Followed::Shared(_)));
    filling.complete().unwrap();
    // What hung comes to its end without harm.
    hanging.fail(FAILURE);
    let found = harness.cache.lookup(Key::new("/a"), &any());
    assert!(matches!(found, Lookup::Hit(_)));
}

#[tokio::test(start_paused = true)]
async fn where_all_hang_enough_have_led_after_a_few() {
    let harness = Harness::new();
    let mut hanging = vec![harness.lead("/a")];
    loop {
        let waited = in_vain(&harness, "/a", LONG).await;
        match join_again(&harness, "/a", &waited) {
            Some(Join::Lead(lead)) => hanging.push(lead),
            Some(Join::Follow(_)) => panic!("that one hangs"),
            None => break,
        }
    }
    assert_eq!(hanging.len(), 3);
}
