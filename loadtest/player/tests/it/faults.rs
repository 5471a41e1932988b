//! Each planted fault is found, and named as what it is.

use mcsp_loadtest_measure::{Against, FindingKind, Outcome, Phase, RequestClass};

use crate::node::{PLAYERS, Plant, run, run_for};

#[tokio::test(start_paused = true)]
async fn each_fault_is_named_and_no_other() {
    for (plant, kind) in [
        (Plant::Truncated, FindingKind::TruncatedSegment),
        (Plant::CutInside, FindingKind::TruncatedSegment),
        (Plant::WrongBytes, FindingKind::WrongBytes),
        (Plant::OldManifest, FindingKind::StaleManifest),
        (Plant::WrongInit, FindingKind::WrongQuality),
        (Plant::Fat, FindingKind::WrongQuality),
        (Plant::LedAstray, FindingKind::RefusedTarget),
    ] {
        // Screens that make all play the rung with the fault.
        let extra = format!("{PLAYERS}devices = [{{ name = \"d\", max_height = 720 }}]\n");
        let done = run(plant, &extra).await;
        assert_eq!(
            done.kinds(),
            [kind],
            "{plant:?}: {:?}",
            done.partial.findings
        );
    }
}

#[tokio::test(start_paused = true)]
async fn segments_of_another_rung_are_told_when_both_are_played() {
    let extra = format!(
        "{PLAYERS}devices = [{{ name = \"a\", max_height = 360 }}, {{ name = \"b\", max_height = 720 }}]\n"
    );
    let done = run(Plant::WrongSegments, &extra).await;
    assert_eq!(
        done.kinds(),
        [FindingKind::WrongQuality],
        "{:?}",
        done.partial.findings
    );
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_goes_back_is_stale() {
    // Players from 0 to 120 s: the old one is known, then the new one, then the old one is back.
    let extra = PLAYERS.replace("duration_s = 10", "duration_s = 120");
    let done = run(Plant::ManifestGoesBack, &extra).await;
    assert_eq!(
        done.kinds(),
        [FindingKind::StaleManifest],
        "{:?}",
        done.partial.findings
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_segment_is_tried_again_and_counted() {
    let done = run(Plant::Truncated, PLAYERS).await;
    let sessions = &done.partial.sessions;
    assert!(sessions.truncated >= 1 && sessions.retries >= 1);
    assert_eq!((sessions.failed, sessions.played_us), (0, 600_000_000));
}

#[tokio::test(start_paused = true)]
async fn errors_and_slowness_are_in_what_is_measured() {
    let done = run(Plant::Errors, PLAYERS).await;
    let counts = done.partial.counts_of(None);
    let ratio = counts.errors as f64 / counts.requests as f64;
    assert!((0.005..0.015).contains(&ratio), "{ratio}");

    let done = run(Plant::Slower(15), PLAYERS).await;
    let first_byte = done.partial.latencies.of(Some("segment"), Phase::FirstByte);
    let quantile_us = |quantile| first_byte.quantile_us(quantile).expect("a value");
    let rise_us = quantile_us(0.9).saturating_sub(quantile_us(0.1));
    assert!((195_000..206_000).contains(&rise_us), "{rise_us}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_to_answer_before_the_end_is_seen() {
    // The last users are gone before any time-out: what hangs is cut off by the end of the run.
    let done = run_for(Plant::Hangs(8), PLAYERS, 4).await;
    let counts = &done.partial.counts[&RequestClass::Segment];
    let cut_off = counts.outcomes.get(&Outcome::CutOff).copied();
    assert_eq!(cut_off, Some(10), "{counts:?}");
    assert_eq!(counts.errors, 0);
    for phase in [Phase::FirstByte, Phase::LastByte] {
        let segments = done.partial.latencies.of(Some("segment"), phase);
        assert!(segments.quantile_us(1.0) > Some(3_000_000), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_says_something_else_is_an_error() {
    let done = run(Plant::BadAnswer, PLAYERS).await;
    let counts = &done.partial.counts[&RequestClass::api("play")];
    assert_eq!((counts.errors, counts.requests), (10, 10));
    assert_eq!(counts.outcomes[&Outcome::Protocol], 10);
    assert_eq!(done.partial.sessions.failed, 10);
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_a_segment_is_judged_and_it_is_said_by_what() {
    for (check, against) in [
        ("agreement", Against::Agreement),
        ("length", Against::Length),
    ] {
        let extra = PLAYERS.replace("player = {", &format!("player = {{ check = \"{check}\","));
        let done = run(Plant::Nothing, &extra).await;
        let bytes = ["init", "segment"].map(|class| done.partial.counts_of(Some(class)).bytes);
        assert_eq!(
            done.partial.checked.bytes(against),
            bytes.iter().sum::<u64>()
        );
    }
}
