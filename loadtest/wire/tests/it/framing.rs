//! An answer is whole, or it is none.

use mcsp_loadtest_wire::{FailureKind, Framing};

use crate::support::{TARGET, get, user};

async fn one(bytes: &[u8]) -> Result<(Framing, Vec<u8>), FailureKind> {
    let mut client = user(vec![vec![vec![(0, bytes.to_vec())]]]);
    match get(&mut client, TARGET).await {
        Ok((answer, body)) => {
            assert_eq!(answer.body_bytes, body.len() as u64);
            Ok((answer.framing, body))
        }
        Err(failure) => Err(failure.kind),
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_early_is_truncated_and_never_whole() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde";
    assert_eq!(
        one(whole).await,
        Ok((Framing::Length(5), b"abcde".to_vec()))
    );
    for cut in 1..whole.len() {
        assert_eq!(
            one(&whole[..cut]).await,
            Err(FailureKind::Truncated),
            "{cut}"
        );
    }
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(one(chunked).await, Ok((Framing::Stream, b"abc".to_vec())));
    for cut in 1..chunked.len() {
        assert_eq!(
            one(&chunked[..cut]).await,
            Err(FailureKind::Truncated),
            "{cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_cut_is_told() {
    let script = vec![(
        0,
        b"HTTP/1.1 206 P\r\ncontent-length: 9\r\n\r\nabc".to_vec(),
    )];
    let failure = get(&mut user(vec![vec![script]]), TARGET)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Truncated);
    assert_eq!((failure.status, failure.body_bytes), (Some(206), 3));
    assert_eq!(failure.declared_bytes, Some(9));
}

#[tokio::test(start_paused = true)]
async fn bytes_after_an_answer_are_a_fault() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcde",
        "HTTP/1.1 204 No\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ] {
        assert_eq!(
            one(bytes.as_bytes()).await,
            Err(FailureKind::BadBody),
            "{bytes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_its_connection_says_that_nobody_knows() {
    let answer = one(b"HTTP/1.1 200 OK\r\n\r\nabc").await;
    assert_eq!(answer, Ok((Framing::Close, b"abc".to_vec())));
}

#[tokio::test(start_paused = true)]
async fn interim_answers_are_passed_over_and_bounded() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
    let few = hint.repeat(3) + last;
    assert_eq!(
        one(few.as_bytes()).await,
        Ok((Framing::Length(1), b"a".to_vec()))
    );
    let many = hint.repeat(20) + last;
    assert_eq!(one(many.as_bytes()).await, Err(FailureKind::BadHead));
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_used_again_and_replaced_when_the_node_has_closed_it() {
    let answer = vec![(0, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na".to_vec())];
    let mut client = user(vec![vec![answer.clone(), answer.clone()], vec![answer]]);
    let (first, _) = get(&mut client, TARGET).await.expect("an answer");
    assert!(first.times.connect_us.is_some());
    let (second, _) = get(&mut client, TARGET).await.expect("an answer");
    assert_eq!(second.times.connect_us, None);
    // The first connection has said all that it says, and is closed.
    let (third, _) = get(&mut client, TARGET).await.expect("an answer");
    assert!(third.times.connect_us.is_some());
    let none_left = get(&mut client, TARGET).await.unwrap_err();
    assert_eq!(none_left.kind, FailureKind::Connect);
}
