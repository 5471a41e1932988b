//! How connections end.

use http::{Method, StatusCode};
use mcsp_edge_h2::CloseReason;

use crate::site::{BOUND, Talk};

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
