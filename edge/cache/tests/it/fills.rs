//! A fill that dies never looks complete and is never stored; everyone reads it at their own pace.

use bytes::Bytes;
use futures::future::join_all;
use mcsp_edge_cache::engine::{
    CacheConfig, Claim, FillError, Key, Lookup, MissReason, ReadError, Refused, Stored,
};

use crate::support::{CHUNK, Harness, any, assert_read, drain, pattern, read_on, small, whole};

#[tokio::test]
async fn readers_join_at_header_time_and_get_every_byte() {
    let harness = Harness::new();
    let body = pattern(700_000);
    let mut filling = harness.begin("/a", Some(body.len()));
    let readers: Vec<_> = (0..20)
        .map(|_| drain(whole(&harness.hit("/a").expect("visible at once"))))
        .collect();
    let write = async {
        for piece in body.chunks(33_333) {
            filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
            tokio::task::yield_now().await;
        }
        filling.complete().unwrap()
    };
    let (bodies, stored) = tokio::join!(join_all(readers), write);
    assert_eq!(stored, Stored::Complete);
    assert!(bodies.iter().all(|read| read.as_ref() == Ok(&body)));
    let entity = harness.hit("/a").unwrap();
    assert!(entity.is_complete() && !entity.is_filling());
    let lengths: Vec<_> = entity
        .body_bytes()
        .unwrap()
        .iter()
        .map(Bytes::len)
        .collect();
    assert_eq!(lengths, [CHUNK, CHUNK, 700_000 - 2 * CHUNK]);
    assert_eq!(entity.body_bytes().unwrap().concat(), body);
    assert_eq!(harness.counter("mcsp_cache_fills_total", "complete"), 1);
}

#[tokio::test]
async fn a_dropped_writer_is_a_hole_to_every_reader_and_leaves_nothing() {
    let harness = Harness::new();
    let mut filling = harness.begin("/a", Some(10));
    filling.write(Bytes::from_static(b"half")).await.unwrap();
    let entity = harness.hit("/a").unwrap();
    let mut early = whole(&entity);
    assert_eq!(early.next().await.unwrap().as_deref(), Some(&b"half"[..]));
    let late = whole(&entity);
    drop(filling);
    assert_eq!(early.next().await, Err(ReadError::Hole { at: 4 }));
    assert_eq!(drain(late).await, Err(ReadError::Hole { at: 4 }));
    assert!(!entity.is_complete());
    drop((early, entity));
    assert!(matches!(
        harness.cache.lookup(Key::new("/a"), &any()),
        Lookup::Miss(MissReason::FillFailed)
    ));
    assert_eq!(harness.cache.fill_bytes(), 0);
    assert_eq!(harness.cache.used_bytes(), 0);
    assert_eq!(harness.counter("mcsp_cache_fills_total", "aborted"), 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_that_breaks_off_has_no_end() {
    let harness = Harness::new();
    let mut filling = harness.begin("/a", None);
    filling.write(Bytes::from_static(b"half")).await.unwrap();
    let mut reader = whole(&harness.hit("/a").unwrap());
    filling.fail(FillError::Aborted);
    assert_eq!(reader.next().await.unwrap().as_deref(), Some(&b"half"[..]));
    assert_eq!(reader.next().await, Err(ReadError::Hole { at: 4 }));
    assert!(harness.hit("/a").is_none());
}

#[tokio::test]
async fn fewer_or_more_bytes_than_the_length_says_are_not_stored() {
    for (says, sends) in [(10usize, 9usize), (10, 11), (1, 0)] {
        let harness = Harness::new();
        let mut filling = harness.begin("/a", Some(says));
        let reader = whole(&harness.hit("/a").unwrap());
        let written = filling.write(Bytes::from(vec![7; sends])).await;
        let ended = match written {
            Ok(()) => filling.complete().map(|_| ()),
            Err(error) => Err(error),
        };
        let (expected, got) = (says as u64, sends as u64);
        assert_eq!(ended, Err(FillError::Length { expected, got }));
        assert!(matches!(drain(reader).await, Err(ReadError::Hole { .. })));
        assert!(harness.hit("/a").is_none());
    }
}

#[tokio::test]
async fn empty_bodies_and_unknown_lengths_are_complete_when_they_end() {
    let harness = Harness::new();
    harness.store("/empty", b"", &[]).await;
    let filling = harness.begin("/ends", None);
    assert_eq!(filling.complete(), Ok(Stored::Complete));
    let mut filling = harness.begin("/chunked", None);
    filling.write(Bytes::from(pattern(300_000))).await.unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Complete));
    for (key, body) in [
        ("/empty", vec![]),
        ("/ends", vec![]),
        ("/chunked", pattern(300_000)),
    ] {
        let entity = harness.hit(key).unwrap();
        assert!(entity.is_complete());
        assert_eq!(entity.total_len(), Some(body.len() as u64));
        assert_read(&drain(whole(&entity)).await, &body);
    }
}

#[tokio::test]
async fn a_body_that_drips_is_kept_in_large_chunks() {
    let harness = Harness::new();
    let body = pattern(CHUNK + 1000);
    let mut filling = harness.begin("/a", None);
    for piece in body.chunks(97) {
        filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    filling.complete().unwrap();
    let entity = harness.hit("/a").unwrap();
    assert_eq!(entity.body_bytes().unwrap().len(), 2);
    assert_eq!(entity.body_bytes().unwrap().concat(), body);
}

#[tokio::test(start_paused = true)]
async fn a_reader_does_not_wait_for_ever() {
    let harness = Harness::new();
    let _stalled = harness.begin("/a", None);
    let reader = whole(&harness.hit("/a").unwrap());
    assert_eq!(
        drain(reader).await,
        Err(ReadError::Stalled { waited_ms: 30_000 })
    );
}

#[tokio::test]
async fn what_is_too_large_or_does_not_fit_is_refused_at_its_head() {
    let harness = Harness::with(CacheConfig {
        fill_bytes_max: 2 << 20,
        ..small()
    });
    let refused = |len: usize| harness.try_begin("/r", Some(len)).map(|_| ()).unwrap_err();
    assert_eq!(refused((2 << 20) + 1), Refused::TooLarge);
    let first = harness.begin("/a", Some(1 << 20));
    assert_eq!(refused((1 << 20) + 1), Refused::NoRoom);
    drop(first);
    assert_eq!(refused((2 << 20) + 1), Refused::TooLarge);
    drop(harness.begin("/b", Some(2 << 20)));
}

#[tokio::test]
async fn a_body_that_outgrows_the_cache_streams_through_a_window() {
    let harness = Harness::new();
    let body = pattern(5 << 20);
    let mut filling = harness.begin("/big", None);
    let entity = harness.hit("/big").unwrap();
    let readers: Vec<_> = (0..3).map(|_| drain(whole(&entity))).collect();
    let write = async {
        for piece in body.chunks(40_000) {
            filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
            assert!(harness.cache.used_bytes() < 4 << 20);
        }
        assert!(filling.is_streaming());
        filling.complete().unwrap()
    };
    let (bodies, stored) = tokio::join!(join_all(readers), write);
    assert!(bodies.iter().all(|read| read.as_ref() == Ok(&body)));
    assert_eq!(stored, Stored::Not);
    assert!(harness.hit("/big").is_none(), "newcomers find nothing");
    drop(entity);
    assert_eq!(harness.cache.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_holds_up_a_stream_is_left_behind() {
    let harness = Harness::new();
    let mut filling = harness.begin("/big", None);
    let entity = harness.hit("/big").unwrap();
    let mut stuck = whole(&entity);
    let quick = drain(whole(&entity));
    let body = pattern(3 << 20);
    let write = async {
        for piece in body.chunks(40_000) {
            filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        filling.complete().unwrap()
    };
    let (read, _) = tokio::join!(quick, write);
    assert_read(&read, &body);
    assert!(matches!(
        read_on(&mut stuck).await,
        Err(ReadError::Hole { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_ends() {
    let harness = Harness::new();
    let mut filling = harness.begin("/big", None);
    let mut ended = Ok(());
    for _ in 0..100 {
        ended = filling.write(Bytes::from(vec![0; 40_000])).await;
        if ended.is_err() {
            break;
        }
    }
    assert_eq!(ended, Err(FillError::Abandoned));
    drop(filling);
    assert_eq!(harness.cache.used_bytes(), 0);
}

#[tokio::test]
async fn another_upstream_goes_on_where_a_fill_died() {
    let harness = Harness::new();
    let body = pattern(600_000);
    let mut filling = harness.begin("/a", Some(body.len()));
    filling
        .write(Bytes::copy_from_slice(&body[..100_001]))
        .await
        .unwrap();
    let entity = harness.hit("/a").unwrap();
    let mut readers: Vec<_> = (0..3).map(|_| whole(&entity)).collect();
    filling.fail(FillError::Aborted);
    let mut bodies = vec![Vec::new(); 3];
    for (reader, body) in readers.iter_mut().zip(&mut bodies) {
        while let Ok(Some(piece)) = reader.next().await {
            body.extend_from_slice(&piece);
        }
        assert_eq!(reader.next().await, Err(ReadError::Hole { at: 100_001 }));
    }
    // The first asks for the rest, the others see that it does.
    let at = 100_001..600_000;
    let Claim::Lead(slice) = harness
        .cache
        .claim(&entity, at.clone(), harness.cache.ticket())
    else {
        panic!("nobody is at it");
    };
    assert!(matches!(
        harness
            .cache
            .claim(&entity, at.clone(), harness.cache.ticket()),
        Claim::Follow
    ));
    assert_eq!(slice.range(), at);
    let mut filling = slice.begin(600_000).unwrap();
    assert!(harness.hit("/a").is_some(), "newcomers read it again");
    let write = async {
        for piece in body[100_001..].chunks(70_000) {
            filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
            tokio::task::yield_now().await;
        }
        filling.complete().unwrap()
    };
    let read = async {
        for (reader, body) in readers.iter_mut().zip(&mut bodies) {
            body.extend_from_slice(&read_on(reader).await.unwrap());
        }
    };
    let (stored, ()) = tokio::join!(write, read);
    assert_eq!(stored, Stored::Complete);
    assert!(bodies.iter().all(|read| *read == body));
    assert_read(&drain(whole(&harness.hit("/a").unwrap())).await, &body);
}

#[tokio::test]
async fn another_representation_does_not_go_on_where_a_fill_died() {
    let harness = Harness::new();
    let filling = harness.begin("/a", Some(1000));
    let entity = harness.hit("/a").unwrap();
    let mut reader = whole(&entity);
    drop(filling);
    let claim = || {
        harness
            .cache
            .claim(&entity, 0..1000, harness.cache.ticket())
    };
    let Claim::Lead(slice) = claim() else {
        panic!("nobody is at it");
    };
    assert_eq!(slice.begin(1001).map(|_| ()), Err(Refused::Mismatch));
    assert!(entity.is_withdrawn());
    assert_eq!(reader.next().await, Err(ReadError::Hole { at: 0 }));
}
