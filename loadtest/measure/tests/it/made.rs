//! Runs that are made up.

use mcsp_loadtest_measure::{
    CacheSource, Machine, Outcome, Partial, Recorder, RequestClass, RequestSample, Results, Run,
    SessionEnd, SessionSample, Workers,
};
use mcsp_loadtest_scenario::{Random, Scenario};

pub(crate) fn scenario(more: &str) -> Scenario {
    let text = format!(
        "name = \"made\"\nduration_s = 60\nwarm_up_s = 2\nbaseline_s = 18\n[targets]\napi = \"http://127.0.0.1:1\"\n\
         [[arrivals]]\nkind = \"constant\"\nrate_per_s = 1\n{more}"
    );
    Scenario::parse(&text, "made.toml").unwrap()
}

pub(crate) fn request(at_us: u64, latency_us: u64) -> RequestSample {
    RequestSample {
        class: RequestClass::Segment,
        intended_us: at_us,
        started_us: at_us,
        connect_us: None,
        tls_us: None,
        first_byte_us: Some(at_us + latency_us / 2),
        last_byte_us: at_us + latency_us,
        bytes: 1_000,
        status: 200,
        source: CacheSource::Memory,
        outcome: Outcome::Ok,
    }
}

pub(crate) fn session(intended_us: u64) -> SessionSample {
    SessionSample {
        intended_us,
        ended_us: intended_us + 20_500_000,
        startup_us: Some(500_000),
        end: SessionEnd::Complete,
        stalls: 0,
        stalled_us: 0,
        played_us: 20_000_000,
        switches: 1,
        media_bits: 40_000_000,
        wrong_bytes: 0,
        truncated: 0,
        retries: 0,
    }
}

/// A minute of requests, 100 a second, of 5 to 50 ms; `change` makes each what it is to be.
pub(crate) fn seen(seed: u64, change: impl Fn(&mut RequestSample, &mut Random)) -> Partial {
    let scenario = scenario("");
    let mut recorder = Recorder::new(scenario.warm_up_us());
    let mut random = Random::new(seed, 0, 0);
    for n in 0..6_000_u64 {
        let latency_us = 5_000 + (random.exponential() * 8_000.0) as u64;
        let mut sample = request(n * 10_000, latency_us.min(50_000));
        change(&mut sample, &mut random);
        recorder.request(&sample);
    }
    for second in 0..60_u64 {
        recorder.arrival(second * 1_000_000, second * 1_000_000 + 300);
        recorder.first_frame(second * 1_000_000 + 500_000, 500_000);
        recorder.session(&session(second * 1_000_000));
    }
    recorder.take()
}

pub(crate) fn slower(sample: &mut RequestSample, us: u64) {
    sample.first_byte_us = sample.first_byte_us.map(|at_us| at_us + us);
    sample.last_byte_us += us;
}

pub(crate) fn run(scenario: Scenario, seen: Partial) -> Run {
    Run {
        scenario,
        started_unix_ms: 1_790_000_000_000,
        took_us: 61_000_000,
        machine: Machine::default(),
        commit: None,
        workers: Workers {
            expected: 1,
            ..Workers::default()
        },
        seen,
        nodes: Vec::new(),
        chaos: Vec::new(),
    }
}

pub(crate) fn results(seed: u64, change: impl Fn(&mut RequestSample, &mut Random)) -> Results {
    Results::conclude(run(scenario(""), seen(seed, change)))
}
