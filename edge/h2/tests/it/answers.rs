//! What clients get.

use http::{Method, StatusCode};
use mcsp_edge_h2::CloseReason;

use crate::site::{BOUND, Talk, bytes};

#[tokio::test]
async fn answers_are_whole_whatever_their_length_and_the_clients_window() {
    for window in [1, 100, 65_535, 1 << 20] {
        let mut talk = Talk::new(window).await;
        // Around what goes at once, a frame, and what is asked room for at a time.
        for length in [0, 1, 16_375, 16_376, 65_535, 65_536, 100_000, 3_000_000] {
            if window < 100 && length > 20_000 {
                continue;
            }
            let (status, body) = talk.get(&format!("/full/{length}")).await.unwrap();
            assert_eq!(status, StatusCode::OK);
            assert!(body == bytes(length), "{window} {length} {}", body.len());
        }
        assert_eq!(talk.end().await.reason, CloseReason::Client);
    }
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let mut talk = Talk::new(65_535).await;
    let answer = talk.ask(Method::HEAD, "/full/1000");
    let answer = tokio::time::timeout(BOUND, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["content-length"], "1000");
    assert!(answer.into_body().data().await.is_none());
}

#[tokio::test]
async fn interim_answers_come_before() {
    let mut talk = Talk::new(65_535).await;
    let mut answer = talk.ask(Method::GET, "/early");
    let hint = std::future::poll_fn(|context| answer.poll_informational(context));
    let hint = tokio::time::timeout(BOUND, hint)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(hint.status(), StatusCode::EARLY_HINTS);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_answer_that_is_not_finished_is_seen_to_be_cut() {
    let mut talk = Talk::new(65_535).await;
    let cut = talk.get("/short").await.unwrap_err();
    assert!(cut.is_reset(), "{cut}");
    let cut = talk.get("/none").await.unwrap_err();
    assert_eq!(cut.reason(), Some(h2::Reason::INTERNAL_ERROR));
    // The connection goes on.
    assert!(talk.get("/full/10").await.is_ok());
}

#[tokio::test]
async fn one_that_waits_keeps_nobody_waiting() {
    let mut talk = Talk::new(65_535).await;
    let waiting = talk.ask(Method::GET, "/wait");
    for _ in 0..20 {
        assert!(talk.get("/full/100000").await.is_ok());
    }
    talk.site.gate.notify_one();
    let answer = tokio::time::timeout(BOUND, waiting).await.unwrap();
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}
