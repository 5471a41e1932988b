//! Frames of any kind in any order: no panic, no hang, nothing beyond what was allowed, an end when the client ends.

use proptest::prelude::*;

use crate::conformance::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, RESET, Raw, SETTINGS, WHOLE, WINDOW, frame,
    request,
};
use crate::site::BOUND;

/// Streams of which most are begun by one of the frames before.
fn stream() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => (0..6_u32).prop_map(|at| 2 * at + 1),
        1 => 0..20_u32,
    ]
}

fn asked() -> impl Strategy<Value = Vec<u8>> {
    let path = prop_oneof![
        Just("/full/10"),
        Just("/full/100000"),
        Just("/pieces/200000"),
        Just("/wait"),
        Just("/upload"),
        Just("/cut"),
        Just("/short"),
        Just("/early"),
        Just("bad"),
    ];
    let flags = prop_oneof![Just(WHOLE), Just(END_HEADERS), Just(0), any::<u8>()];
    (path, flags, stream()).prop_map(|(path, flags, stream)| {
        frame(HEADERS, flags & !0x28, stream, &request("GET", path, &[]))
    })
}

/// A frame; of a window's, how much it gives the connection.
fn any_frame() -> impl Strategy<Value = (Vec<u8>, u64)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let window = prop_oneof![1..100_u32, 1..200_000_u32];
    let initial = prop_oneof![0..100_u32, 0..500_000_u32];
    let plain = prop_oneof![
        6 => asked(),
        3 => (stream(), any::<bool>(), 0..3_000_usize)
            .prop_map(|(stream, end, length)| frame(DATA, u8::from(end), stream, &vec![7; length])),
        2 => stream().prop_map(|stream| frame(RESET, 0, stream, &[0, 0, 0, 8])),
        2 => initial.prop_map(|bytes| {
            frame(SETTINGS, 0, 0, &[&[0, 4][..], &bytes.to_be_bytes()].concat())
        }),
        1 => Just(frame(PING, 0, 0, &[1; 8])),
        1 => stream().prop_map(|stream| frame(CONTINUATION, END_HEADERS, stream, &[])),
        1 => (0..20_u8, any::<u8>(), stream(), bytes)
            .prop_filter("gives no room", |(kind, ..)| *kind != WINDOW)
            .prop_map(|(kind, flags, stream, bytes)| frame(kind, flags, stream, &bytes)),
    ];
    prop_oneof![
        10 => plain.prop_map(|frame| (frame, 0)),
        2 => (stream(), window.clone())
            .prop_map(|(stream, bytes)| (frame(WINDOW, 0, stream.max(1), &bytes.to_be_bytes()), 0)),
        2 => window.prop_map(|bytes| (frame(WINDOW, 0, 0, &bytes.to_be_bytes()), u64::from(bytes))),
    ]
}

async fn play(frames: Vec<(Vec<u8>, u64)>, pieces: usize) {
    let mut raw = Raw::with(&[]).await;
    let mut room = 65_535;
    let bytes: Vec<u8> = frames
        .into_iter()
        .flat_map(|(frame, more)| {
            room += more;
            frame
        })
        .collect();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces).max(1)) {
        raw.send(piece).await;
        tokio::task::yield_now().await;
    }
    raw.send(&frame(PING, 0, 0, b"the last")).await;
    let is_last = |seen: &crate::conformance::Seen| seen.payload == b"the last";
    let _ = raw.until(is_last).await;
    let data = raw.seen.iter().filter(|seen| seen.kind == DATA);
    let sent: u64 = data.map(|seen| seen.payload.len() as u64).sum();
    assert!(sent <= room, "{sent} {room}");
    raw.site.gate.notify_waiters();
    let served = raw.leave();
    let closed = tokio::time::timeout(BOUND, served).await;
    closed.expect("it ends").expect("it does not panic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn frames_in_any_order(
        frames in prop::collection::vec(any_frame(), 1..30),
        pieces in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(frames, pieces));
    }
}
