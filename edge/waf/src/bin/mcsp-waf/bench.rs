//! Processor time a request, and memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mcsp_edge_waf::{
    Client, Collections, Environment, Limits, MediaHead, Mode, MonotonicTicks, Outcome, Policy,
    RulesConfig, ThreadTicks, Transaction, load_rules,
};
use serde::Serialize;

use crate::AnyError;
use crate::workload::{CLIENT, Sample, samples};

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Rules at paranoia level 1.
    pub(crate) rules: usize,
    /// Resident memory of one compiled set, KiB.
    pub(crate) resident_kib: i64,
    /// By request: microseconds of processor time.
    pub(crate) cases: Vec<(String, f64)>,
    /// What the lane for media adds to a request, p99 by the clock, microseconds, where one client in twenty is new.
    pub(crate) media_p99_us: Option<f64>,
}

/// Rules as a node loads them by default.
pub(crate) fn config(rules: &Path) -> RulesConfig {
    RulesConfig {
        files: vec![rules.to_path_buf()],
        ..RulesConfig::default()
    }
}

pub(crate) fn run(rules: &Path, requests: u32) -> Result<Figures, AnyError> {
    let before = resident_kib();
    let set = load_rules(&config(rules))?;
    let policy = Policy::new(&set, Mode::Block, &Default::default())?;
    let environment = Arc::new(Environment {
        // A machine that is busy with something else is not to end the measurement.
        limits: Limits {
            budget_us: 1_000_000,
            ..Limits::default()
        },
        ticks: Arc::new(MonotonicTicks::default()),
        effort: Arc::new(ThreadTicks),
        collections: Collections::new(10_000),
    });
    let mut cases = Vec::new();
    for sample in &samples() {
        let us = measure(sample.name, requests, |_| {
            request(&policy, &environment, sample)
        });
        cases.push((sample.name.to_owned(), us));
    }
    let [get, _] = samples();
    let mut media_p99_us = None;
    if policy.media_rules().is_some() {
        // Short ones need many to be seen by the system's clock of processor time.
        let requests = requests.saturating_mul(20);
        for (name, is_new) in [
            ("media GET, a client that was seen", false),
            ("media GET, a new client each time", true),
        ] {
            let asked = asked(&get);
            let us = measure(name, requests, |nth| {
                media(&policy, &get, &asked[nth as usize % ASKED], is_new)
            });
            cases.push((name.to_owned(), us));
        }
        let asked = asked(&get);
        media_p99_us = Some(p99_us(requests, |nth| {
            media(&policy, &get, &asked[nth as usize % ASKED], nth % 20 == 0)
        }));
    }
    Ok(Figures {
        rules: set.len(),
        resident_kib: resident_kib() - before,
        cases,
        media_p99_us,
    })
}

fn measure(name: &str, requests: u32, mut request: impl FnMut(u32) -> Outcome) -> f64 {
    (0..requests / 10).for_each(|nth| drop(request(nth)));
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Spent::now();
        for nth in 0..requests / 5 {
            assert_eq!(request(nth), Outcome::Pass, "{name} is not to be blocked");
        }
        best = best.min(start.elapsed_us() / f64::from(requests / 5));
    }
    best
}

/// The time by the clock that all but one in a hundred calls stay below.
fn p99_us(calls: u32, mut call: impl FnMut(u32) -> Outcome) -> f64 {
    let mut times: Vec<f64> = (0..calls)
        .map(|nth| {
            let start = Instant::now();
            call(nth);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(0.0)
}

/// Processor time of this thread, or time by the clock where the system does not say.
struct Spent {
    processor_ns: Option<u64>,
    clock: Instant,
}

impl Spent {
    fn now() -> Self {
        Self {
            processor_ns: processor_ns(),
            clock: Instant::now(),
        }
    }

    fn elapsed_us(&self) -> f64 {
        let spent = self
            .processor_ns
            .zip(processor_ns())
            .map(|(before, after)| after.saturating_sub(before));
        spent.map_or_else(
            || self.clock.elapsed().as_secs_f64() * 1e6,
            |ns| ns as f64 / 1e3,
        )
    }
}

fn processor_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// All phases, as a node runs them.
fn request(policy: &Policy, environment: &Arc<Environment>, sample: &Sample) -> Outcome {
    let client = Client {
        address: CLIENT,
        port: 50_000,
        server: CLIENT,
        server_port: 443,
        country: None,
        signals: Default::default(),
        id: "b9c1f7e2d4a85360".to_owned(),
        now_ms: 1_700_000_000_000,
    };
    let mut transaction = Transaction::under(policy, environment, client);
    transaction.request_line(
        sample.method.as_bytes(),
        sample.target.as_bytes(),
        b"HTTP/1.1",
    );
    for (name, value) in &sample.headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    transaction.request_head_done();
    if !sample.body.is_empty() {
        transaction.request_body(sample.body.as_bytes());
    }
    transaction.request_body_done();
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", sample.answered_type.as_bytes());
    transaction.response_head_done();
    let outcome = transaction.response_body_done();
    transaction.finish();
    outcome
}

/// What tells a request for media from others: its range, and the `User-Agent` that it has if its client is new.
struct Asked {
    range: String,
    agent: String,
}

/// Many more than the lane remembers, so that each has been forgotten when it comes again.
const ASKED: usize = 8192;

/// Made beforehand: a client's work is not the firewall's.
fn asked(sample: &Sample) -> Vec<Asked> {
    let of = |nth| Asked {
        range: format!("bytes={nth}-{}", nth + 65_535),
        agent: format!("{} n/{nth}", sample.headers[1].1),
    };
    (0..ASKED).map(of).collect()
}

/// The lane for media.
fn media(policy: &Policy, sample: &Sample, asked: &Asked, is_new: bool) -> Outcome {
    let fields = sample.headers.iter().map(|(name, value)| match *name {
        "User-Agent" if is_new => (name.as_bytes(), asked.agent.as_bytes()),
        _ => (name.as_bytes(), value.as_bytes()),
    });
    let fields = fields.chain([(&b"Range"[..], asked.range.as_bytes())]);
    let line = (&b"GET"[..], &b"HTTP/1.1"[..]);
    match MediaHead::of_fields(line, CLIENT, [b""; 3], fields)
        .is_some_and(|head| policy.clears_media(&head))
    {
        true => Outcome::Pass,
        false => Outcome::Overrun,
    }
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_kib() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<i64>().ok())
        .unwrap_or(0)
        * 4
}
