//! Processor time a request, and memory.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mcsp_edge_waf::replay::{self, Generation};
use mcsp_edge_waf::{
    Client, Collections, Environment, Limits, MediaHead, MonotonicTicks, Outcome, Policy, RuleSet,
    Transaction,
};

use crate::AnyError;

const GET_TARGET: &str = "/media/v1/9f2c7d1e5b/global/01J9ZQ6W5T3K8/video/720p/seg-000123.m4s";

pub(crate) fn run(rules: &Path, generation: Generation, requests: u32) -> Result<(), AnyError> {
    let before = resident_bytes();
    let set = replay::load(rules, generation, 1)?;
    println!(
        "rules {}: {} KiB resident after loading",
        set.len(),
        (resident_bytes() - before) / 1024
    );
    let environment = Arc::new(Environment {
        // A machine that is busy with something else is not to end the measurement.
        limits: Limits {
            budget_us: 1_000_000,
            ..Limits::default()
        },
        ticks: Arc::new(MonotonicTicks::default()),
        collections: Collections::new(10_000),
    });
    media_lane(&Policy::plain(&set), requests);
    let body = json_body();
    measure("segment GET", requests, || segment_get(&set, &environment));
    measure(&format!("{}-byte JSON POST", body.len()), requests, || {
        json_post(&set, &environment, body.as_bytes())
    });
    println!(
        "{} KiB resident after the requests",
        (resident_bytes() - before) / 1024
    );
    Ok(())
}

fn measure(name: &str, requests: u32, mut request: impl FnMut() -> Outcome) {
    for _ in 0..requests / 10 {
        request();
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Spent::now();
        for _ in 0..requests / 5 {
            assert_eq!(request(), Outcome::Pass, "{name} is not to be blocked");
        }
        best = best.min(start.elapsed_us() / f64::from(requests / 5));
    }
    println!("{name}: {best:.2} us");
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

fn client() -> Client {
    Client {
        address: ADDRESS,
        port: 50_000,
        server: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        server_port: 443,
        country: None,
        id: "b9c1f7e2d4a85360".to_owned(),
        now_ms: 1_700_000_000_000,
    }
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

const HEADERS: &[(&str, &str)] = &[
    ("Host", "media.example.org"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
    ("Accept", "*/*"),
    ("Accept-Language", "en-GB,en;q=0.9,yo;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://media.example.org/watch/01J9ZQ6W5T3K8"),
    ("Origin", "https://media.example.org"),
];

/// The lane for media, for clients it has seen and for new ones.
fn media_lane(policy: &Policy, requests: u32) {
    let Some(rules) = policy.media_rules() else {
        println!("media lane: this rule set has none");
        return;
    };
    println!("media lane: {rules} rules");
    let clears = |user_agent: &str, nth: u32| {
        let range = format!("bytes={nth}-{}", nth + 65_535);
        let fields = HEADERS
            .iter()
            .map(|(name, value)| match *name {
                "User-Agent" => (*name, user_agent),
                _ => (*name, *value),
            })
            .chain([("Range", range.as_str())])
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        MediaHead::of_fields(ADDRESS, fields).is_some_and(|head| policy.clears_media(&head))
    };
    let answer = |cleared| match cleared {
        true => Outcome::Pass,
        false => Outcome::Overrun,
    };
    let mut nth = 0;
    // Short ones need many to be seen by the system's clock of processor time.
    let requests = requests.saturating_mul(50);
    measure("media lane, a known client", requests, || {
        nth += 1;
        answer(clears(HEADERS[1].1, nth))
    });
    measure("media lane, a new client each time", requests, || {
        nth += 1;
        answer(clears(&format!("{}.{nth}", HEADERS[1].1), nth))
    });
}

fn segment_get(set: &Arc<RuleSet>, environment: &Arc<Environment>) -> Outcome {
    let mut transaction = Transaction::new(set, environment, client());
    transaction.request_line(b"GET", GET_TARGET.as_bytes(), b"HTTP/1.1");
    for (name, value) in HEADERS {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    transaction.request_head_done();
    transaction.request_body_done();
    respond(&mut transaction, "video/iso.segment")
}

fn json_post(set: &Arc<RuleSet>, environment: &Arc<Environment>, body: &[u8]) -> Outcome {
    let mut transaction = Transaction::new(set, environment, client());
    transaction.request_line(
        b"POST",
        b"/api/v1/content/01J9ZQ6W5T3K8/comments",
        b"HTTP/1.1",
    );
    for (name, value) in HEADERS {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    transaction.request_header(b"Content-Type", b"application/json");
    transaction.request_header(b"Content-Length", body.len().to_string().as_bytes());
    transaction.request_head_done();
    transaction.request_body(body);
    transaction.request_body_done();
    respond(&mut transaction, "application/json")
}

fn respond(transaction: &mut Transaction, content_type: &str) -> Outcome {
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", content_type.as_bytes());
    let mut outcome = transaction.response_head_done();
    if outcome == Outcome::Pass {
        outcome = transaction.response_body_done();
    }
    transaction.finish();
    outcome
}

fn json_body() -> String {
    let fields: [(&str, &str); 14] = [
        ("title", "Market day in Ibadan"),
        ("summary", "A walk through the stalls, with music and talk"),
        ("language", "yo"),
        ("category", "documentary"),
        ("visibility", "public"),
        ("license", "standard"),
        ("series", "Cities of the West"),
        ("episode", "12"),
        ("artist", "Ade Bello"),
        ("location", "Ibadan, Oyo"),
        ("published", "2026-03-04T10:00:00Z"),
        ("thumbnail", "thumb-720.jpg"),
        ("contact", "studio@example.org"),
        (
            "note",
            "Subtitles come with the second upload, please keep the first one until that one is through",
        ),
    ];
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    format!(
        "{{{},\"tags\":[\"market\",\"music\",\"food\"]}}",
        pairs.join(",")
    )
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<i64>().ok())
        .unwrap_or(0)
        * 4096
}
