//! Section 5: streams and their states; 6.10: blocks in pieces.

use super::*;

fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &[0, 0, 0, 8])
}

#[tokio::test]
async fn idle_streams() {
    check(vec![
        (
            "5.1",
            "data of an idle stream",
            frame(DATA, 0, 1, b"a"),
            Connection(PROTOCOL),
        ),
        (
            "5.1",
            "a window of an idle stream",
            frame(WINDOW, 0, 1, &[0, 0, 0, 1]),
            Connection(PROTOCOL),
        ),
        (
            "5.1",
            "a block's end of an idle stream",
            frame(CONTINUATION, 4, 1, &[]),
            Connection(PROTOCOL),
        ),
        (
            "5.1.1",
            "an even stream",
            frame(HEADERS, WHOLE, 2, &request("GET", "/full/1", &[])),
            Connection(PROTOCOL),
        ),
        (
            "5.1.1",
            "a stream below one that was begun",
            [half_closed(5), get(3)].concat(),
            Connection(PROTOCOL),
        ),
        (
            "5.1.1",
            "streams that are left out",
            [half_closed(5), half_closed(9)].concat(),
            Nothing,
        ),
        (
            "5.1",
            "data of a stream that was left out",
            [half_closed(5), frame(DATA, 0, 3, b"a")].concat(),
            Stream(3, CLOSED),
        ),
    ])
    .await;
}

#[tokio::test]
async fn half_closed_streams() {
    check(vec![
        (
            "5.1",
            "data after the end",
            [half_closed(1), frame(DATA, 0, 1, b"a")].concat(),
            Stream(1, CLOSED),
        ),
        (
            "5.1",
            "fields after the end",
            [
                half_closed(1),
                frame(HEADERS, WHOLE, 1, &block(&[("a", "b")])),
            ]
            .concat(),
            Stream(1, CLOSED),
        ),
        (
            "5.1",
            "a block's end after the end",
            [half_closed(1), frame(CONTINUATION, 4, 1, &[])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "5.1",
            "a window, a priority",
            [
                half_closed(1),
                frame(WINDOW, 0, 1, &[0, 0, 0, 1]),
                frame(2, 0, 1, &[0, 0, 0, 0, 9]),
            ]
            .concat(),
            Nothing,
        ),
        (
            "5.1",
            "a reset",
            [half_closed(1), reset(1)].concat(),
            Nothing,
        ),
    ])
    .await;
}

#[tokio::test]
async fn closed_streams() {
    let more = frame(HEADERS, WHOLE, 1, &block(&[("a", "b")]));
    check(vec![
        (
            "5.1",
            "data after a reset",
            [open(1), reset(1), frame(DATA, 0, 1, b"a")].concat(),
            Connection(CLOSED),
        ),
        (
            "5.1",
            "fields after a reset",
            [open(1), reset(1), more].concat(),
            Connection(CLOSED),
        ),
        (
            "5.1",
            "a block's end after a reset",
            [open(1), reset(1), frame(CONTINUATION, 4, 1, &[])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "5.1",
            "a window, a priority, a reset after a reset",
            [
                open(1),
                reset(1),
                frame(WINDOW, 0, 1, &[0, 0, 0, 1]),
                frame(2, 0, 1, &[0, 0, 0, 0, 9]),
                reset(1),
            ]
            .concat(),
            Nothing,
        ),
        (
            "5.1",
            "data and fields that had been sent before our reset was known",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &request("POST", "/cut", &[("te", "x")]),
                ),
                frame(DATA, 0, 1, b"abc"),
                frame(HEADERS, WHOLE, 1, &block(&[("a", "b")])),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            Stream(1, PROTOCOL),
        ),
    ])
    .await;
}

/// Sections 5.1, 8.1: after both sides have said all.
#[tokio::test]
async fn streams_that_are_over() {
    for (what, bytes, is_fault) in [
        ("data", frame(DATA, 0, 1, b"a"), true),
        (
            "fields",
            frame(HEADERS, WHOLE, 1, &block(&[("a", "b")])),
            true,
        ),
        ("a window", frame(WINDOW, 0, 1, &[0, 0, 0, 1]), false),
        ("a reset", reset(1), false),
        ("a priority", frame(2, 0, 1, &[0, 0, 0, 0, 9]), false),
    ] {
        let mut raw = Raw::with(&[]).await;
        raw.send(&get(1)).await;
        let is_over = |seen: &Seen| (seen.kind, seen.flags, seen.stream) == (DATA, 1, 1);
        assert!(raw.until(is_over).await);
        raw.send(&bytes).await;
        if is_fault {
            assert!(!raw.until(|_| false).await, "{what}");
            assert_eq!(raw.seen.last().unwrap().code(), CLOSED, "{what}");
        } else {
            assert!(raw.round(*b"it lives").await, "{what}");
        }
    }
}

/// Section 5.1.2.
#[tokio::test]
async fn more_streams_than_there_may_be_are_refused() {
    let mut raw = Raw::with(&[]).await;
    let streams_max = limits().streams_max;
    for at in 0..=streams_max {
        raw.send(&half_closed(2 * at + 1)).await;
    }
    assert!(raw.until(|seen| seen.kind == RESET).await);
    let refused = raw.seen.last().unwrap();
    assert_eq!(
        (refused.stream, refused.code()),
        (2 * streams_max + 1, REFUSED)
    );
    // What is over makes room.
    raw.site.gate.notify_one();
    assert!(raw.until(|seen| seen.kind == HEADERS).await);
    raw.send(&get(99)).await;
    assert!(
        raw.until(|seen| (seen.kind, seen.stream) == (HEADERS, 99))
            .await
    );
}

/// Streams whose frames are wrong cost something too (CVE-2025-8671 and its like).
#[tokio::test]
async fn faults_without_end_end_the_connection() {
    let mut raw = Raw::with(&[]).await;
    for at in 0..200_u32 {
        let stream = 2 * at + 1;
        raw.send(&half_closed(stream)).await;
        raw.send(&frame(WINDOW, 0, stream, &[0; 4])).await;
    }
    assert!(!raw.until(|_| false).await);
    let told = raw.seen.last().unwrap();
    assert_eq!((told.kind, told.code()), (GOAWAY, CALM));
    let faults = raw.seen.iter().filter(|seen| seen.kind == RESET).count();
    assert_eq!(faults, limits().error_resets_max);
}

#[tokio::test]
async fn blocks_in_pieces() {
    let block = request("GET", "/full/1", &[("a", "b")]);
    let begin = |flags| frame(HEADERS, flags, 1, &block[..20]);
    let pieces = |stream| {
        block[20..]
            .chunks(10)
            .map(|piece| frame(CONTINUATION, 0, stream, piece))
            .collect::<Vec<_>>()
            .concat()
    };
    let end = frame(CONTINUATION, END_HEADERS, 1, &[]);
    check(vec![
        (
            "6.10",
            "a block in pieces",
            [begin(END_STREAM), pieces(1), end.clone()].concat(),
            Nothing,
        ),
        (
            "6.10",
            "a piece after the last",
            [get(1), end.clone()].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.10",
            "a piece on stream 0",
            [begin(END_STREAM), frame(CONTINUATION, 4, 0, &[])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.10",
            "another stream's piece",
            [begin(END_STREAM), pieces(3)].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.10",
            "data within a block",
            [begin(0), frame(DATA, 0, 1, b"a")].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.10",
            "settings within a block",
            [begin(END_STREAM), frame(SETTINGS, 0, 0, &[])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "10.5.1",
            "pieces without end, and nothing in them",
            [
                begin(END_STREAM),
                frame(CONTINUATION, 0, 1, &[]).repeat(100),
            ]
            .concat(),
            Connection(CALM),
        ),
        (
            "10.5.1",
            "a block that is larger than a request's fields may be",
            [
                begin(END_STREAM),
                frame(CONTINUATION, 0, 1, &[0x82; 16_384]).repeat(5),
            ]
            .concat(),
            Connection(CALM),
        ),
    ])
    .await;
}
