//! The firewall: the Core Rule Set's tests against a running edge, and its cost beside libmodsecurity.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::report::{self, Row};
use crate::setup;
use crate::shell::{self, Failure, cargo, command, output, root, run, say, target_dir};

/// The peer, as Python's package index has it.
const PEER: &str = "libmodsecurity==3.0.15";
/// Where the rules are if nobody says: beside the project, or Debian's.
const RULES: [&str; 2] = [
    "../shared/data/crs/rules-4.25.1",
    "/usr/share/modsecurity-crs/rules",
];
/// Where the tests of these rules are if nobody says.
const TESTS: &str = "../shared/data/crs/tests-4.25.1.jsonl";
/// The exit status by which `mcsp-crs` says that tests failed.
const EXIT_NOT_MET: i32 = 2;
/// Requests of each kind in one run of ours; the peer does a twentieth.
const REQUESTS: u32 = 10_000;
/// Runs of each; the figures are medians.
const RUNS: usize = 3;
/// Microseconds that a request may take: by its name, see `mcsp-waf bench`.
const BOUNDS_US: [(&str, f64); 4] = [
    ("segment GET", 60.0),
    ("500-byte JSON POST", 150.0),
    ("media GET, a client that was seen", 5.0),
    ("media GET, a new client each time", 5.0),
];
/// What the lane for media may add to a request, p99, microseconds: all that stands before a cached segment has as much.
const MEDIA_P99_US: f64 = 50.0;
/// Memory that one rule set may take, MiB.
const MEMORY_MIB: f64 = 64.0;

#[derive(Debug, Deserialize)]
struct Figures {
    #[serde(default)]
    engine: String,
    resident_kib: f64,
    #[serde(default)]
    binding_us: f64,
    #[serde(default)]
    media_p99_us: Option<f64>,
    cases: Vec<(String, f64)>,
}

fn figures(command: &mut Command) -> Result<Figures, Failure> {
    let text = output(command)?;
    serde_json::from_str(&text).map_err(|error| Failure::Other(format!("{error}: {text}")))
}

/// Python with the peer, in an environment under the target folder.
fn peer() -> Result<PathBuf, Failure> {
    setup::programs(&[("python3", "python3-venv")])?;
    let environment = target_dir().join("tools/libmodsecurity");
    let stamp = environment.join("installed.txt");
    if !std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == PEER) {
        say(&format!("installing {PEER} under the target folder"));
        run(command("python3").args(["-m", "venv"]).arg(&environment))?;
        run(command(environment.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            PEER,
        ]))?;
        std::fs::write(&stamp, PEER)?;
    }
    Ok(environment.join("bin/python"))
}

/// The folder of rules: the one that is named, or the first that is here.
pub(crate) fn rules(named: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(std::path::absolute(named)?);
    }
    let known = RULES.map(|folder| root().join(folder));
    if let Some(folder) = known.into_iter().find(|folder| folder.is_dir()) {
        return Ok(std::path::absolute(folder)?);
    }
    setup::system_packages()?;
    Ok(PathBuf::from(RULES[1]))
}

fn build() -> Result<PathBuf, Failure> {
    say("building mcsp-waf");
    shell::run(&mut cargo(&[
        "build",
        "--release",
        "--bins",
        "--package",
        "mcsp-edge-waf",
    ]))?;
    Ok(target_dir().join("release/mcsp-waf"))
}

/// Processor time a request and memory of one rule set, ours and libmodsecurity's in turn.
pub(crate) fn bench(options: &[&str]) -> Result<(), Failure> {
    let named = match options {
        [] => None,
        ["--rules", folder] => Some(*folder),
        other => {
            return Err(Failure::Usage(format!(
                "bench waf takes --rules FOLDER, not {other:?}"
            )));
        }
    };
    let rules = rules(named)?;
    let program = build()?;
    let python = peer()?;
    let workload = target_dir().join("bench/waf-workload.json");
    std::fs::create_dir_all(target_dir().join("bench"))?;
    std::fs::write(&workload, output(Command::new(&program).arg("workload"))?)?;
    let load = report::load_average();
    println!("rules: {}", rules.display());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(figures(
            Command::new(&program)
                .args(["bench", "--json", "--requests", &REQUESTS.to_string()])
                .arg("--rules")
                .arg(&rules),
        )?);
        theirs.push(figures(
            Command::new(&python)
                .arg(root().join("loadtest/waf/modsecurity_peer.py"))
                .arg(&workload)
                .arg(&rules)
                .arg((REQUESTS / 20).to_string()),
        )?);
    }
    let peer_name = theirs.first().map_or("", |run| run.engine.as_str());
    let binding: Vec<f64> = theirs.iter().map(|run| run.binding_us).collect();
    println!("{peer_name}, of which the calls from Python: {binding:.0?} us");
    let rows = rows(&ours, &theirs, peer_name);
    report::publish("waf", load, &rows)?;
    if rows.iter().all(|row| row.met) {
        return Ok(());
    }
    Err(Failure::Other(
        "bench waf: not every goal is met".to_owned(),
    ))
}

fn rows(ours: &[Figures], theirs: &[Figures], peer_name: &str) -> Vec<Row> {
    let of = |runs: &[Figures], name: &str| -> Vec<f64> {
        let case = |run: &Figures| {
            run.cases
                .iter()
                .find(|(case, _)| case == name)
                .map(|(_, us)| *us)
        };
        runs.iter().filter_map(case).collect()
    };
    let row =
        |case: &str, metric: &str, unit: &str, samples: &[f64], bound: f64, peer: Vec<f64>| {
            let mut row = Row::new(case, metric, unit, samples, ("the bound", &[bound]), 1.0);
            if !peer.is_empty() {
                row.peers = BTreeMap::from([(peer_name.to_owned(), report::median(&peer))]);
            }
            row
        };
    let mut rows: Vec<Row> = BOUNDS_US
        .iter()
        .map(|(name, bound)| (name, bound, of(ours, name)))
        .filter(|(_, _, samples)| !samples.is_empty())
        .map(|(name, bound, samples)| row(name, "CPU", "us", &samples, *bound, of(theirs, name)))
        .collect();
    let p99: Vec<f64> = ours.iter().filter_map(|run| run.media_p99_us).collect();
    if !p99.is_empty() {
        let case = "media GET, one client in twenty new";
        rows.push(row(case, "p99", "us", &p99, MEDIA_P99_US, Vec::new()));
    }
    let mib = |runs: &[Figures]| {
        runs.iter()
            .map(|run| run.resident_kib / 1024.0)
            .collect::<Vec<_>>()
    };
    rows.push(row(
        "one rule set",
        "resident",
        "MiB",
        &mib(ours),
        MEMORY_MIB,
        mib(theirs),
    ));
    rows
}

/// The Core Rule Set's regression tests against a running edge, at every paranoia level. Without them, the tests that the project
/// writes itself, on Debian's rules.
pub(crate) fn conformance(options: &[&str]) -> Result<(), Failure> {
    let (mut named_rules, mut named_tests, mut passed_on) = (None, None, Vec::new());
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match (*word, words.next()) {
            ("--rules", Some(folder)) => named_rules = Some(*folder),
            ("--tests", Some(file)) => named_tests = Some(*file),
            ("--paranoia", Some(level)) => passed_on = vec!["--paranoia", *level],
            (other, _) => {
                return Err(Failure::Usage(format!(
                    "conformance crs takes --rules FOLDER, --tests FILE and --paranoia LEVEL, not {other:?}"
                )));
            }
        }
    }
    let tests = match named_tests {
        Some(named) => std::path::absolute(named)?,
        None => root().join(TESTS),
    };
    if !tests.is_file() {
        say("the regression tests are not here: our own, on Debian's rules");
        setup::system_packages()?;
        return run(&mut cargo(&[
            "nextest",
            "run",
            "--package",
            "mcsp-edge-waf",
            "--package",
            "mcsp-edge-node",
            "-E",
            "package(mcsp-edge-waf) + test(/^waf::/)",
        ]));
    }
    let rules = rules(named_rules)?;
    say("building mcsp-edge and mcsp-crs");
    shell::run(&mut cargo(&[
        "build",
        "--bins",
        "--package",
        "mcsp-edge-node",
        "--package",
        "mcsp-loadtest-waf",
    ]))?;
    let bin_dir = target_dir().join("debug");
    let counts = target_dir().join("waf/crs.json");
    std::fs::create_dir_all(target_dir().join("waf"))?;
    let load = report::load_average();
    let status = Command::new(bin_dir.join("mcsp-crs"))
        .arg("--node-program")
        .arg(bin_dir.join("mcsp-edge"))
        .arg("--rules")
        .arg(rules)
        .arg("--tests")
        .arg(tests)
        .arg("--data-dir")
        .arg(target_dir().join("waf/nodes"))
        .arg("--report")
        .arg(&counts)
        .args(&passed_on)
        .status()
        .map_err(|source| Failure::Start {
            program: "mcsp-crs".to_owned(),
            source,
        })?;
    if !matches!(status.code(), Some(0 | EXIT_NOT_MET)) {
        return Err(Failure::Ended {
            line: "mcsp-crs".to_owned(),
            status: status.to_string(),
        });
    }
    if options.is_empty() {
        report::write_conformance("crs", load, &std::fs::read_to_string(counts)?)?;
    }
    if status.success() {
        return Ok(());
    }
    Err(Failure::Other(
        "conformance crs: not every test passes".to_owned(),
    ))
}
