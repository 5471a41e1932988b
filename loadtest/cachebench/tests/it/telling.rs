//! What `edge-cache --tell` says of what earlier runs left, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use mcsp_loadtest_cachebench::bench::{Case, cases};
use serde_json::{Value, json};

/// The exit status for a goal that is not met, and for a run that could not be done.
const EXIT_NOT_MET: i32 = 2;
const EXIT_FAILURE: i32 = 1;

/// Ours by both routes, and all peers but stock nginx.
fn contenders() -> Vec<Value> {
    let mut contenders = vec![json!("Media")];
    let kinds = ["Node", "NginxTuned", "Varnish", "TrafficServer"];
    contenders.extend(kinds.map(|kind| json!({ "Plain": kind })));
    contenders
}

/// One figure for everything, as runs of before kept them, which did not say who failed.
fn record(case: &Case, contender: &Value) -> Value {
    let sample = json!({
        "requests_s": 1.0, "cpu_us": 1.0, "cpu_s_gb": 1.0, "p50_us": 1.0, "p99_us": 1.0, "p999_us": 1.0, "resident_mib": 1.0,
    });
    json!({ "case": case, "contender": contender, "samples": [sample] })
}

fn whole() -> Vec<Value> {
    let contenders = contenders();
    let of_case = |case: &Case| -> Vec<Value> {
        let records = contenders.iter().map(|contender| record(case, contender));
        records.collect()
    };
    cases().iter().flat_map(of_case).collect()
}

fn tell(records: &[Value], options: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let text = serde_json::to_vec(records).unwrap();
    std::fs::write(dir.path().join("samples.json"), text).unwrap();
    let output = run(dir.path(), options);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code(), text)
}

fn run(data_dir: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcsp-cachebench"))
        .args(["edge-cache", "--tell", "--node-program", "mcsp-edge"])
        .arg("--data-dir")
        .arg(data_dir)
        .args(options)
        .output()
        .unwrap()
}

#[test]
fn a_table_without_gaps_meets_its_goals() {
    let (status, told) = tell(&whole(), &["--no-stock"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(!told.contains("MISSING"), "{told}");
}

#[test]
fn whatever_is_missing_is_a_goal_that_is_not_met_and_is_named() {
    let whole = whole();
    let of_case = contenders().len();
    let name = |case: Option<&Case>| case.unwrap().name();
    let (first, last) = (name(cases().first()), name(cases().last()));
    let without = |at: usize| [&whole[..at], &whole[at + 1..]].concat();
    for (records, options, missing) in [
        (
            whole[..whole.len() - of_case].to_vec(),
            &["--no-stock"][..],
            format!("{last}: not measured"),
        ),
        (
            without(0),
            &["--no-stock"],
            format!("{first}: ours, signed media has no figures"),
        ),
        (
            without(3),
            &["--no-stock"],
            format!("{first}: Varnish was not tried"),
        ),
        (
            whole.clone(),
            &[],
            format!("{first}: nginx stock was not tried"),
        ),
    ] {
        let (status, told) = tell(&records, options);
        assert_eq!(status, Some(EXIT_NOT_MET), "{told}");
        let line = format!("MISSING: {missing}");
        assert!(told.lines().any(|said| said == line), "{line}: {told}");
    }
}

#[test]
fn only_what_is_chosen_has_to_be_there() {
    let of_case = contenders().len();
    let first = &whole()[..of_case];
    let chosen = ["--no-stock", "--only", "1 KiB, h1, memory, c=1"];
    // Of "c=1", "c=1000" is one as well.
    let (status, told) = tell(first, &chosen);
    assert_eq!(status, Some(EXIT_NOT_MET), "{told}");
    let missing = told.lines().filter(|line| line.starts_with("MISSING"));
    assert_eq!(
        missing.collect::<Vec<_>>(),
        ["MISSING: 1 KiB, h1, memory, c=1000: not measured"]
    );
    let two = [first, &whole()[2 * of_case..3 * of_case]].concat();
    let (status, told) = tell(&two, &chosen);
    assert_eq!(status, Some(0), "{told}");
}

#[test]
fn a_peer_that_failed_is_told_in_its_row_and_fails_nothing() {
    let mut records = whole();
    let record = records[3].as_object_mut().unwrap();
    record.insert("samples".to_owned(), json!([]));
    record.insert(
        "failures".to_owned(),
        json!(["h2load: Varnish: not done in time"]),
    );
    let (status, told) = tell(&records, &["--no-stock"]);
    assert_eq!(status, Some(0), "{told}");
    let line = "Varnish          failed: h2load: Varnish: not done in time";
    assert!(told.lines().any(|said| said == line), "{told}");
}

#[test]
fn to_choose_what_is_not_there_is_an_error() {
    let (status, told) = tell(&whole(), &["--only", "3 MiB"]);
    assert_eq!(status, Some(EXIT_FAILURE), "{told}");
    assert!(told.contains("no case has all of [\"3 MiB\"]"), "{told}");
}
