//! Runs that are made up.

use mcsp_loadtest_measure::{
    CacheSource, ChaosRecord, Finding, FindingKind, Machine, NodeSample, NodeSeries, Outcome,
    Partial, PlaybackSample, Recorder, RequestClass, RequestSample, Results, Run, SessionEnd,
    SessionSample, Workers,
};
use mcsp_loadtest_report::Recorded;
use mcsp_loadtest_scenario::{Action, Random, Scenario};

/// A run's length, s.
pub(crate) const DURATION_S: u64 = 120;

/// How a run goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Story {
    pub(crate) seed: u64,
    /// A node is killed after 50 s, and the other cannot cope.
    pub(crate) has_chaos: bool,
    /// Segments are cut short, a manifest is old, a hundredth of the requests fails.
    pub(crate) has_faults: bool,
    /// The slowest few of a hundred requests for segments take so much longer, µs.
    pub(crate) slower_us: u64,
    /// How much each second's latencies differ from the next second's, 0 to 1; they hang together over some seconds.
    pub(crate) weather: f64,
}

const SCENARIO: &str = r#"
name = "prime-time"
purpose = "An evening's viewers on two nodes, one of which dies."
duration_s = 120
warm_up_s = 10
baseline_s = 20
seed = 7

[targets]
api = "http://127.0.0.1:8443"

[[arrivals]]
kind = "ramp"
rate_per_s = 4
to_per_s = 12

[mix]
players = 0.92
creators = 0.02
api_users = 0.06

[[devices]]
name = "phone-3g"
weight = 3
max_height = 480
bandwidth = { kbit_s = 1500 }

[[devices]]
name = "television"
weight = 1

[[geography]]
name = "lagos"
weight = 4
source_addresses = "127.1.0.0/16"

[[geography]]
name = "abuja"
source_addresses = "127.2.0.0/16"

[[slo]]
name = "quick-start"
metric = "startup_ms"
quantile = 0.95
at_most = 2000

[[slo]]
name = "smooth"
metric = "rebuffer_ratio"
at_most = 0.005

[[slo]]
name = "segments-in-time"
metric = "latency_ms"
class = "segment"
quantile = 0.99
at_most = 400

[[slo]]
name = "hits"
metric = "hit_ratio"
at_least = 0.9

[[slo]]
name = "few-errors"
metric = "error_ratio"
at_most = 0.001

[[nodes]]
name = "edge-1"
pid_file = "edge-1.pid"

[[nodes]]
name = "edge-2"
pid_file = "edge-2.pid"
"#;

const CHAOS: &str = r#"
[[chaos]]
at_s = 50
action = "kill"
target = "edge-1"
for_s = 15
recovery_s = 5
must_hold = ["smooth", "few-errors"]

[[chaos]]
at_s = 85
action = "delay"
target = "edge-2"
delay_ms = 80
for_s = 10
must_hold = ["quick-start"]
"#;

pub(crate) fn scenario(more: &str) -> Scenario {
    let mut text = SCENARIO.to_owned();
    if !more.is_empty() {
        // A node's address and proxy are what faults of the network go through.
        text = text.replace(
            "pid_file = \"edge-2.pid\"\n",
            "pid_file = \"edge-2.pid\"\naddress = \"127.0.0.1:9001\"\nproxy = \"127.0.0.1:9002\"\n",
        );
        text.push_str(more);
    }
    Scenario::parse(&text, "made.toml").unwrap()
}

pub(crate) fn recorded(story: Story) -> Recorded {
    Recorded::new(Results::conclude(run(story)), "0.1.0")
}

pub(crate) fn run(story: Story) -> Run {
    let scenario = scenario(if story.has_chaos { CHAOS } else { "" });
    let chaos = if story.has_chaos {
        vec![
            chaos(0, 50, 65, Action::Kill, "edge-1"),
            chaos(1, 85, 95, Action::Delay, "edge-2"),
        ]
    } else {
        Vec::new()
    };
    Run {
        seen: seen(&scenario, story),
        scenario,
        started_unix_ms: 1_795_350_488_000,
        took_us: (DURATION_S + 9) * 1_000_000 + 400_000,
        machine: Machine {
            cores: 8,
            processor: "Example 9000".to_owned(),
            memory_bytes: 16 << 30,
            system: "Linux 6.12".to_owned(),
        },
        commit: Some("0123abc".to_owned()),
        workers: Workers {
            expected: 4,
            ..Workers::default()
        },
        nodes: nodes(story),
        chaos,
    }
}

fn chaos(step: usize, from_s: u64, until_s: u64, action: Action, target: &str) -> ChaosRecord {
    ChaosRecord {
        step,
        from_us: from_s * 1_000_000 + 20_000,
        until_us: until_s * 1_000_000 + 35_000,
        action,
        target: target.to_owned(),
        error: None,
        must_hold: Vec::new(),
    }
}

/// What users report, in the order of time.
pub(crate) fn seen(scenario: &Scenario, story: Story) -> Partial {
    let mut recorder = Recorder::new(scenario.warm_up_us());
    let mut random = Random::new(story.seed, 0, 0);
    let mut wind = 0.0;
    for second in 0..DURATION_S {
        wind = 0.7 * wind + story.weather * (random.unit() - 0.5);
        let is_hard = story.has_chaos && (50..68).contains(&second);
        let arrivals = 4 + second * 8 / DURATION_S + random.below(3);
        for _ in 0..arrivals {
            let at_us = second * 1_000_000 + random.below(1_000_000);
            arrive(&mut recorder, &mut random, at_us, is_hard);
        }
        let watching = arrivals * 12;
        recorder.playback(&PlaybackSample {
            at_us: second * 1_000_000 + 999_999,
            played_us: watching * if is_hard { 910_000 } else { 999_000 },
            stalled_us: watching * if is_hard { 90_000 } else { 1_000 },
            stalls: u32::from(is_hard) * 9,
            switches: 3,
            media_bits: watching
                * (2_400_000 + random.below(400_000))
                * if is_hard { 6 } else { 10 }
                / 10,
        });
        for _ in 0..60 + arrivals * 8 {
            let at_us = second * 1_000_000 + random.below(1_000_000);
            recorder.request(&request(&mut random, at_us, is_hard, story, wind.exp()));
        }
    }
    if story.has_faults {
        for at_s in [31_u64, 33, 71] {
            recorder.finding(Finding {
                kind: FindingKind::TruncatedSegment,
                at_us: at_s * 1_000_000,
                object: format!("/media/ng/c_ng_0042/v720/{at_s}.m4s"),
                detail: "118,204 bytes of 262,144 came".to_owned(),
            });
        }
        recorder.finding(Finding {
            kind: FindingKind::StaleManifest,
            at_us: 44_000_000,
            object: "/media/ng/c_ng_0042/v720.m3u8".to_owned(),
            detail: "it is 95 s old, and may be used for 30 s".to_owned(),
        });
    }
    recorder.take()
}

fn arrive(recorder: &mut Recorder, random: &mut Random, at_us: u64, is_hard: bool) {
    let slow = if is_hard { 2_500_000.0 } else { 250_000.0 };
    let startup_us = 250_000 + (random.exponential() * slow) as u64;
    let watched_us = 12_000_000 + random.below(6_000_000);
    recorder.arrival(at_us, at_us + 100 + random.below(900));
    recorder.first_frame(at_us + startup_us, startup_us);
    let ended_us = (at_us + watched_us).min((DURATION_S + 8) * 1_000_000);
    recorder.departure(ended_us);
    recorder.session(&SessionSample {
        intended_us: at_us,
        ended_us,
        startup_us: Some(startup_us),
        end: SessionEnd::Complete,
        stalls: u32::from(is_hard),
        stalled_us: if is_hard { 1_100_000 } else { 4_000 },
        played_us: watched_us,
        switches: 2,
        media_bits: watched_us * 24 / 10,
        wrong_bytes: 0,
        truncated: 0,
        retries: 0,
    });
}

fn request(
    random: &mut Random,
    at_us: u64,
    is_hard: bool,
    story: Story,
    busy: f64,
) -> RequestSample {
    let draw = random.below(100);
    let class = match draw {
        0..=7 => RequestClass::Manifest,
        8..=9 => RequestClass::Init,
        10..=93 => RequestClass::Segment,
        94..=96 => RequestClass::api("play"),
        97..=98 => RequestClass::api("refresh"),
        _ => RequestClass::Upload,
    };
    let source = match random.below(100) {
        0..=69 => CacheSource::Memory,
        70..=87 => CacheSource::Disk,
        88..=94 if !is_hard => CacheSource::Shield,
        _ => CacheSource::Origin,
    };
    let mut latency_us = match source {
        CacheSource::Memory => 900.0,
        CacheSource::Disk => 3_500.0,
        CacheSource::Shield => 12_000.0,
        _ => 55_000.0,
    } * (0.5 + random.exponential())
        * busy;
    if is_hard {
        latency_us *= 9.0;
    }
    if class == RequestClass::Segment && latency_us > 60_000.0 {
        latency_us += story.slower_us as f64;
    }
    let latency_us = latency_us as u64 + 200;
    let fails = (story.has_faults && random.chance(0.01)) || (is_hard && random.chance(0.06));
    let outcome = match (fails, random.below(3)) {
        (false, _) => Outcome::Ok,
        (true, 0) => Outcome::Status,
        (true, 1) => Outcome::Reset,
        (true, _) => Outcome::Timeout,
    };
    let opens = random.chance(0.05);
    RequestSample {
        class,
        intended_us: at_us,
        started_us: at_us + random.below(120),
        connect_us: opens.then_some(150 + random.below(200)),
        tls_us: opens.then_some(900 + random.below(700)),
        first_byte_us: Some(at_us + latency_us * 7 / 10),
        last_byte_us: at_us + latency_us,
        bytes: if draw < 10 {
            2_000
        } else {
            180_000 + random.below(90_000)
        },
        status: if outcome == Outcome::Status { 503 } else { 200 },
        source,
        outcome,
    }
}

/// A number that is the same in JSON.
fn exact(value: f64) -> f64 {
    (value * 64.0).round() / 64.0
}

fn nodes(story: Story) -> Vec<NodeSeries> {
    let mut random = Random::new(story.seed, 1, 0);
    ["edge-1", "edge-2"]
        .map(|name| {
            let is_first = name == "edge-1";
            let sample = |second: u64, random: &mut Random| {
                let is_dead = story.has_chaos && is_first && (50..66).contains(&second);
                let has_all = story.has_chaos && !is_first && (50..66).contains(&second);
                let share = if has_all { 1.9 } else { 1.0 };
                let ramp = 0.4 + second as f64 / 150.0;
                let alive = |value: f64| (!is_dead).then_some(value);
                NodeSample {
                    at_us: second * 1_000_000,
                    is_up: !is_dead,
                    cpu_cores: alive(ramp * share * (0.9 + 0.2 * random.unit())).map(exact),
                    memory_bytes: alive(4e8 + 2e6 * second as f64).map(|bytes| bytes as u64),
                    receive_bytes_s: alive(2e6 * ramp * share).map(exact),
                    send_bytes_s: alive(1.8e7 * ramp * share * (0.9 + 0.2 * random.unit()))
                        .map(exact),
                    connections: alive(40.0 * ramp * share).map(|count| count as u64),
                }
            };
            NodeSeries {
                name: name.to_owned(),
                samples: (0..DURATION_S + 8)
                    .step_by(2)
                    .map(|second| sample(second, &mut random))
                    .collect(),
            }
        })
        .to_vec()
}
