//! Each planted fault is found, and named as what it is.

use mcsp_loadtest_measure::{FindingKind, Phase};

use crate::node::{PLAYERS, Plant, run};

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
