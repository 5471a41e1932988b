//! HTTP/2 frames that cost nothing.

use mcsp_edge_limits::{Flood, FrameKind, FrameMeter, FrameRules, FramesConfig};

use crate::support::{Node, config, node};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, 1]);
    // What looks like frames of its own must not count as one.
    frame.extend([0, 0, 4, 3, 0].iter().cycle().take(payload));
    frame
}

fn meter() -> (FrameMeter, Node) {
    let node = node(&config(&[]));
    let config = FramesConfig {
        resets: "10/s burst 20".parse().unwrap(),
        pings: "1/s burst 5".parse().unwrap(),
        settings: "1/s burst 3".parse().unwrap(),
        window_updates: "100/s burst 50".parse().unwrap(),
        others: "10/s burst 10".parse().unwrap(),
        ..FramesConfig::default()
    };
    let mut meter = FrameMeter::new(&FrameRules::new(&config, &node.limiter));
    meter.read(PREFACE).unwrap();
    (meter, node)
}

#[test]
fn each_kind_of_frame_has_its_own_bound() {
    let cases = [
        (3, 0, 4, FrameKind::Reset, 20),
        (6, 0, 8, FrameKind::Ping, 5),
        (6, 1, 8, FrameKind::Ping, 5),
        (4, 0, 6, FrameKind::Settings, 3),
        (8, 0, 4, FrameKind::WindowUpdate, 50),
        (2, 0, 5, FrameKind::Other, 10),
        (0, 0, 0, FrameKind::Other, 10),
        (0x10, 0, 9, FrameKind::Other, 10),
    ];
    for (kind, flags, payload, counted_as, burst) in cases {
        let (mut meter, node) = meter();
        let frame = frame(kind, flags, payload);
        for _ in 0..burst {
            assert_eq!(meter.read(&frame), Ok(()));
        }
        assert_eq!(meter.read(&frame), Err(Flood(counted_as)));
        node.after(1_000);
        let (mut fresh, _) = self::meter();
        assert_eq!(fresh.read(&frame), Ok(()));
    }
}

#[test]
fn what_carries_something_is_not_counted_here() {
    let (mut meter, _node) = meter();
    for (kind, flags, payload) in [(1, 4, 200), (9, 4, 300), (0, 0, 16_384), (0, 1, 0)] {
        let frame = frame(kind, flags, payload);
        for _ in 0..1_000 {
            assert_eq!(meter.read(&frame), Ok(()));
        }
    }
}

#[test]
fn a_quiet_connection_may_go_on() {
    let (mut meter, node) = meter();
    let ping = frame(6, 0, 8);
    for _ in 0..100 {
        assert_eq!(meter.read(&ping), Ok(()));
        node.after(1_000);
    }
}

proptest::proptest! {
    /// However the bytes are cut, the same frame is the one too many.
    #[test]
    fn cuts_change_nothing(
        kinds in proptest::collection::vec((0_u8..12, 0_u8..2, 0_usize..40), 0..200),
        cuts in proptest::collection::vec(1_usize..60, 1..50),
    ) {
        let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)).collect();
        let (mut whole, _node) = meter();
        let (mut cut, _other) = meter();
        let mut rest = bytes.as_slice();
        let mut told = Ok(());
        for length in cuts.iter().cycle() {
            if rest.is_empty() || told.is_err() {
                break;
            }
            let (now, later) = rest.split_at((*length).min(rest.len()));
            told = cut.read(now);
            rest = later;
        }
        proptest::prop_assert_eq!(whole.read(&bytes), told);
    }
}
