//! Against a server of known delays, every quantile is the truth's, within a millisecond.

use mcsp_loadtest_bench::{Delays, Options};
use mcsp_loadtest_measure::{Phase, RequestClass};

use super::rows::Row;
use super::server::Server;
use super::{Bench, BenchError, child, recorded};

/// What a quantile may be off, ms.
const BOUND_MS: f64 = 1.0;
const QUANTILES: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
/// Beyond this, a histogram of three digits itself is a millisecond wide.
const SECONDS: u64 = 40;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    println!(
        "\nQuantiles of an API call against a server that delays its answers by what is drawn from a lognormal distribution"
    );
    let server = Server::start(Options {
        delays: Delays::Lognormal {
            median_us: 15_000,
            sigma: 0.8,
            seed: 5,
        },
        ..Options::default()
    })?;
    // 20 users a second, each of whom calls 20 times a second: some 400 calls a second at the end.
    let text = format!(
        "name = \"quantiles\"\nprotocol = \"h1\"\nduration_s = {SECONDS}\n\
         arrivals = [{{ kind = \"poisson\", rate_per_s = 20 }}]\n\
         mix = {{ players = 0, api_users = 1 }}\n\
         api_user = {{ calls = 20, think_min_ms = 20, think_max_ms = 60, actions = {{ refresh = 0, me = 1, browse = 0, play = 0 }} }}\n\
         [targets]\napi = \"http://{}/\"\n",
        server.address
    );
    let scenario = bench.scenario("quantiles", &text)?;
    let out = bench.out("quantiles");
    let words = words(&scenario, &out);
    let ran = child::run(&bench.load, &words, &out)?;
    let mut truth_us = server.end().delays_us;
    let recorded = recorded(&out)?;
    if ran.status != Some(0) || truth_us.is_empty() {
        return Err(BenchError::Broken(format!(
            "the run for quantiles is no pass: {:?}",
            recorded.results.verdict
        )));
    }
    truth_us.sort_unstable();
    let class = RequestClass::api("me");
    let seen = recorded
        .results
        .seen
        .latencies
        .get(&class, Phase::FirstByte);
    let seen = seen.ok_or_else(|| BenchError::Broken("no call was seen".to_owned()))?;
    println!(
        "{} calls were answered, {} were seen; p99 of the tool's own lag {:.3} ms",
        truth_us.len(),
        seen.count(),
        recorded.results.seen.lag.quantile_us(0.99).unwrap_or(0) as f64 / 1e3
    );
    println!(
        "{:>9} {:>12} {:>12} {:>10}",
        "quantile", "truth ms", "seen ms", "off ms"
    );
    let mut rows = Vec::new();
    for quantile in QUANTILES {
        let truth_ms = of_sorted(&truth_us, quantile) / 1e3;
        let seen_ms = seen.quantile_us(quantile).unwrap_or(0) as f64 / 1e3;
        let off_ms = (seen_ms - truth_ms).abs();
        println!(
            "{:>9} {truth_ms:>12.3} {seen_ms:>12.3} {:>10.3}",
            format!("p{}", quantile * 100.0),
            seen_ms - truth_ms
        );
        rows.push((quantile, off_ms));
    }
    Ok(rows
        .into_iter()
        .map(|(quantile, off_ms)| {
            Row::at_most(
                &format!("known delays: p{} is off by", quantile * 100.0),
                ("deviation", "ms"),
                &[off_ms],
                ("the bound of 1 ms", &[BOUND_MS]),
                1.0,
            )
        })
        .collect())
}

/// The words of a run.
pub(crate) fn words(scenario: &std::path::Path, out: &std::path::Path) -> Vec<String> {
    [
        "run".to_owned(),
        scenario.display().to_string(),
        "--quiet".to_owned(),
        "--out".to_owned(),
        out.display().to_string(),
    ]
    .to_vec()
}

/// The value at or below which this share lies, as HdrHistogram says it.
fn of_sorted(sorted: &[u32], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
    let at = rank.min(sorted.len()).saturating_sub(1);
    sorted.get(at).copied().map_or(0.0, f64::from)
}
