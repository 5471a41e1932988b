//! How connections end.

use http::{Method, StatusCode};
use mcsp_edge_h2::CloseReason;
use tokio::sync::Semaphore;

use crate::conformance::{
    DATA, GOAWAY, HEADERS, PING, PREFACE, PROTOCOL, Raw, SETTINGS, Seen, frame, get, half_closed,
    open,
};
use crate::site::{BOUND, Site, Talk};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    let mut talk = Talk::new(65_535).await;
    assert!(talk.get("/full/1").await.is_ok());
    let served = tokio::time::timeout(BOUND * 10, talk.served).await;
    let closed = served.unwrap().unwrap();
    assert_eq!((closed.reason, closed.requests), (CloseReason::Idle, 1));
}

#[tokio::test]
async fn a_node_that_ends_answers_what_was_begun() {
    let mut talk = Talk::new(65_535).await;
    let waiting = talk.ask(Method::GET, "/wait");
    while talk.site.running.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    talk.stop.send_replace(true);
    talk.site.gate.notify_one();
    let answer = tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    let closed = tokio::time::timeout(BOUND, talk.served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(closed.reason, CloseReason::Stopped);
}

/// RFC 9113 section 6.8: what is sent before the client knows is answered, what comes after is not looked at.
#[tokio::test]
async fn a_node_that_ends_says_so_twice() {
    let mut raw = Raw::with(&[]).await;
    raw.send(&half_closed(1)).await;
    assert!(raw.round(*b"it began").await);
    raw.stop.send_replace(true);
    assert!(raw.until(|seen| seen.kind == GOAWAY).await);
    assert_eq!(
        raw.seen.last().unwrap().payload,
        b"\x7f\xff\xff\xff\0\0\0\0"
    );
    assert!(raw.until(|seen| (seen.kind, seen.flags) == (PING, 0)).await);
    let ping = raw.seen.last().unwrap().payload.clone();
    // Sent before that was read.
    raw.send(&get(3)).await;
    raw.send(&frame(PING, 1, 0, &ping)).await;
    let is_answer = |stream| move |seen: &Seen| (seen.kind, seen.stream) == (HEADERS, stream);
    assert!(
        raw.until(|seen| seen.kind == GOAWAY || is_answer(3)(seen))
            .await
    );
    assert!(
        raw.until(|seen| seen.kind == GOAWAY || is_answer(3)(seen))
            .await
    );
    let last = raw.seen.iter().rfind(|seen| seen.kind == GOAWAY).unwrap();
    assert_eq!(last.payload, b"\0\0\0\x03\0\0\0\0");
    assert!(raw.seen.iter().any(is_answer(3)));
    raw.send(&get(5)).await;
    // With a body, which is no fault either.
    raw.send(&open(7)).await;
    raw.send(&frame(0, 1, 7, b"body")).await;
    assert!(raw.round(*b"and then").await);
    raw.site.gate.notify_one();
    assert!(raw.until(is_answer(1)).await);
    assert!(!raw.until(|_| false).await);
    assert!(!raw.seen.iter().any(is_answer(5)));
    assert_eq!(
        raw.seen.iter().filter(|seen| seen.kind == GOAWAY).count(),
        2
    );
    assert_eq!(raw.leave().await.unwrap().reason, CloseReason::Stopped);
}

/// RFC 9113 section 6.8: a client that was told which stream is the last is never told of a later one, since it may have
/// asked for that elsewhere meanwhile.
#[tokio::test]
async fn the_last_stream_stays_the_last() {
    let mut raw = Raw::with(&[]).await;
    raw.send(&half_closed(1)).await;
    assert!(raw.round(*b"it began").await);
    raw.stop.send_replace(true);
    assert!(raw.until(|seen| (seen.kind, seen.flags) == (PING, 0)).await);
    let ping = raw.seen.last().unwrap().payload.clone();
    raw.send(&frame(PING, 1, 0, &ping)).await;
    // Passed over, and then a fault.
    raw.send(&get(3)).await;
    raw.send(&frame(DATA, 0, 0, b"")).await;
    assert!(!raw.until(|_| false).await);
    let told = raw.seen.iter().filter(|seen| seen.kind == GOAWAY);
    let told: Vec<_> = told
        .map(|seen| (seen.payload[..4].to_vec(), seen.code()))
        .collect();
    let last = |stream: u32| stream.to_be_bytes().to_vec();
    assert_eq!(
        told,
        [(last(u32::MAX >> 1), 0), (last(1), 0), (last(1), PROTOCOL)]
    );
}

/// RFC 9113 section 6.5.3.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_follow_settings_is_not_waited_for() {
    let mut raw = Raw::with(&[]).await;
    // Its handler is at work, so that nothing else is overdue.
    raw.send(&half_closed(1)).await;
    let ended = tokio::time::timeout(BOUND * 5, async {
        while !raw.served.is_finished() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    ended.await.unwrap();
    assert!(!raw.until(|_| false).await);
    let told = raw.seen.last().unwrap();
    assert_eq!((told.kind, told.code()), (GOAWAY, 4));
    assert_eq!(raw.leave().await.unwrap().reason, CloseReason::Protocol);
}

/// Whoever serves others besides says when a connection ends: until then it is not told and not closed, and what it has under
/// way is over all the same.
#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_it_is_its_turn() {
    let hello = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), half_closed(1)].concat();
    let fault = frame(DATA, 0, 0, b"");
    for (sent, reason, is_told) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            CloseReason::Preface,
            false,
        ),
        ([hello, fault].concat(), CloseReason::Protocol, true),
    ] {
        let ends = Some(Semaphore::new(0));
        let mut raw = Raw::silent(Site {
            ends,
            ..Site::default()
        });
        raw.send(&sent).await;
        let is_told_now = raw.until(|seen| seen.kind == GOAWAY);
        let early = tokio::time::timeout(BOUND / 12, is_told_now).await;
        assert!(early.is_err(), "{reason:?}: {early:?} before its turn");
        assert!(!raw.served.is_finished());
        assert_eq!(*raw.site.ending.lock(), [reason]);
        assert_eq!(
            raw.site.running.load(std::sync::atomic::Ordering::SeqCst),
            0
        );
        raw.site.ends.as_ref().unwrap().add_permits(1);
        let told = raw.until(|seen| seen.kind == GOAWAY).await;
        assert_eq!(told, is_told, "{reason:?}");
        assert!(!raw.until(|_| false).await);
        assert_eq!(raw.leave().await.unwrap().reason, reason);
    }
}

/// Every other way, too.
#[tokio::test(start_paused = true)]
async fn all_ends_are_announced() {
    let ended = async |mut talk: Talk, stops: bool| {
        assert!(talk.get("/full/1").await.is_ok());
        if stops {
            talk.stop.send_replace(true);
        }
        let site = std::sync::Arc::clone(&talk.site);
        let closed = tokio::time::timeout(BOUND * 10, talk.served).await;
        (site.ending.lock().clone(), closed.unwrap().unwrap().reason)
    };
    for (stops, reason) in [(false, CloseReason::Idle), (true, CloseReason::Stopped)] {
        let told = ended(Talk::new(65_535).await, stops).await;
        assert_eq!(told, (vec![reason], reason));
    }
    let mut talk = Talk::new(65_535).await;
    assert!(talk.get("/full/1").await.is_ok());
    let site = std::sync::Arc::clone(&talk.site);
    assert_eq!(talk.end().await.reason, CloseReason::Client);
    assert_eq!(*site.ending.lock(), [CloseReason::Client]);
}
