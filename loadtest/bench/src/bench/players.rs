//! Ten thousand players of sound and a thousand of pictures, on one processor and in one GiB, every byte checked.

use mcsp_loadtest_bench::{Item, Options};

use super::quantiles::words;
use super::rows::Row;
use super::server::Server;
use super::{Bench, BenchError, child, recorded};

/// Of one processor.
const CPU_MAX: f64 = 1.0;
const MEMORY_MAX_MIB: f64 = 1_024.0;
/// How late users may start, p99, ms.
const LAG_MAX_MS: f64 = 50.0;
/// How long they come, and then how long all of them play, s.
const RAMP_S: u64 = 25;
const STEADY_S: u64 = 35;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    println!("\nPlayers on one processor");
    let sound = Item::new(&[("a64", 0, 64_000)], 4, 30);
    let pictures = Item::new(&[("v360", 360, 800_000)], 4, 30);
    let mut rows = Vec::new();
    for (case, players, item) in [
        ("10 000 players of 64 kb/s sound", 10_000, sound),
        ("1 000 players of 360p at 800 kb/s", 1_000, pictures),
    ] {
        rows.extend(play(bench, case, players, item)?);
    }
    Ok(rows)
}

fn play(bench: &Bench, case: &str, players: u64, item: Item) -> Result<Vec<Row>, BenchError> {
    let server = Server::start(Options {
        item,
        ..Options::default()
    })?;
    let duration_s = RAMP_S + STEADY_S;
    let rate = players as f64 / RAMP_S as f64;
    let text = format!(
        "name = \"players\"\nprotocol = \"h1\"\nduration_s = {duration_s}\n\
         arrivals = [{{ kind = \"constant\", rate_per_s = {rate}, for_s = {RAMP_S} }}]\n\
         content = {{ ids = [\"item\"] }}\n\
         player = {{ watch_min_s = 600, watch_max_s = 600, check = \"agreement\" }}\n\
         tool = {{ drain_ms = 0 }}\n\
         slo = [{{ name = \"rebuffer\", metric = \"rebuffer_ratio\", at_most = 0 }}, \
         {{ name = \"errors\", metric = \"error_ratio\", at_most = 0 }}]\n\
         [targets]\napi = \"http://{}/\"\n",
        server.address
    );
    let scenario = bench.scenario("players", &text)?;
    let out = bench.out("players");
    let ran = child::run(&bench.load, &words(&scenario, &out), &out)?;
    server.end();
    let results = recorded(&out)?.results;
    let segments = results.seen.counts_of(Some("segment"));
    let steady = results
        .seen
        .timeline
        .sum(RAMP_S * 1_000_000..duration_s * 1_000_000)
        .counts_of(Some("segment"));
    let lag_ms = results.seen.lag.quantile_us(0.99).unwrap_or(0) as f64 / 1e3;
    println!(
        "{case}: {} sessions, {} segments ({:.0}/s and {:.0} Mbit/s once all were there), {} stalls, {} errors, verdict {}: {}",
        results.seen.sessions.started,
        segments.requests,
        steady.requests as f64 / STEADY_S as f64,
        steady.bytes as f64 * 8.0 / 1e6 / STEADY_S as f64,
        results.seen.sessions.stalls,
        segments.errors,
        results.verdict.kind.name(),
        results.verdict.reasons.join("; ")
    );
    // Every byte that came is hashed, and held against what the other players got.
    let came = segments.bytes + results.seen.counts_of(Some("init")).bytes;
    let checked = results.seen.checked.hashed_bytes();
    println!("{case}: {checked} bytes were checked of {came} that came");
    let unwell = f64::from(u8::from(results.verdict.kind.exit_status() != 0));
    Ok(vec![
        Row::at_most(
            case,
            ("CPU", "cores"),
            &[ran.cpu_s / ran.wall_s],
            ("one processor", &[CPU_MAX]),
            1.0,
        ),
        Row::at_most(
            case,
            ("peak RSS", "MiB"),
            &[ran.memory_bytes as f64 / f64::from(1 << 20)],
            ("the bound of 1 GiB", &[MEMORY_MAX_MIB]),
            1.0,
        ),
        Row::at_most(
            case,
            ("lag p99", "ms"),
            &[lag_ms],
            ("the bound of 50 ms", &[LAG_MAX_MS]),
            1.0,
        ),
        Row::at_most(
            case,
            ("not checked", "bytes"),
            &[came.abs_diff(checked) as f64],
            ("every byte is checked", &[1.0]),
            0.0,
        ),
        Row::at_most(
            case,
            ("not passed", "runs"),
            &[unwell],
            ("every run has to pass", &[1.0]),
            0.0,
        ),
    ])
}
