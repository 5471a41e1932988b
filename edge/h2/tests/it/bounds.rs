//! What clients cannot make the server do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use mcsp_edge_h2::{CloseReason, MALFORMED_MAX, Refusal};

use crate::site::{BOUND, Talk, limits};

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, wait)
        .await
        .expect("it comes to that");
}

/// CVE-2023-44487: what is reset makes room for another stream, but not for another handler.
#[tokio::test]
async fn a_client_that_resets_what_it_asks_for_has_no_more_handlers_than_streams() {
    let mut talk = Talk::new(65_535).await;
    let streams_max = limits().streams_max as usize;
    for _ in 0..500 {
        let mut client = talk.client.clone().ready().await.unwrap();
        let request = Request::get("https://a.example/deaf").body(()).unwrap();
        let Ok((_, mut stream)) = client.send_request(request, false) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
        // Goes out before the next, so that the server does not see them as one.
        tokio::task::yield_now().await;
    }
    assert!(talk.site.running_max.load(Ordering::SeqCst) <= streams_max);
    // Either it was told that there is no more room, or that it resets too much.
    if talk
        .get("/full/1")
        .await
        .is_ok_and(|(status, _)| status == StatusCode::OK)
    {
        assert!(talk.site.running.load(Ordering::SeqCst) < streams_max);
    }
}

#[tokio::test]
async fn a_handler_learns_that_its_client_is_gone() {
    let mut talk = Talk::new(65_535).await;
    let answer = talk.ask(Method::GET, "/wait");
    until(|| talk.site.running.load(Ordering::SeqCst) == 1).await;
    drop(answer);
    until(|| talk.site.gone.load(Ordering::SeqCst) == 1).await;
    assert!(talk.get("/full/1").await.is_ok());
}

#[tokio::test]
async fn malformed_requests_are_refused_and_many_of_them_end_the_connection() {
    let mut talk = Talk::new(65_535).await;
    let mut refused = 0;
    for number in 0..MALFORMED_MAX {
        // A good one in between does not make up for it.
        if number < 4 {
            assert!(talk.get("/full/1").await.is_ok());
        }
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(http::uri::Scheme::HTTPS);
        uri.authority = Some("a.example".parse().unwrap());
        uri.path_and_query = Some("*".parse().unwrap());
        let uri = http::Uri::from_parts(uri).unwrap();
        let request = Request::get(uri).body(()).unwrap();
        let Ok(mut client) = talk.client.clone().ready().await else {
            break;
        };
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = tokio::time::timeout(BOUND, answer).await.unwrap();
        if answer.is_ok_and(|answer| answer.status() == StatusCode::BAD_REQUEST) {
            refused += 1;
        }
    }
    let site = std::sync::Arc::clone(&talk.site);
    assert_eq!(talk.end().await.reason, CloseReason::Malformed);
    assert!(refused >= MALFORMED_MAX - 1, "{refused}");
    let refusals = site.refused.lock();
    assert!(refusals.iter().all(|refusal| *refusal == Refusal::Path));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_what_it_asked_for_is_cut_off() {
    // A window of nothing: small answers wait here, without a handler.
    let mut talk = Talk::new(0).await;
    let answers: Vec<_> = (0..4)
        .map(|_| talk.ask(Method::GET, "/full/1000"))
        .collect();
    let closed = tokio::time::timeout(BOUND, talk.served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(closed.reason, CloseReason::TooSlow);
    drop(answers);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_that_is_not_taken_ends_with_its_deadline() {
    let mut talk = Talk::new(0).await;
    let answer = talk.ask(Method::GET, "/full/1000000");
    until(|| talk.site.running.load(Ordering::SeqCst) == 1).await;
    let mut body = answer.await.unwrap().into_body();
    let cut = tokio::time::timeout(BOUND, body.data()).await.unwrap();
    assert!(cut.is_none_or(|data| data.is_err()));
    until(|| talk.site.running.load(Ordering::SeqCst) == 0).await;
}

/// What a client takes of `/full/100000` that gives room for no more than `bytes` a second.
async fn taken_at(bytes: u32) -> Result<usize, h2::Error> {
    let mut talk = Talk::new(bytes).await;
    let mut body = talk.ask(Method::GET, "/full/100000").await?.into_body();
    let mut taken = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        taken += piece.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(taken)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_an_answer_byte_by_byte_is_cut_off() {
    let slow = tokio::time::timeout(BOUND * 2, taken_at(1)).await;
    assert!(slow.expect("it is not let go on").is_err());
    // Slow, but above the least.
    assert_eq!(taken_at(2_000).await.unwrap(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_does_not_come_is_not_waited_for() {
    let site = std::sync::Arc::<crate::site::Site>::default();
    for words in [&b""[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, words)
            .await
            .unwrap();
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let limits = limits();
        let served = mcsp_edge_h2::serve_connection(Box::new(ours), &limits, &site, stopped);
        let closed = tokio::time::timeout(BOUND, served).await.unwrap();
        assert_eq!(closed.reason, CloseReason::Preface);
    }
}

/// Those that are answered as requests, those that are reset as what was wrong with them.
#[tokio::test]
async fn who_looks_for_what_is_hostile_is_told_of_what_is_refused() {
    let mut talk = Talk::new(65_535).await;
    let send = |uri: &str, length: Option<&str>| {
        let mut request = Request::get(uri);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        request.body(()).unwrap()
    };
    for (request, is_answered) in [
        (send("https://a.example/p", Some("x")), true),
        (send("https://a.example/p", Some("7")), false),
        (send("https://a.example/p", Some("8")), false),
    ] {
        let (answer, _) = talk.client.send_request(request, true).unwrap();
        let answer = tokio::time::timeout(BOUND, answer).await.unwrap();
        match answer {
            Ok(answer) => assert!(is_answered && answer.status() == StatusCode::BAD_REQUEST),
            Err(error) => {
                assert!(!is_answered && error.reason() == Some(h2::Reason::PROTOCOL_ERROR));
            }
        }
    }
    assert!(talk.get("/full/1").await.is_ok(), "the connection goes on");
    let why = "less data than content-length says";
    assert_eq!(*talk.site.told.lock(), ["GET /p", why, why]);
    let refused = [
        Refusal::ContentLength,
        Refusal::Malformed,
        Refusal::Malformed,
    ];
    assert_eq!(*talk.site.refused.lock(), refused);
}
