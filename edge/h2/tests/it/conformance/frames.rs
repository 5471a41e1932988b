//! Sections 3 to 6: frames by themselves.

use super::*;

#[tokio::test]
async fn the_first_frame_is_settings() {
    for (what, bytes) in [
        ("a request", get(1)),
        ("a PING", frame(PING, 0, 0, &[0; 8])),
        ("an acknowledgement", frame(SETTINGS, 1, 0, &[])),
    ] {
        let mut raw = Raw::new().await;
        raw.send(&bytes).await;
        assert!(!raw.until(|_| false).await, "section 3.4: {what}");
        let told = raw.seen.last().unwrap();
        assert_eq!((told.kind, told.code()), (GOAWAY, PROTOCOL), "{what}");
    }
}

#[tokio::test]
async fn ours_come_first_and_theirs_are_acknowledged() {
    let mut raw = Raw::with(&[]).await;
    assert!(raw.round(*b"section3").await);
    let kinds: Vec<_> = raw
        .seen
        .iter()
        .map(|seen| (seen.kind, seen.flags))
        .collect();
    // Section 3.4, 6.5.3; the window is the connection's.
    assert_eq!(
        kinds,
        [(SETTINGS, 0), (WINDOW, 0), (SETTINGS, 1), (PING, 1)]
    );
}

#[tokio::test]
async fn frames_and_their_sizes() {
    let large = vec![0; 16_385];
    check(vec![
        (
            "4.1",
            "a frame of unknown type",
            frame(0x66, 0xff, 0, &[0; 20]),
            Nothing,
        ),
        (
            "4.1",
            "a frame of unknown type on an idle stream",
            frame(0x66, 0, 77, &[]),
            Nothing,
        ),
        (
            "4.1",
            "flags that are not defined",
            frame(PING, 0xfe, 0, &[1; 8]),
            Nothing,
        ),
        (
            "4.1",
            "the reserved bit",
            frame(PING, 0, 1 << 31, &[1; 8]),
            Nothing,
        ),
        (
            "4.2",
            "data as long as a frame may be",
            [open(1), frame(DATA, 0, 1, &large[1..])].concat(),
            Nothing,
        ),
        (
            "4.2",
            "data that is longer",
            [open(1), frame(DATA, 0, 1, &large)].concat(),
            Connection(SIZE),
        ),
        (
            "4.2",
            "fields that are longer",
            frame(HEADERS, WHOLE, 1, &large),
            Connection(SIZE),
        ),
        (
            "4.2",
            "an unknown frame that is longer",
            frame(0x66, 0, 0, &large),
            Connection(SIZE),
        ),
        (
            "5.5",
            "an unknown frame within a block",
            [
                frame(HEADERS, END_STREAM, 1, &request("GET", "/full/1", &[])),
                frame(0x66, 0, 0, &[]),
            ]
            .concat(),
            Connection(PROTOCOL),
        ),
    ])
    .await;
}

#[tokio::test]
async fn data_frames() {
    check(vec![
        (
            "6.1",
            "data on stream 0",
            frame(DATA, 0, 0, b"a"),
            Connection(PROTOCOL),
        ),
        (
            "6.1",
            "padding as long as the payload",
            [open(1), frame(DATA, 8, 1, b"\x01")].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.1",
            "padding that is longer than the payload",
            [open(1), frame(DATA, 8, 1, b"\x05abcd")].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.1",
            "padding without its length",
            [open(1), frame(DATA, 8, 1, b"")].concat(),
            Connection(SIZE),
        ),
        (
            "6.1",
            "padding",
            [open(1), frame(DATA, 8, 1, b"\x03a\0\0\0")].concat(),
            Nothing,
        ),
        (
            "6.1",
            "nothing but padding",
            [open(1), frame(DATA, 8, 1, b"\x03\0\0\0")].concat(),
            Nothing,
        ),
        (
            "10.5",
            "data without any, again and again",
            [open(1), frame(DATA, 0, 1, b"").repeat(101)].concat(),
            Connection(CALM),
        ),
    ])
    .await;
}

#[tokio::test]
async fn header_frames() {
    let half = frame(HEADERS, END_STREAM, 1, &request("GET", "/full/1", &[]));
    let padded = [b"\x02".as_slice(), &request("GET", "/full/1", &[]), &[0, 0]].concat();
    let first = [
        b"\x80\0\0\x03\xff".as_slice(),
        &request("GET", "/full/1", &[]),
    ]
    .concat();
    let own = [b"\0\0\0\x01\0".as_slice(), &request("GET", "/full/1", &[])].concat();
    check(vec![
        (
            "6.2",
            "fields on stream 0",
            frame(HEADERS, WHOLE, 0, &request("GET", "/full/1", &[])),
            Connection(PROTOCOL),
        ),
        (
            "6.2",
            "padding that is longer than the payload",
            frame(HEADERS, WHOLE | 8, 1, b"\x05a"),
            Connection(PROTOCOL),
        ),
        (
            "6.2",
            "padding",
            frame(HEADERS, WHOLE | 8, 1, &padded),
            Nothing,
        ),
        (
            "6.2",
            "a priority",
            frame(HEADERS, WHOLE | 0x20, 1, &first),
            Nothing,
        ),
        (
            "6.2",
            "a priority that is cut",
            frame(HEADERS, WHOLE | 0x20, 1, b"\0\0\0"),
            Connection(SIZE),
        ),
        (
            "6.2",
            "PRIORITY within a block",
            [half.clone(), frame(2, 0, 1, &[0, 0, 0, 3, 9])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.2",
            "another stream's fields within a block",
            [half.clone(), get(3)].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.2",
            "a stream error within a block",
            [half, frame(WINDOW, 0, 1, &[0; 4])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "5.3.1",
            "a stream before itself, in HEADERS",
            frame(HEADERS, WHOLE | 0x20, 1, &own),
            Connection(PROTOCOL),
        ),
    ])
    .await;
}

#[tokio::test]
async fn priorities_are_read_and_not_followed() {
    check(vec![
        (
            "6.3",
            "PRIORITY on stream 0",
            frame(2, 0, 0, &[0, 0, 0, 1, 9]),
            Connection(PROTOCOL),
        ),
        (
            "6.3",
            "PRIORITY that is not 5 bytes",
            [open(1), frame(2, 0, 1, &[0; 4])].concat(),
            Stream(1, SIZE),
        ),
        (
            "6.3",
            "PRIORITY of an idle stream",
            frame(2, 0, 7, &[0, 0, 0, 1, 9]),
            Nothing,
        ),
        (
            "5.3.1",
            "a stream before itself",
            [open(1), frame(2, 0, 1, &[0, 0, 0, 1, 9])].concat(),
            Stream(1, PROTOCOL),
        ),
        (
            "RFC 9218 7.1",
            "PRIORITY_UPDATE",
            [frame(16, 0, 0, b"\0\0\0\x01u=3, i"), open(1)].concat(),
            Nothing,
        ),
        (
            "RFC 9218 7.1",
            "PRIORITY_UPDATE on a stream",
            [open(1), frame(16, 0, 1, b"\0\0\0\x01u=3")].concat(),
            Connection(PROTOCOL),
        ),
        (
            "RFC 9218 7.1",
            "PRIORITY_UPDATE that is cut",
            frame(16, 0, 0, b"\0\0\0"),
            Connection(SIZE),
        ),
        (
            "RFC 9218 7.1",
            "PRIORITY_UPDATE of stream 0",
            frame(16, 0, 0, b"\0\0\0\0u=1"),
            Connection(PROTOCOL),
        ),
        (
            "RFC 9218 2.1",
            "SETTINGS_NO_RFC7540_PRIORITIES that is 2",
            frame(SETTINGS, 0, 0, &[0, 9, 0, 0, 0, 2]),
            Connection(PROTOCOL),
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_of_the_connection() {
    let setting = |id: u8, value: u32| {
        let payload = [&[0, id][..], &value.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &payload)
    };
    check(vec![
        (
            "6.4",
            "RST_STREAM on stream 0",
            frame(RESET, 0, 0, &[0; 4]),
            Connection(PROTOCOL),
        ),
        (
            "6.4",
            "RST_STREAM of an idle stream",
            frame(RESET, 0, 1, &[0; 4]),
            Connection(PROTOCOL),
        ),
        (
            "6.4",
            "RST_STREAM that is not 4 bytes",
            [open(1), frame(RESET, 0, 1, &[0; 3])].concat(),
            Connection(SIZE),
        ),
        (
            "6.5",
            "SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &[]),
            Connection(PROTOCOL),
        ),
        (
            "6.5",
            "SETTINGS that is cut",
            frame(SETTINGS, 0, 0, &[0, 3, 0]),
            Connection(SIZE),
        ),
        (
            "6.5",
            "an acknowledgement with settings",
            frame(SETTINGS, 1, 0, &[0, 3, 0, 0, 0, 1]),
            Connection(SIZE),
        ),
        (
            "6.5.2",
            "SETTINGS_ENABLE_PUSH that is 2",
            setting(2, 2),
            Connection(PROTOCOL),
        ),
        (
            "6.5.2",
            "SETTINGS_INITIAL_WINDOW_SIZE of 2^31",
            setting(4, 1 << 31),
            Connection(FLOW),
        ),
        (
            "6.5.2",
            "SETTINGS_MAX_FRAME_SIZE of 2^14-1",
            setting(5, 16_383),
            Connection(PROTOCOL),
        ),
        (
            "6.5.2",
            "SETTINGS_MAX_FRAME_SIZE of 2^24",
            setting(5, 1 << 24),
            Connection(PROTOCOL),
        ),
        ("6.5.2", "an unknown setting", setting(0xaa, 9), Nothing),
        (
            "6.5.3",
            "an acknowledgement too many",
            frame(SETTINGS, 1, 0, &[]).repeat(2),
            Nothing,
        ),
        (
            "6.6",
            "PUSH_PROMISE of a client",
            [open(1), frame(5, 4, 1, &[0, 0, 0, 2])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.7",
            "PING on a stream",
            [open(1), frame(PING, 0, 1, &[0; 8])].concat(),
            Connection(PROTOCOL),
        ),
        (
            "6.7",
            "PING that is not 8 bytes",
            frame(PING, 0, 0, &[0; 6]),
            Connection(SIZE),
        ),
        (
            "6.8",
            "GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Connection(PROTOCOL),
        ),
        (
            "6.8",
            "GOAWAY that is cut",
            frame(GOAWAY, 0, 0, &[0; 7]),
            Connection(SIZE),
        ),
        (
            "7",
            "RST_STREAM with an unknown code",
            [open(1), frame(RESET, 0, 1, &[0xff; 4])].concat(),
            Nothing,
        ),
    ])
    .await;
}

#[tokio::test]
async fn pings_are_answered_and_answers_are_not() {
    let mut raw = Raw::with(&[]).await;
    raw.send(&frame(PING, 1, 0, b"answered")).await;
    assert!(raw.round(*b"question").await);
    // Section 6.7.
    let pings = raw.seen.iter().filter(|seen| seen.kind == PING);
    let pings: Vec<_> = pings.map(|seen| seen.payload.as_slice()).collect();
    assert_eq!(pings, [b"question"]);
}

#[tokio::test]
async fn a_client_that_leaves_gets_what_it_has_asked_for() {
    let mut raw = Raw::with(&[]).await;
    raw.send(&half_closed(1)).await;
    raw.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]))
        .await;
    assert!(raw.round(*b"section7").await);
    raw.site.gate.notify_one();
    // Sections 6.8 and 7; the code is unknown.
    assert!(
        raw.until(|seen| (seen.kind, seen.stream) == (HEADERS, 1))
            .await
    );
    assert!(!raw.until(|_| false).await);
    assert_eq!(raw.leave().await.unwrap().reason.label(), "client");
}
