//! Any run at all, with names that try to get out of where they stand.

use mcsp_loadtest_measure::{
    CacheSource, ChaosRecord, Finding, FindingKind, Machine, NodeSample, NodeSeries, Outcome,
    PlaybackSample, Recorder, RequestClass, RequestSample, Results, Run, SessionEnd, SessionSample,
    Workers,
};
use mcsp_loadtest_report::Recorded;
use mcsp_loadtest_scenario::{Action, Metric, Slo};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::made::scenario;

pub(crate) const HOSTILE: [&str; 9] = [
    "</script><script>alert(1)</script>",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "\"' onload='alert(1)",
    "]]>&amp;&#60;&nosuch;",
    "\u{1b}]0;owned\u{7}\u{1b}[2J",
    "\u{202e}gpj.exe",
    "a\u{0}b\r\nSet-Cookie: x",
    "ぶつ🦀̈",
    "",
];

pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&HOSTILE[..]).prop_map(str::to_owned),
        "\\PC{0,40}",
        "[a-z/0-9]{1,300}"
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MIN),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        -1e6..1e6,
        0.0..1e12,
    ]
}

fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..200_000_000_u64, 1 => 0..700_000_000_000_u64, 1 => Just(u64::MAX)]
}

fn class() -> impl Strategy<Value = RequestClass> {
    prop_oneof![
        Just(RequestClass::Manifest),
        Just(RequestClass::Segment),
        Just(RequestClass::Upload),
        name().prop_map(|name| RequestClass::Api(name.into())),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    select(
        &[
            Outcome::Ok,
            Outcome::Status,
            Outcome::Timeout,
            Outcome::WrongBytes,
            Outcome::Abandoned,
            Outcome::Protocol,
        ][..],
    )
}

fn request() -> impl Strategy<Value = RequestSample> {
    let latency = prop_oneof![0..2_000_000_u64, 0..10_000_000_000_u64];
    (
        class(),
        moment(),
        latency,
        option::of(0..1_000_000_u64),
        0..1_u64 << 40,
        select(&CacheSource::ALL[..]),
        outcome(),
        0..6_u16,
    )
        .prop_map(
            |(class, intended_us, latency_us, connect_us, bytes, source, outcome, status)| {
                RequestSample {
                    class,
                    intended_us,
                    started_us: intended_us,
                    connect_us,
                    tls_us: connect_us,
                    first_byte_us: Some(intended_us.saturating_add(latency_us / 2)),
                    last_byte_us: intended_us.saturating_add(latency_us),
                    bytes,
                    status: status * 100,
                    source,
                    outcome,
                }
            },
        )
}

fn finding() -> impl Strategy<Value = Finding> {
    let kinds = [
        FindingKind::WrongBytes,
        FindingKind::StaleManifest,
        FindingKind::NodeHealth,
        FindingKind::LatencyShift,
    ];
    (select(kinds.to_vec()), moment(), name(), name()).prop_map(|(kind, at_us, object, detail)| {
        Finding {
            kind,
            at_us,
            object,
            detail,
        }
    })
}

fn node() -> impl Strategy<Value = NodeSeries> {
    let sample = (
        moment(),
        any::<bool>(),
        option::of(number()),
        option::of(any::<u64>()),
        option::of(number()),
    )
        .prop_map(|(at_us, is_up, cpu_cores, memory_bytes, rate)| NodeSample {
            at_us,
            is_up,
            cpu_cores,
            memory_bytes,
            receive_bytes_s: rate,
            send_bytes_s: rate,
            connections: memory_bytes,
        });
    (name(), vec(sample, 0..12)).prop_map(|(name, samples)| NodeSeries { name, samples })
}

fn chaos() -> impl Strategy<Value = ChaosRecord> {
    (moment(), moment(), name(), option::of(name())).prop_map(
        |(from_us, until_us, target, error)| ChaosRecord {
            step: 0,
            from_us,
            until_us,
            action: Action::Kill,
            target,
            error,
            must_hold: Vec::new(),
        },
    )
}

fn slo() -> impl Strategy<Value = Slo> {
    let metrics = [
        Metric::LatencyMs,
        Metric::StartupMs,
        Metric::RebufferRatio,
        Metric::HitRatio,
        Metric::BitrateKbitS,
        Metric::RequestsPerS,
        Metric::Findings,
    ];
    (
        name(),
        select(metrics.to_vec()),
        option::of(number()),
        option::of(number()),
        option::of(number()),
        option::of(name()),
    )
        .prop_map(|(name, metric, quantile, at_most, at_least, class)| Slo {
            name,
            metric,
            class,
            phase: None,
            quantile,
            at_most,
            at_least,
        })
}

/// A run of which everything that comes from outside is anything. Not all of it can be written as JSON.
pub(crate) fn any_recorded() -> impl Strategy<Value = Recorded> {
    let names = (name(), name(), name(), name());
    let times = (moment(), 0..1_000_u64, any::<u64>());
    let seen = (
        vec(request(), 0..60),
        vec(finding(), 0..6),
        vec((moment(), moment()), 0..10),
    );
    let around = (
        vec(node(), 0..12),
        vec(chaos(), 0..4),
        vec(slo(), 0..4),
        vec(name(), 0..2),
    );
    (names, times, seen, around).prop_map(|(names, times, seen, around)| {
        let (requests, findings, arrivals) = seen;
        let (nodes, chaos, slo, lost) = around;
        let mut recorder = Recorder::new(10_000_000);
        for request in &requests {
            recorder.request(request);
        }
        for finding in findings {
            recorder.finding(finding);
        }
        for (from_us, until_us) in arrivals {
            recorder.arrival(from_us, until_us);
            recorder.missed(from_us);
            recorder.first_frame(until_us, from_us);
            recorder.departure(until_us);
            recorder.playback(&PlaybackSample {
                at_us: from_us,
                played_us: until_us >> 10,
                stalled_us: from_us >> 10,
                stalls: 1,
                switches: 1,
                media_bits: until_us >> 10,
            });
            recorder.session(&SessionSample {
                intended_us: from_us,
                ended_us: until_us,
                startup_us: (from_us < until_us).then_some(until_us >> 10),
                end: SessionEnd::RunOver,
                stalls: 1,
                stalled_us: from_us >> 10,
                played_us: until_us >> 10,
                switches: 0,
                media_bits: until_us >> 10,
                wrong_bytes: 1,
                truncated: 0,
                retries: 2,
            });
        }
        let mut scenario = scenario("");
        scenario.name = names.0;
        scenario.purpose = names.1;
        scenario.devices[0].name = names.2.clone();
        scenario.duration_s = times.1;
        scenario.slo = slo;
        let results = Results::conclude(Run {
            scenario,
            started_unix_ms: times.2,
            took_us: times.0,
            machine: Machine {
                cores: 1,
                processor: names.2,
                memory_bytes: times.2,
                system: String::new(),
            },
            commit: Some(names.3.clone()),
            workers: Workers {
                expected: 1,
                stopped_early: lost.first().cloned(),
                lost,
            },
            seen: recorder.take(),
            nodes,
            chaos,
        });
        Recorded::new(results, &names.3)
    })
}
