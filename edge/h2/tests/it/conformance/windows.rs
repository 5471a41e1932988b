//! Sections 5.2 and 6.9: windows.

use super::*;

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW, 0, stream, &bytes.to_be_bytes())
}

fn initial(bytes: u32) -> Vec<u8> {
    [&[0, 4][..], &bytes.to_be_bytes()].concat()
}

fn ask(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", path, &[]))
}

const MAX: u32 = (1 << 31) - 1;

#[tokio::test]
async fn windows_and_their_bounds() {
    // The connection's window has room for four streams' and no more.
    let data = |stream: u32, bytes: usize| {
        let full = frame(DATA, 0, stream, &[0; 16_384]).repeat(bytes / 16_384);
        [full, frame(DATA, 0, stream, &vec![0; bytes % 16_384])].concat()
    };
    let whole = 256 << 10;
    check(vec![
        ("6.9", "nothing more", window(0, 0), Connection(PROTOCOL)),
        (
            "6.9",
            "nothing more, of a stream",
            [open(1), window(1, 0)].concat(),
            Stream(1, PROTOCOL),
        ),
        (
            "6.9",
            "nothing more, of an idle stream",
            window(1, 0),
            Connection(PROTOCOL),
        ),
        (
            "6.9",
            "a frame that is not 4 bytes",
            frame(WINDOW, 0, 0, &[0; 3]),
            Connection(SIZE),
        ),
        (
            "6.9.1",
            "a window of more than 2^31-1",
            window(0, MAX),
            Connection(FLOW),
        ),
        (
            "6.9.1",
            "a stream's window of more than 2^31-1",
            [open(1), window(1, MAX)].concat(),
            Stream(1, FLOW),
        ),
        (
            "6.9.2",
            "a stream's window of more than 2^31-1 by settings",
            [open(1), window(1, 1), frame(SETTINGS, 0, 0, &initial(MAX))].concat(),
            Connection(FLOW),
        ),
        (
            "6.9.1",
            "as much data as a stream's window has room for",
            [open(1), data(1, whole)].concat(),
            Nothing,
        ),
        (
            "6.9.1",
            "more data than a stream's window has room for",
            [open(1), data(1, whole + 1)].concat(),
            Stream(1, FLOW),
        ),
        (
            "6.9.1",
            "padding counts",
            [open(1), data(1, whole - 3), frame(DATA, 8, 1, b"\x02a\0\0")].concat(),
            Stream(1, FLOW),
        ),
        (
            "6.9.1",
            "more data than the connection's window has room for",
            [
                (0..5).flat_map(|at| open(2 * at + 1)).collect::<Vec<_>>(),
                (0..5).flat_map(|at| data(2 * at + 1, whole)).collect(),
            ]
            .concat(),
            Connection(FLOW),
        ),
    ])
    .await;
}

/// Sections 6.9, 6.9.1: both windows, byte by byte.
#[tokio::test]
async fn no_more_is_sent_than_there_is_room_for() {
    let mut raw = Raw::with(&initial(1)).await;
    raw.send(&ask(1, "/full/10")).await;
    assert!(raw.round(*b"window 1").await && raw.round(*b"window 1").await);
    assert_eq!(raw.data_bytes(1), 1);
    for bytes in [1, 3] {
        let before = raw.data_bytes(1);
        raw.send(&window(1, bytes)).await;
        assert!(raw.round(*b"windows2").await && raw.round(*b"windows2").await);
        assert_eq!(raw.data_bytes(1), before + bytes as usize);
    }
    raw.send(&window(1, 100)).await;
    assert!(raw.until(|seen| (seen.kind, seen.flags) == (DATA, 1)).await);
    assert_eq!(raw.data_bytes(1), 10);
}

#[tokio::test]
async fn the_connections_window_holds_all_streams() {
    let mut raw = Raw::with(&initial(1 << 20)).await;
    for stream in [1, 3] {
        raw.send(&ask(stream, "/full/60000")).await;
    }
    assert!(raw.round(*b"all of 1").await && raw.round(*b"all of 1").await);
    assert_eq!(raw.data_bytes(1) + raw.data_bytes(3), 65_535);
    // In turn, though the first had asked before.
    assert!(raw.data_bytes(3) >= 16_375);
    raw.send(&window(0, 100_000)).await;
    let is_end = |seen: &Seen| (seen.kind, seen.flags) == (DATA, 1);
    assert!(raw.until(is_end).await && raw.until(is_end).await);
    assert_eq!((raw.data_bytes(1), raw.data_bytes(3)), (60_000, 60_000));
}

/// Section 6.9.2: open streams follow; what was sent already is owed.
#[tokio::test]
async fn windows_that_are_made_smaller_are_negative() {
    let mut raw = Raw::with(&initial(100)).await;
    raw.send(&ask(1, "/full/1000")).await;
    assert!(raw.round(*b"first100").await && raw.round(*b"first100").await);
    assert_eq!(raw.data_bytes(1), 100);
    raw.send(&frame(SETTINGS, 0, 0, &initial(20))).await;
    // 80 below nothing.
    raw.send(&window(1, 80)).await;
    assert!(raw.round(*b"nothing.").await && raw.round(*b"nothing.").await);
    assert_eq!(raw.data_bytes(1), 100);
    raw.send(&window(1, 5)).await;
    assert!(raw.round(*b"a little").await && raw.round(*b"a little").await);
    assert_eq!(raw.data_bytes(1), 105);
    raw.send(&frame(SETTINGS, 0, 0, &initial(2_000))).await;
    assert!(raw.until(|seen| (seen.kind, seen.flags) == (DATA, 1)).await);
    assert_eq!(raw.data_bytes(1), 1_000);
}

/// Section 6.5.3: settings are followed in their order.
#[tokio::test]
async fn of_two_windows_in_one_frame_the_last_counts() {
    let mut raw = Raw::with(&[initial(500), initial(7)].concat()).await;
    raw.send(&ask(1, "/full/1000")).await;
    assert!(raw.round(*b"the last").await && raw.round(*b"the last").await);
    assert_eq!(raw.data_bytes(1), 7);
}

/// Section 4.2: frames are no longer than the client takes; longer ones where it does.
#[tokio::test]
async fn frames_are_as_long_as_the_client_takes() {
    for (settings, least, most) in [
        (Vec::new(), 16_000, 16_384),
        (vec![0, 5, 0, 1, 0, 0], 65_000, 65_536),
    ] {
        let mut raw = Raw::with(&[initial(1 << 20), settings].concat()).await;
        raw.send(&window(0, 1 << 20)).await;
        raw.send(&ask(1, "/full/200000")).await;
        assert!(raw.until(|seen| (seen.kind, seen.flags) == (DATA, 1)).await);
        assert_eq!(raw.data_bytes(1), 200_000);
        let data = raw.seen.iter().filter(|seen| seen.kind == DATA);
        let longest = data.map(|seen| seen.payload.len()).max().unwrap();
        assert!((least..=most).contains(&longest), "{longest}");
    }
}
