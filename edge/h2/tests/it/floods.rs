//! Frames that cost their sender nothing.

use std::sync::Arc;

use mcsp_edge_h2::{CloseReason, Closed, serve_connection};
use mcsp_edge_limits::{Flood, FrameKind, FrameRules, FramesConfig, Limiter, LimitsConfig};
use mcsp_runtime::{ManualClock, SeededEntropy};
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::site::{BOUND, Site, limits};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

/// `GET https://x/full/1`, and it is taken back.
fn asked_and_taken_back(stream: u32) -> Vec<u8> {
    let fields = b"\x82\x87\x41\x01x\x44\x07/full/1";
    let mut both = frame(1, 5, stream, fields);
    both.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    both
}

fn site() -> Arc<Site> {
    let config = FramesConfig {
        resets: "1/s burst 10".parse().unwrap(),
        pings: "1/s burst 10".parse().unwrap(),
        settings: "1/s burst 10".parse().unwrap(),
        others: "1/s burst 10".parse().unwrap(),
        ..FramesConfig::default()
    };
    let limiter = Limiter::new(
        &LimitsConfig::default(),
        ManualClock::new(1),
        &*SeededEntropy::new(1),
        &Registry::new(),
    );
    Arc::new(Site {
        frames: Some(FrameRules::new(&config, &limiter.unwrap())),
        ..Site::default()
    })
}

/// Sends all of it, each piece after the one before was read; how the connection ended and the code of its GOAWAY.
async fn send(pieces: Vec<Vec<u8>>) -> (Closed, Option<u32>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (_stop, stopped) = watch::channel(false);
    let site = site();
    let served =
        tokio::spawn(
            async move { serve_connection(Box::new(ours), &limits(), &site, stopped).await },
        );
    let (mut reader, mut writer) = tokio::io::split(theirs);
    let talk = async move {
        writer
            .write_all(&[PREFACE, &settings()].concat())
            .await
            .unwrap();
        for piece in pieces {
            // The connection may end before all of it is read.
            let _ = writer.write_all(&piece).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.unwrap();
        read
    };
    let read = tokio::time::timeout(BOUND, talk).await.unwrap();
    let closed = tokio::time::timeout(BOUND, served).await.unwrap();
    (closed.unwrap(), code_of_goaway(&read))
}

fn code_of_goaway(mut rest: &[u8]) -> Option<u32> {
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, after) = after.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = after;
    }
    None
}

#[tokio::test]
async fn frames_that_cost_nothing_end_the_connection() {
    let many = |frame: Vec<u8>| vec![frame; 100];
    let asked = (0..100_u32).map(|at| asked_and_taken_back(2 * at + 1));
    for (bytes, kind) in [
        (many(frame(6, 0, 0, &[0; 8])), FrameKind::Ping),
        (many(frame(6, 1, 0, &[7; 8])), FrameKind::Ping),
        (many(settings()), FrameKind::Settings),
        (many(frame(2, 0, 1, &[0, 0, 0, 0, 9])), FrameKind::Other),
        (many(frame(0x77, 0, 0, &[])), FrameKind::Other),
        (asked.collect(), FrameKind::Reset),
    ] {
        let (closed, told) = send(bytes).await;
        assert_eq!(closed.reason, CloseReason::Flood(Flood(kind)));
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{kind:?}");
        assert!(closed.requests <= 11, "{}", closed.requests);
    }
}

/// Before they were looked at, they are bounded in another way.
#[tokio::test]
async fn streams_that_are_taken_back_at_once_end_the_connection() {
    let asked = (0..100_u32).flat_map(|at| asked_and_taken_back(2 * at + 1));
    let (closed, told) = send(vec![asked.collect()]).await;
    assert_eq!(closed.reason, CloseReason::Excess);
    assert_eq!((told, closed.requests), (Some(ENHANCE_YOUR_CALM), 0));
}

/// CVE-2024-27316 and its like: the connection ends before it holds more than a request's fields may take.
#[tokio::test]
async fn continuations_without_end_are_not_kept() {
    let mut bytes = frame(1, 0, 1, b"\x82\x87\x84\x41\x01x");
    for at in 0..4_000_u32 {
        let name = format!("{at:08}");
        let field = [b"\x00\x08", name.as_bytes(), b"\x01v"].concat();
        bytes.extend(frame(9, 0, 1, &field));
    }
    let (closed, told) = send(vec![bytes]).await;
    assert_eq!(closed.reason, CloseReason::Excess);
    assert_eq!((told, closed.requests), (Some(ENHANCE_YOUR_CALM), 0));
}
