//! Each planted fault is found and named by the verdict, and no other; a clean run has none.

use mcsp_loadtest_bench::Plant;

use crate::harness::{SHORT, Stage, finish, kinds, program, recorded, shifts};

async fn run(plant: Plant, scenario: &str) -> (i32, Vec<String>, String) {
    let stage = Stage::with(plant).await;
    let scenario = stage.scenario(scenario);
    let out = stage.path("out");
    let mut command = program();
    command.arg("run").arg(scenario).arg("--out").arg(&out);
    let said = finish(command).await;
    for file in ["report.html", "results.json", "junit.xml"] {
        assert!(out.join(file).is_file(), "no {file}: {}", said.err);
    }
    let junit = std::fs::read_to_string(out.join("junit.xml")).expect("JUnit");
    assert!(junit.starts_with("<?xml"), "{junit}");
    let recorded = recorded(&out);
    assert_eq!(
        junit.contains("<failure"),
        said.status != 0,
        "{junit}\n{}",
        said.out
    );
    let text = format!("{}\n{:?}", said.out, recorded.results.seen.findings);
    (said.status, kinds(&recorded), text)
}

async fn is_named(plant: Plant, kind: &str) {
    let (status, kinds, text) = run(plant, SHORT).await;
    assert_eq!(kinds, [kind], "{plant:?}: {text}");
    assert_eq!(status, 1, "{plant:?}: {text}");
}

#[tokio::test]
async fn a_clean_run_passes_and_finds_nothing() {
    let (status, kinds, text) = run(Plant::Nothing, SHORT).await;
    assert_eq!((status, kinds.as_slice()), (0, &[][..]), "{text}");
}

#[tokio::test]
async fn a_truncated_segment_is_named() {
    is_named(Plant::TruncatedSegment, "truncated-segment").await;
}

#[tokio::test]
async fn one_error_in_a_hundred_is_named() {
    is_named(Plant::Errors, "error-rate").await;
}

#[tokio::test]
async fn two_hundred_milliseconds_more_at_p99_are_named() {
    // A machine that is late by itself may hide it or more, but not each time.
    let mut said = Vec::new();
    for _ in 0..5 {
        let (status, kinds, text) = run(Plant::Slower { from_s: 3 }, &shifts()).await;
        if (status, kinds.as_slice()) == (1, &["latency-shift".to_owned()]) {
            return;
        }
        said.push(text);
    }
    panic!("{said:#?}");
}

#[tokio::test]
async fn a_stale_manifest_is_named() {
    is_named(Plant::StaleManifest, "stale-manifest").await;
}

#[tokio::test]
async fn a_wrong_quality_is_named() {
    is_named(Plant::WrongQuality, "wrong-quality").await;
}

#[tokio::test]
async fn wrong_bytes_are_named() {
    is_named(Plant::WrongBytes, "wrong-bytes").await;
}
