//! The firewall: the Core Rule Set's tests against a running edge, and its cost beside libmodsecurity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::report::{self, Row};
use crate::setup;
use crate::shell::{
    self, Failure, cargo, command, has_program, output, root, run, say, target_dir,
};

/// The peer, as Python's package index has it.
const PEER: &str = "libmodsecurity==3.0.15";
/// Where the newer rules and the tests are if nobody says: beside the project.
const BESIDE: &str = "../shared/data/crs";
/// The folder of rules in it.
const NEWER: &str = "rules-4.25.1";
/// By this name tests are told where that is, and a person tells us of another place.
const BESIDE_NAME: &str = "MCSP_CRS_DIR";
/// Where the rules are if nobody says: beside the project, or Debian's.
const RULES: [&str; 2] = [
    "../shared/data/crs/rules-4.25.1",
    "/usr/share/modsecurity-crs/rules",
];
/// The sets of tests if nobody says which: their name, the tests, and the rules that they are of.
const SETS: [(&str, &str, &str); 2] = [
    (
        "4.25.1",
        "../shared/data/crs/tests-4.25.1.jsonl",
        "../shared/data/crs/rules-4.25.1",
    ),
    (
        "3.3.4",
        "../shared/data/crs/tests-3.3.4.jsonl",
        "/usr/share/modsecurity-crs/rules",
    ),
];
/// What stands in where none of these is here: tests that the project writes itself, of Debian's rules.
const OWN: (&str, &str) = ("our own, of 3.3.4", "edge/waf/tests/own/requests.jsonl");
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
/// What the lane for media is measured by as a whole.
const MEDIA_CASE: &str = "media GET, one client in twenty new";
/// What the lane for media may add to a request, p99, microseconds: all that stands before a cached segment has as much.
const MEDIA_P99_US: f64 = 50.0;
/// What a rule set takes in memory.
const MEMORY_CASE: &str = "one rule set";
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

/// What tests are told of the newer rules, a name and a folder, where these are at hand. Where they are not, the person is told.
pub(crate) fn for_tests() -> Result<Option<(&'static str, PathBuf)>, Failure> {
    let named = std::env::var_os(BESIDE_NAME).map(PathBuf::from);
    let found = beside(named.as_deref(), &root().join(BESIDE))?;
    if found.is_none() {
        say(&format!(
            "the Core Rule Set 4.25.1 is not at {BESIDE}, nor is {BESIDE_NAME} set: the firewall's tests have Debian's 3.3.4 alone"
        ));
    }
    Ok(found.map(|folder| (BESIDE_NAME, folder)))
}

/// The folder that is named, which has to have the rules, or the usual one if it has them.
fn beside(named: Option<&Path>, usual: &Path) -> Result<Option<PathBuf>, Failure> {
    let has_rules = |folder: &Path| folder.join(NEWER).is_dir();
    match named {
        Some(folder) if !has_rules(folder) => {
            let folder = folder.display();
            Err(Failure::Usage(format!(
                "{BESIDE_NAME} is {folder}, where no {NEWER} is"
            )))
        }
        Some(folder) => Ok(Some(std::fs::canonicalize(folder)?)),
        None if has_rules(usual) => Ok(Some(std::fs::canonicalize(usual)?)),
        None => Ok(None),
    }
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
    conclude(&unmeasured(&ours), &rows)
}

/// A goal of what was not measured is missed like one that was, and ends the command in the same way.
fn conclude(unmeasured: &[&str], rows: &[Row]) -> Result<(), Failure> {
    if !unmeasured.is_empty() {
        let unmeasured = unmeasured.join("; ");
        return Err(Failure::Other(format!(
            "bench waf: not measured: {unmeasured}"
        )));
    }
    if rows.iter().all(|row| row.met) {
        return Ok(());
    }
    Err(Failure::Other(
        "bench waf: not every goal is met".to_owned(),
    ))
}

/// What a run of ours left out: without a lane for media, there is nothing of it to measure, and its goals are not met. Nothing that
/// is bounded here takes nothing, so that a figure of zero is no figure.
fn unmeasured(ours: &[Figures]) -> Vec<&'static str> {
    let is_there =
        |run: &Figures, name: &str| run.cases.iter().any(|(case, us)| case == name && *us > 0.0);
    let cases = BOUNDS_US.iter().map(|(name, _)| *name);
    let mut left_out: Vec<&str> = cases
        .filter(|name| !ours.iter().all(|run| is_there(run, name)))
        .collect();
    let has_p99 = |run: &Figures| run.media_p99_us.is_some_and(|us| us > 0.0);
    if !ours.iter().all(has_p99) {
        left_out.push(MEDIA_CASE);
    }
    if !ours.iter().all(|run| run.resident_kib > 0.0) {
        left_out.push(MEMORY_CASE);
    }
    left_out
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
        rows.push(row(MEDIA_CASE, "p99", "us", &p99, MEDIA_P99_US, Vec::new()));
    }
    let mib = |runs: &[Figures]| {
        runs.iter()
            .map(|run| run.resident_kib / 1024.0)
            .collect::<Vec<_>>()
    };
    rows.push(row(
        MEMORY_CASE,
        "resident",
        "MiB",
        &mib(ours),
        MEMORY_MIB,
        mib(theirs),
    ));
    rows
}

/// The Core Rule Set's regression tests against a running edge, at every paranoia level. Without them, the tests of attacks that the
/// project writes itself, on Debian's rules, in the same way, and the firewall's own.
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
    let mut sets: Vec<Set> = match (named_tests, named_rules) {
        (None, None) => public_sets(Path::is_file),
        (tests, named_rules) => {
            let tests = tests.map_or_else(|| root().join(SETS[0].1), PathBuf::from);
            let rules = rules(named_rules)?;
            let name = rules.display().to_string();
            let tests = std::path::absolute(tests)?;
            vec![Set { name, tests, rules }]
        }
    };
    setup::system_packages()?;
    let stands_in = sets.is_empty();
    if stands_in {
        say("the rule set's regression tests are not here: our own, on Debian's rules");
        sets.push(own_set());
    }
    say("building mcsp-edge and mcsp-crs");
    shell::run(&mut cargo(&[
        "build",
        "--bins",
        "--package",
        "mcsp-edge-node",
        "--package",
        "mcsp-loadtest-waf",
    ]))?;
    std::fs::create_dir_all(target_dir().join("waf"))?;
    let load = report::load_average();
    let mut counts: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    let mut missed = Vec::new();
    for set in &sets {
        say(&format!("the tests of {}", set.name));
        let (is_met, of_set) = replay(set, &passed_on)?;
        if !is_met {
            missed.push(set.name.as_str());
        }
        counts.insert(&set.name, of_set);
    }
    if options.is_empty() {
        let counts = serde_json::to_string_pretty(&counts)
            .map_err(|error| Failure::Other(format!("the counts: {error}")))?;
        report::write_conformance("crs", load, &counts)?;
    }
    if missed.is_empty() {
        return if stands_in { own_tests() } else { Ok(()) };
    }
    let missed = missed.join(", ");
    Err(Failure::Other(format!(
        "conformance crs: not every test of {missed} passes"
    )))
}

/// The rule set's own tests, of both generations, as far as they are here.
fn public_sets(is_here: impl Fn(&Path) -> bool) -> Vec<Set> {
    let sets = SETS.map(|(name, tests, rules)| Set {
        name: name.to_owned(),
        tests: root().join(tests),
        rules: root().join(rules),
    });
    sets.into_iter().filter(|set| is_here(&set.tests)).collect()
}

/// What stands in for them.
fn own_set() -> Set {
    Set {
        name: OWN.0.to_owned(),
        tests: root().join(OWN.1),
        rules: PathBuf::from(RULES[1]),
    }
}

/// The firewall's tests that need no rule set's.
fn own_tests() -> Result<(), Failure> {
    say("the firewall's own tests");
    if !has_program("cargo-nextest") {
        return run(&mut cargo(&["test", "--package", "mcsp-edge-waf"]));
    }
    run(&mut cargo(&[
        "nextest",
        "run",
        "--package",
        "mcsp-edge-waf",
        "--package",
        "mcsp-edge-node",
        "-E",
        "package(mcsp-edge-waf) + test(/^waf|^scored/)",
    ]))
}

/// Tests and the rules that they are of.
struct Set {
    name: String,
    tests: PathBuf,
    rules: PathBuf,
}

/// Replays a set; whether all passed, and the counts.
fn replay(set: &Set, passed_on: &[&str]) -> Result<(bool, serde_json::Value), Failure> {
    let bin_dir = target_dir().join("debug");
    let counts = target_dir().join("waf/crs.json");
    let status = Command::new(bin_dir.join("mcsp-crs"))
        .arg("--node-program")
        .arg(bin_dir.join("mcsp-edge"))
        .arg("--rules")
        .arg(&set.rules)
        .arg("--tests")
        .arg(&set.tests)
        .arg("--data-dir")
        .arg(target_dir().join("waf/nodes"))
        .arg("--report")
        .arg(&counts)
        .args(passed_on)
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
    let text = std::fs::read_to_string(counts)?;
    let counts = serde_json::from_str(&text)
        .map_err(|error| Failure::Other(format!("the counts of {}: {error}", set.name)))?;
    Ok((status.success(), counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_rules_are_looked_for_where_they_are_named_or_beside_the_project() {
        let place = std::env::temp_dir().join(format!("mcsp-xtask-rules-{}", std::process::id()));
        let (with, without) = (place.join("with"), place.join("without"));
        std::fs::create_dir_all(with.join(NEWER)).expect("a folder");
        std::fs::create_dir_all(&without).expect("a folder");
        let found = |named: Option<&Path>, usual: &Path| beside(named, usual);
        let whole = std::fs::canonicalize(&with).expect("a folder");
        let roundabout = without.join("../with");
        assert_eq!(
            found(None, &roundabout).expect("found"),
            Some(whole.clone())
        );
        assert_eq!(found(Some(&with), &without).expect("found"), Some(whole));
        assert_eq!(found(None, &without).expect("none"), None);
        // Whoever names a place means it.
        assert!(found(Some(&without), &with).is_err());
        std::fs::remove_dir_all(place).expect("removed");
    }

    #[test]
    fn where_no_public_tests_are_ours_are_there() {
        let names = |sets: Vec<Set>| sets.into_iter().map(|set| set.name).collect::<Vec<_>>();
        assert!(names(public_sets(|_| false)).is_empty());
        assert_eq!(names(public_sets(|_| true)), SETS.map(|(name, ..)| name));
        let own = own_set();
        assert!(own.tests.is_file(), "{}", own.tests.display());
        assert_eq!(
            own.rules,
            Path::new(SETS[1].2),
            "they are of Debian's rules"
        );
    }

    #[test]
    fn what_is_not_measured_is_named_and_missed() {
        let run = |cases: &[&str], us, media_p99_us, resident_kib| Figures {
            engine: String::new(),
            resident_kib,
            binding_us: 0.0,
            media_p99_us,
            cases: cases.iter().map(|case| ((*case).to_owned(), us)).collect(),
        };
        let all = BOUNDS_US.map(|(name, _)| name);
        let whole = || run(&all, 1.0, Some(1.0), 1.0);
        let end = |ours: &[Figures]| conclude(&unmeasured(ours), &rows(ours, &[], "a peer"));
        assert!(unmeasured(&[whole()]).is_empty());
        assert!(end(&[whole()]).is_ok());
        let (some, left) = all.split_at(2);
        let lane = [left, &[MEDIA_CASE]].concat();
        let timed = [&all[..], &[MEDIA_CASE]].concat();
        for (other, named) in [
            (run(some, 1.0, None, 1.0), lane),
            (run(&all, 0.0, Some(0.0), 1.0), timed),
            (run(&all, 1.0, Some(1.0), 0.0), vec![MEMORY_CASE]),
        ] {
            let ours = [whole(), other];
            assert_eq!(unmeasured(&ours), named);
            // Although no row that is there misses its goal.
            assert!(rows(&ours, &[], "a peer").iter().all(|row| row.met));
            let told = end(&ours).expect_err("not measured").to_string();
            assert_eq!(
                told,
                format!("bench waf: not measured: {}", named.join("; "))
            );
        }
    }
}
