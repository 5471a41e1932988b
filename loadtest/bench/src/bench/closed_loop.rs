//! Closed loops: as many connections, each of which asks again as soon as it was answered, beside wrk.

use std::path::Path;

use mcsp_loadtest_bench::{Delays, Options};

use super::quantiles::words;
use super::rows::Row;
use super::server::Server;
use super::{Bench, BenchError, child, recorded};

/// By how much the two may differ.
const SHARE: f64 = 0.03;
const CONNECTIONS: u32 = 32;
/// How long wrk asks, s; ours is judged by as many seconds.
const SECONDS: u64 = 8;
/// Of ours, before and after these seconds users come and go, s.
const MARGIN_S: u64 = 2;

pub(crate) fn run(bench: &Bench, wrk: &Path) -> Result<Vec<Row>, BenchError> {
    println!("\nClosed loops of {CONNECTIONS} connections beside wrk");
    let cases = [
        (
            "a server that answers after 5 ms",
            Options {
                delays: Delays::Fixed(5_000),
                ..Options::default()
            },
        ),
        (
            "a server that can no more: 100 µs of its core an answer",
            Options {
                work_us: 100,
                ..Options::default()
            },
        ),
    ];
    let mut rows = Vec::new();
    for (case, options) in cases {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.passes {
            ours.push(our_rate(bench, options.clone())?);
            theirs.push(wrk_rate(bench, wrk, options.clone())?);
        }
        let peer = ("wrk, one thread", theirs.as_slice());
        let case = format!("closed loop: {case}");
        rows.push(Row::within(&case, ("requests", "/s"), &ours, peer, SHARE));
    }
    Ok(rows)
}

/// Answers per second in the middle of a run, when all users are there.
fn our_rate(bench: &Bench, options: Options) -> Result<f64, BenchError> {
    let server = Server::start(options)?;
    let duration_s = SECONDS + 2 * MARGIN_S;
    // All come within the first second, and leave with the end of the run.
    let text = format!(
        "name = \"closed-loop\"\nprotocol = \"h1\"\nduration_s = {duration_s}\n\
         arrivals = [{{ kind = \"constant\", rate_per_s = {CONNECTIONS}, for_s = 1 }}]\n\
         mix = {{ players = 0, api_users = 1 }}\n\
         accounts = {{ count = {CONNECTIONS} }}\n\
         api_user = {{ calls = 100000, think_min_ms = 0, think_max_ms = 0, actions = {{ refresh = 0, me = 1, browse = 0, play = 0 }} }}\n\
         tool = {{ drain_ms = 0 }}\n[targets]\napi = \"http://{}/\"\n",
        server.address
    );
    let scenario = bench.scenario("closed-loop", &text)?;
    let out = bench.out("closed-loop");
    child::run(&bench.load, &words(&scenario, &out), &out)?;
    server.end();
    let recorded = recorded(&out)?;
    let span = MARGIN_S * 1_000_000..(MARGIN_S + SECONDS) * 1_000_000;
    let sum = recorded.results.seen.timeline.sum(span);
    Ok(sum.counts_of(None).requests as f64 / SECONDS as f64)
}

fn wrk_rate(bench: &Bench, wrk: &Path, options: Options) -> Result<f64, BenchError> {
    let server = Server::start(options)?;
    let words = [
        "-t1".to_owned(),
        format!("-c{CONNECTIONS}"),
        format!("-d{SECONDS}s"),
        "-H".to_owned(),
        "authorization: Bearer t".to_owned(),
        format!("http://{}/api/v1/users/me", server.address),
    ];
    let ran = child::run(wrk, &words, &bench.out("wrk"))?;
    server.end();
    ran.out
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("Requests/sec:")?
                .trim()
                .parse()
                .ok()
        })
        .ok_or_else(|| BenchError::Broken(format!("wrk told no rate: {}", ran.out)))
}
