//! Ranges of whole bodies, of fills in flight, and of bodies that are stored in part.

use std::sync::Arc;

use bytes::Bytes;
use mcsp_edge_cache::engine::{Claim, ReadError, Stored};
use mcsp_runtime::{Entropy, SeededEntropy};

use crate::support::{CHUNK, Harness, drain, pattern};

#[tokio::test]
async fn any_range_of_a_whole_body() {
    let harness = Harness::new();
    let body = pattern(3 * CHUNK + 17);
    harness.store("/a", &body, &[]).await;
    let entity = harness.hit("/a").unwrap();
    for (start, end) in [
        (0, 1),
        (0, body.len()),
        (CHUNK - 1, CHUNK + 1),
        (body.len() - 1, body.len()),
        (500_000, 10 * body.len()),
        (body.len(), body.len() + 5),
        (7, 7),
    ] {
        let read = drain(entity.reader(start as u64..end as u64))
            .await
            .unwrap();
        let wanted = &body[start.min(body.len())..end.min(body.len())];
        assert_eq!(read, wanted, "{start}..{end}");
    }
}

#[tokio::test]
async fn a_range_of_a_fill_waits_for_its_own_bytes_only() {
    let harness = Harness::new();
    let mut filling = harness.begin("/a", Some(30));
    let entity = harness.hit("/a").unwrap();
    let read = tokio::spawn(drain(entity.reader(10..15)));
    filling
        .write(Bytes::from_static(b"0123456789"))
        .await
        .unwrap();
    filling
        .write(Bytes::from_static(b"abcdefghij"))
        .await
        .unwrap();
    // The fill is not over, but the range is.
    assert_eq!(read.await.unwrap(), Ok(b"abcde".to_vec()));
}

#[tokio::test]
async fn a_range_of_a_cold_body_does_not_wait_for_what_is_before_it() {
    let harness = Harness::new();
    let body = pattern(1_500_000);
    let at = 1_000_000;
    let (start, end) = (at / CHUNK * CHUNK, (at / CHUNK + 1) * CHUNK);
    let part = harness.part(start, end, body.len());
    let mut filling = harness.lead("/film").begin(part).unwrap();
    let entity = harness.hit("/film").unwrap();
    filling
        .write(Bytes::copy_from_slice(&body[start..end]))
        .await
        .unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Part));
    let entity_again = harness.hit("/film").unwrap();
    assert_eq!(entity_again.id(), entity.id());
    assert!(!entity.is_complete());
    assert_eq!(entity.held_bytes(), CHUNK as u64);
    let wanted = at as u64..at as u64 + 10;
    assert!(entity.holds(&wanted));
    assert_eq!(
        drain(entity.reader(wanted)).await.unwrap(),
        body[at..at + 10]
    );
    assert_eq!(
        drain(entity.reader(0..10)).await,
        Err(ReadError::Hole { at: 0 }),
        "what is not there is never mistaken for the end"
    );
}

#[tokio::test]
async fn slices_that_meet_make_a_whole() {
    let harness = Harness::new();
    let body = pattern(5 * CHUNK + 99);
    let last = 5 * CHUNK..body.len();
    let part = harness.part(last.start, last.end, body.len());
    let mut filling = harness.lead("/a").begin(part).unwrap();
    filling
        .write(Bytes::copy_from_slice(&body[last]))
        .await
        .unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Part));
    let entity = harness.hit("/a").unwrap();
    let ticket = harness.cache.ticket();
    let mut stored = Stored::Part;
    for wanted in [CHUNK as u64 + 5..CHUNK as u64 + 6, 0..u64::MAX, 0..u64::MAX] {
        let Claim::Lead(slice) = harness.cache.claim(&entity, wanted, ticket) else {
            panic!("it is missing");
        };
        let range = slice.range();
        assert_eq!(range.start % CHUNK as u64, 0);
        let mut filling = slice.begin(body.len() as u64).unwrap();
        let piece = &body[range.start as usize..range.end as usize];
        filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
        stored = filling.complete().unwrap();
    }
    assert_eq!(stored, Stored::Complete);
    assert!(matches!(
        harness.cache.claim(&entity, 0..u64::MAX, ticket),
        Claim::Held
    ));
    let entity = harness.hit("/a").unwrap();
    assert!(entity.is_complete());
    assert_eq!(entity.body_bytes().unwrap().concat(), body);
    assert_eq!(entity.body_bytes().unwrap().len(), 6);
}

#[tokio::test]
async fn a_slice_that_dies_leaves_its_hole_and_what_else_there_was() {
    let harness = Harness::new();
    let body = pattern(3 * CHUNK);
    let mut filling = harness
        .lead("/a")
        .begin(harness.part(0, CHUNK, body.len()))
        .unwrap();
    filling
        .write(Bytes::copy_from_slice(&body[..CHUNK]))
        .await
        .unwrap();
    filling.complete().unwrap();
    let entity = harness.hit("/a").unwrap();
    let wanted = 2 * CHUNK as u64..3 * CHUNK as u64;
    let Claim::Lead(slice) = harness
        .cache
        .claim(&entity, wanted.clone(), harness.cache.ticket())
    else {
        panic!("it is missing");
    };
    let mut reader = entity.reader(wanted.clone());
    let mut filling = slice.begin(body.len() as u64).unwrap();
    filling.write(Bytes::from_static(b"xx")).await.unwrap();
    drop(filling);
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 2);
    assert_eq!(
        reader.next().await,
        Err(ReadError::Hole {
            at: wanted.start + 2
        })
    );
    let entity = harness.hit("/a").expect("still stored in part");
    assert_eq!(
        drain(entity.reader(0..CHUNK as u64)).await.unwrap(),
        body[..CHUNK]
    );
}

#[tokio::test]
async fn a_part_outside_of_the_whole_is_refused() {
    let harness = Harness::new();
    for (start, end, total) in [(5, 5, 10), (6, 5, 10), (0, 11, 10)] {
        let part = harness.part(start, end, total);
        assert!(harness.lead("/a").begin(part).is_err());
    }
}

#[tokio::test]
async fn what_a_fill_brings_late_may_be_brought_before_it() {
    let harness = Harness::new();
    let body = pattern(7 * CHUNK + 5);
    let total = body.len() as u64;
    let far = CHUNK as u64;
    let piece = |start: usize, end: usize| Bytes::copy_from_slice(&body[start..end]);
    let mut filling = harness.begin("/a", Some(body.len()));
    let entity = harness.hit("/a").unwrap();
    filling.write(piece(0, 100)).await.unwrap();
    let at = 4 * CHUNK as u64 + 7;
    let claim = |wanted: u64| {
        let ticket = harness.cache.ticket();
        harness
            .cache
            .claim_far(&entity, wanted..wanted + 2 * far, far, ticket)
    };
    assert!(!entity.reader(50..60).is_far(far) && !entity.reader(100 + far..total).is_far(far));
    assert!(matches!(claim(50), Claim::Follow | Claim::Held));
    assert!(matches!(claim(100 + far), Claim::Follow));
    let mut reader = entity.reader(at..at + 10);
    assert!(reader.is_far(far));
    let Claim::Lead(slice) = claim(at) else {
        panic!("it is far");
    };
    let range = slice.range();
    assert_eq!(range, 4 * far..7 * far);
    assert!(!reader.is_far(far), "somebody is at it");
    assert!(matches!(claim(at), Claim::Follow));
    let mut ahead = slice.begin(total).unwrap();
    ahead.write(piece(4 * CHUNK, 7 * CHUNK)).await.unwrap();
    let got = reader.next().await.unwrap().unwrap();
    assert_eq!(got, body[at as usize..at as usize + 10]);
    assert_eq!(ahead.complete(), Ok(Stored::Part));
    // What comes twice is taken once.
    filling.write(piece(100, 5 * CHUNK)).await.unwrap();
    assert_eq!(entity.held_bytes(), 7 * far);
    let Claim::Lead(slice) = claim(7 * far) else {
        panic!("it is far");
    };
    let mut end = slice.begin(total).unwrap();
    end.write(piece(7 * CHUNK, body.len())).await.unwrap();
    assert_eq!(end.complete(), Ok(Stored::Complete));
    assert!(entity.is_complete());
    filling.write(piece(5 * CHUNK, 6 * CHUNK)).await.unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Complete), "others did it");
    let entity = harness.hit("/a").unwrap();
    assert_eq!(entity.body_bytes().unwrap().concat(), body);
    drop(entity);
    assert_eq!(harness.cache.fill_bytes(), 0);
}

/// Writers of all kinds of ranges at once, and readers of others: what is read is right, and in the end all is there.
#[tokio::test]
async fn any_order_of_slices_gives_the_same_body() {
    for seed in 0..60 {
        let random = SeededEntropy::new(seed);
        let roll = |n: u64| random.next_u64() % n;
        let harness = Harness::new();
        let body = pattern(CHUNK + roll(5 * CHUNK as u64) as usize);
        let total = body.len() as u64;
        let first = roll(total);
        let part = harness.part(
            first as usize,
            (first + 1 + roll(total - first)) as usize,
            body.len(),
        );
        let mut writing = vec![harness.lead("/a").begin(part).unwrap()];
        let entity = harness.hit("/a").unwrap();
        let mut is_whole = false;
        for _ in 0..10_000 {
            match roll(4) {
                0 if writing.len() < 4 => {
                    let start = roll(total);
                    let range = start..start + roll(total);
                    let ticket = harness.cache.ticket();
                    let claimed = if roll(3) == 0 {
                        harness.cache.claim_far(&entity, range, 1000, ticket)
                    } else {
                        harness.cache.claim(&entity, range, ticket)
                    };
                    if let Claim::Lead(slice) = claimed {
                        writing.push(slice.begin(total).unwrap());
                    }
                }
                1 => {
                    let start = roll(total);
                    let mut reader = entity.reader(start..start + roll(total));
                    while let Some(piece) = reader.try_next() {
                        let end = reader.position() as usize;
                        assert_eq!(piece, body[end - piece.len()..end], "seed {seed}");
                    }
                }
                _ if writing.is_empty() => {}
                _ => {
                    let index = roll(writing.len() as u64) as usize;
                    let mut filling = writing.swap_remove(index);
                    let at = filling.position() as usize;
                    if roll(30) == 0 {
                        drop(filling);
                        continue;
                    }
                    let end =
                        at + (roll(200_000) as usize).min(end_of(&filling, total) as usize - at);
                    filling
                        .write(Bytes::copy_from_slice(&body[at..end]))
                        .await
                        .unwrap();
                    let has_more = filling.position() < end_of(&filling, total);
                    if has_more && !entity.is_complete() {
                        writing.push(filling);
                    } else if filling.complete().unwrap() == Stored::Complete {
                        is_whole = true;
                        break;
                    }
                }
            }
        }
        assert!(is_whole, "seed {seed}: the slices never met");
        let entity = harness.hit("/a").unwrap();
        assert_eq!(entity.body_bytes().unwrap().concat(), body, "seed {seed}");
        drop((writing, entity));
        assert_eq!(harness.cache.fill_bytes(), 0, "seed {seed}");
    }
}

fn end_of(filling: &mcsp_edge_cache::engine::Filling, total: u64) -> u64 {
    filling.end().unwrap_or(total)
}

#[tokio::test]
async fn a_fill_speaks_for_its_own_bytes_only() {
    let harness = Harness::new();
    let mut filling = harness
        .lead("/a")
        .begin(harness.part(CHUNK, 2 * CHUNK, 3 * CHUNK))
        .unwrap();
    let entity = Arc::clone(filling.entity());
    let at = |chunk: u64| chunk * CHUNK as u64;
    filling.write(Bytes::from(vec![1; 100])).await.unwrap();
    assert!(entity.is_filling());
    assert!(entity.is_coming(&(at(1)..at(2))));
    for missing in [0..1, at(1)..at(2) + 1, at(2)..at(3), 0..u64::MAX] {
        assert!(!entity.is_coming(&missing), "{missing:?}");
    }
    drop(filling);
    assert!(entity.is_coming(&(at(1)..at(1) + 100)));
    assert!(!entity.is_coming(&(at(1)..at(2))));
}
