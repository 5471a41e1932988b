//! Adding up what recorders saw loses nothing.

use mcsp_loadtest_measure::{
    CacheSource, Finding, FindingKind, Outcome, Partial, PlaybackSample, Recorder, RequestClass,
    RequestSample,
};
use proptest::prelude::*;

use crate::made::session;

#[derive(Debug, Clone)]
enum Seen {
    Request(RequestSample),
    Arrival(u64, u64),
    Session(u64, u64, u32),
    Finding(u64, u8),
    Playback(u64, u64),
}

/// Up to six hours, so that buckets are joined in some runs and not in others.
fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..60_000_000_u64,
        0..3_700_000_000_u64,
        0..21_600_000_000_u64
    ]
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let class = prop_oneof![
        Just(RequestClass::Manifest),
        Just(RequestClass::Segment),
        Just(RequestClass::api("play")),
        Just(RequestClass::Upload)
    ];
    let outcome = prop_oneof![
        Just(Outcome::Ok),
        Just(Outcome::Status),
        Just(Outcome::Abandoned),
        Just(Outcome::CutOff),
        Just(Outcome::Truncated)
    ];
    let source = prop_oneof![
        Just(CacheSource::Memory),
        Just(CacheSource::Origin),
        Just(CacheSource::Unknown)
    ];
    let request = (
        class,
        moment(),
        0..5_000_000_000_u64,
        prop::option::of(0..90_000_u64),
        0..700_u16,
        outcome,
        source,
    )
        .prop_map(
            |(class, at_us, latency_us, connect_us, status, outcome, source)| {
                Seen::Request(RequestSample {
                    class,
                    intended_us: at_us,
                    started_us: at_us + latency_us / 10,
                    connect_us,
                    tls_us: connect_us.map(|us| us * 2),
                    first_byte_us: (status > 0).then_some(at_us + latency_us / 2),
                    last_byte_us: at_us + latency_us,
                    bytes: latency_us / 3,
                    status,
                    source,
                    outcome,
                })
            },
        );
    prop_oneof![
        4 => request,
        1 => (moment(), 0..90_000_u64).prop_map(|(at_us, lag_us)| Seen::Arrival(at_us, at_us + lag_us)),
        1 => (moment(), 0..9_000_000_u64, 0..5_u32).prop_map(|(at_us, stalled, stalls)| Seen::Session(at_us, stalled, stalls)),
        2 => (moment(), any::<u8>()).prop_map(|(at_us, object)| Seen::Finding(at_us, object)),
        1 => (moment(), 0..9_000_000_u64).prop_map(|(at_us, played_us)| Seen::Playback(at_us, played_us)),
    ]
}

fn tell(recorder: &mut Recorder, seen: &Seen) {
    match seen {
        Seen::Request(sample) => recorder.request(sample),
        Seen::Arrival(intended_us, started_us) => {
            recorder.arrival(*intended_us, *started_us);
            recorder.missed(*started_us);
            recorder.departure(*started_us);
        }
        Seen::Session(at_us, stalled_us, stalls) => {
            let mut session = session(*at_us);
            (session.stalled_us, session.stalls) = (*stalled_us, *stalls);
            recorder.session(&session);
            recorder.first_frame(*at_us, *stalled_us);
        }
        Seen::Finding(at_us, object) => recorder.finding(Finding {
            kind: if object % 2 == 0 {
                FindingKind::WrongBytes
            } else {
                FindingKind::StaleManifest
            },
            at_us: *at_us,
            object: format!("/v/{object}"),
            detail: format!("at {at_us}"),
        }),
        Seen::Playback(at_us, played_us) => recorder.playback(&PlaybackSample {
            at_us: *at_us,
            played_us: *played_us,
            media_bits: 5,
            ..PlaybackSample::default()
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_sum_of_the_parts_is_the_whole(
        told in prop::collection::vec((any_seen(), 0..3_usize), 0..200),
        take_every in 20..90_usize,
        warm_up_us in 0..90_000_000_u64,
        backwards in any::<bool>(),
    ) {
        let mut one = Recorder::new(warm_up_us);
        let mut workers: Vec<Recorder> = (0..3).map(|_| Recorder::new(warm_up_us)).collect();
        let mut parts: Vec<Partial> = Vec::new();
        for (n, (seen, worker)) in told.iter().enumerate() {
            tell(&mut one, seen);
            tell(&mut workers[*worker], seen);
            if n % take_every == 0 {
                parts.push(workers[*worker].take());
            }
        }
        parts.extend(workers.iter_mut().map(Recorder::take));
        if backwards {
            parts.reverse();
        }
        // Over the wire, as workers send them.
        let mut sum = Partial::default();
        for part in parts {
            let sent: Partial = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
            sum.merge(&sent);
        }
        prop_assert_eq!(sum, one.take());
        prop_assert_eq!(one.take(), Partial::default());
    }
}

#[test]
fn findings_are_bounded_and_counted() {
    let mut recorder = Recorder::new(0);
    for n in 0..5_000_u64 {
        recorder.finding(Finding {
            kind: FindingKind::TruncatedSegment,
            at_us: 5_000 - n,
            object: format!("/v/{}{}", n % 1_000, "é".repeat(400)),
            detail: "é".repeat(600),
        });
    }
    let seen = recorder.take();
    let (_, of_kind) = seen.findings.iter().next().unwrap();
    assert_eq!((of_kind.count, of_kind.objects.len()), (5_000, 100));
    assert!(
        of_kind
            .objects
            .iter()
            .all(|(object, entry)| object.len() <= 300
                && entry.detail.len() <= 500
                && entry.count == 5)
    );
}

#[test]
fn a_long_run_takes_no_more_room_than_a_short_one() {
    let mut recorder = Recorder::new(0);
    for second in 0..604_800_u64 {
        recorder.arrival(second * 1_000_000, second * 1_000_000);
    }
    let timeline = recorder.take().timeline;
    assert_eq!(timeline.bucket_s(), 256);
    assert_eq!(
        timeline
            .iter()
            .map(|(_, bucket)| bucket.arrivals)
            .sum::<u64>(),
        604_800
    );
    assert!(timeline.iter().count() <= 3_600);
}

#[test]
fn histograms_from_elsewhere_are_refused() {
    for text in [
        "\"!\"",
        "\"AAAA\"",
        "\"eJyTaZkszMDAwMgABcxQmhFC2v+3/wBjMwMARoIEjA==\"",
        "7",
    ] {
        assert!(
            serde_json::from_str::<mcsp_loadtest_measure::Latency>(text).is_err(),
            "{text}"
        );
    }
    assert!(serde_json::from_str::<RequestClass>("\"video\"").is_err());
}
