//! Time, size and target are bounded.

use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_scenario::HttpVersion;
use mcsp_loadtest_wire::{Client, FailureKind, Link, Request, Tcp};
use tokio::time::Instant;

use crate::support::{TARGET, get, network, url, user};

#[tokio::test(start_paused = true)]
async fn a_target_outside_the_loopback_is_refused_before_anything_is_sent() {
    let mut client = Client::new(
        network(Arc::new(Tcp)),
        HttpVersion::H1,
        None,
        Link::unbounded(),
    );
    for target in [
        "http://192.0.2.1/a",
        "https://[2001:db8::1]/",
        "ftp://127.0.0.1/a",
    ] {
        let failure = get(&mut client, target).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{target}");
        assert!(!failure.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_late_a_body_that_pauses_and_a_deadline_are_timeouts() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n".to_vec();
    let silent = vec![vec![vec![(60_000, head.clone())]]];
    let failure = get(&mut user(silent), TARGET).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::HeadTimeout);
    assert_eq!(failure.times.first_byte_us, 0);

    let pausing = vec![vec![vec![(10, head.clone()), (60_000, b"abc".to_vec())]]];
    let failure = get(&mut user(pausing), TARGET).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BodyTimeout);
    assert!(failure.kind.is_timeout());

    // Each pause is short enough; the whole is not.
    let dripping = (0..3).map(|_| (2_500, b"a".to_vec()));
    let dripping = std::iter::once((10, head)).chain(dripping).collect();
    let mut client = user(vec![vec![dripping]]);
    let url = url(TARGET);
    let request = Request {
        deadline: Some(Instant::now() + Duration::from_secs(4)),
        ..Request::get(&url, &[])
    };
    let failure = client.send(&request, &mut |_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BodyTimeout);
    assert_eq!(failure.body_bytes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_bounded_in_bytes_and_in_fields() {
    let endless = "x: y\r\n".repeat(10_000);
    for fields in [endless, format!("x: {}\r\n", "y".repeat(200_000))] {
        let script = vec![(0, format!("HTTP/1.1 200 OK\r\n{fields}").into_bytes())];
        let failure = get(&mut user(vec![vec![script]]), TARGET)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::HeadTooLarge);
    }
}
