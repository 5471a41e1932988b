//! Verdicts, JSON and JUnit.

use mcsp_loadtest_measure::{
    Against, ChaosRecord, Finding, FindingKind, Recorder, Results, ResultsError, VerdictKind,
    evaluate, evaluate_within, junit,
};
use mcsp_loadtest_scenario::{Action, ByteCheck, Slo};

use crate::made::{request, run, scenario, seen};

fn late() -> Recorder {
    let mut recorder = Recorder::new(0);
    for n in 0..100_u64 {
        recorder.request(&request(3_000_000 + n, 1_000));
        recorder.arrival(n, n + if n < 5 { 900_000 } else { 10 });
    }
    recorder
}

fn wrong() -> Finding {
    Finding {
        kind: FindingKind::WrongBytes,
        at_us: 5,
        object: "/v".to_owned(),
        detail: "d".to_owned(),
    }
}

#[test]
fn a_tool_that_is_late_never_passes() {
    let results = Results::conclude(run(scenario(""), late().take()));
    assert_eq!(results.verdict.kind, VerdictKind::ToolOverloaded);
    assert!(
        results.verdict.reasons[0].contains("p99 900 ms"),
        "{:?}",
        results.verdict
    );
    let mut recorder = Recorder::new(0);
    recorder.request(&request(3_000_000, 1));
    recorder.missed(4_000_000);
    let results = Results::conclude(run(scenario(""), recorder.take()));
    assert_eq!(results.verdict.kind, VerdictKind::ToolOverloaded);
    // Wrong bytes are wrong however late.
    let mut recorder = late();
    recorder.finding(wrong());
    let results = Results::conclude(run(scenario(""), recorder.take()));
    assert_eq!(
        (results.verdict.kind, results.verdict.reasons.len()),
        (VerdictKind::Fail, 2)
    );
}

#[test]
fn a_run_that_lacks_something_is_incomplete() {
    let mut lost = run(scenario(""), seen(1, |_, _| {}));
    lost.workers.lost.push("w2: connection reset".to_owned());
    let mut stopped = run(scenario(""), seen(1, |_, _| {}));
    stopped.workers.stopped_early = Some("interrupted".to_owned());
    let mut undone = run(scenario(""), seen(1, |_, _| {}));
    undone.chaos.push(ChaosRecord {
        step: 0,
        from_us: 1,
        until_us: 2,
        action: Action::Kill,
        target: "e".to_owned(),
        error: Some("no such process".to_owned()),
        must_hold: Vec::new(),
    });
    let nothing = run(scenario(""), Recorder::new(0).take());
    for (run, part) in [
        (lost, "w2: connection reset"),
        (stopped, "interrupted"),
        (undone, "kill of e"),
        (nothing, "no request"),
    ] {
        let verdict = Results::conclude(run).verdict;
        assert_eq!(verdict.kind, VerdictKind::Incomplete);
        assert!(verdict.reasons[0].contains(part), "{verdict:?}");
    }
    let statuses = [
        VerdictKind::Pass,
        VerdictKind::Fail,
        VerdictKind::ToolOverloaded,
        VerdictKind::Incomplete,
    ];
    assert_eq!(statuses.map(VerdictKind::exit_status), [0, 1, 2, 3]);
}

fn slo(toml: &str) -> Slo {
    toml::from_str(&format!("name = \"x\"\n{toml}")).unwrap()
}

#[test]
fn every_metric_is_measured() {
    let scenario = scenario("");
    let seen = seen(1, |sample, random| {
        if random.chance(0.25) {
            sample.source = mcsp_loadtest_measure::CacheSource::Origin;
        }
    });
    let rows = [
        (
            "metric = \"latency_ms\"\nquantile = 1.0\nat_most = 51",
            50.0,
            0.1,
        ),
        (
            "metric = \"latency_ms\"\nclass = \"segment\"\nphase = \"first-byte\"\nquantile = 1.0\nat_most = 26",
            25.0,
            0.1,
        ),
        (
            "metric = \"startup_ms\"\nquantile = 0.5\nat_most = 501",
            500.0,
            0.5,
        ),
        ("metric = \"rebuffer_ratio\"\nat_most = 0", 0.0, 0.0),
        ("metric = \"error_ratio\"\nat_most = 0", 0.0, 0.0),
        ("metric = \"session_failure_ratio\"\nat_most = 0", 0.0, 0.0),
        ("metric = \"hit_ratio\"\nat_least = 0.7", 0.75, 0.02),
        ("metric = \"bitrate_kbit_s\"\nat_least = 2000", 2_000.0, 0.0),
        (
            "metric = \"requests_per_s\"\nclass = \"segment\"\nat_least = 99",
            100.0,
            0.1,
        ),
        ("metric = \"switches_per_min\"\nat_most = 3", 3.0, 0.0),
        ("metric = \"findings\"\nat_most = 0", 0.0, 0.0),
    ];
    for (toml, expected, tolerance) in rows {
        let verdict = evaluate(&slo(toml), &scenario, &seen);
        let measured = verdict.measured.unwrap();
        assert!(
            (measured - expected).abs() <= tolerance && verdict.met,
            "{toml}: {measured}"
        );
    }
    let within = |toml: &str| evaluate_within(&slo(toml), &seen, 10_000_000..20_000_000);
    assert!((within(rows[0].0).measured.unwrap() - 50.0).abs() < 1.7);
    assert_eq!(
        within("metric = \"requests_per_s\"\nat_least = 1").samples,
        1_000
    );
    assert_eq!(
        within("metric = \"startup_ms\"\nquantile = 0.5\nat_most = 600").samples,
        10
    );
    let unmeasured = evaluate(
        &slo("metric = \"latency_ms\"\nclass = \"upload\"\nquantile = 0.5\nat_most = 9"),
        &scenario,
        &seen,
    );
    assert_eq!((unmeasured.measured, unmeasured.met), (None, false));
}

#[test]
fn what_must_hold_during_a_step_is_asked() {
    let more = "[[slo]]\nname = \"errors\"\nmetric = \"error_ratio\"\nat_most = 0.5\n[[nodes]]\nname = \"e\"\npid_file = \"p\"\n\
                [[chaos]]\nat_s = 30\naction = \"kill\"\ntarget = \"e\"\nfor_s = 5\nmust_hold = [\"errors\"]\n";
    let broken = seen(1, |sample, _| {
        if (30_000_000..35_000_000).contains(&sample.intended_us) {
            sample.outcome = mcsp_loadtest_measure::Outcome::Connect;
        }
    });
    let record = ChaosRecord {
        step: 0,
        from_us: 30_000_000,
        until_us: 35_000_000,
        action: Action::Kill,
        target: "e".to_owned(),
        error: None,
        must_hold: Vec::new(),
    };
    for (seen, is_met) in [(broken, false), (seen(1, |_, _| {}), true)] {
        let mut told = run(scenario(more), seen);
        told.chaos = vec![record.clone()];
        // Segments that broke off then are what the step does.
        told.seen.findings.add(Finding {
            kind: FindingKind::TruncatedSegment,
            at_us: 31_000_000,
            object: "/v".to_owned(),
            detail: String::new(),
        });
        let results = Results::conclude(told);
        assert_eq!(results.chaos[0].must_hold[0].met, is_met);
        assert_eq!(
            results.verdict.kind == VerdictKind::Pass,
            is_met,
            "{:?}",
            results.verdict
        );
        assert_eq!(
            results.seen.findings.count_of(FindingKind::ChaosBroke),
            u64::from(!is_met)
        );
    }
}

#[test]
fn results_are_read_as_they_were_written_without_passwords() {
    let results = Results::conclude(run(
        scenario("[accounts]\npassword = \"hunter2hunter2\""),
        seen(3, |_, _| {}),
    ));
    let text = results.to_json().unwrap();
    assert!(!text.contains("hunter2"));
    assert_eq!(Results::from_json(&text).unwrap(), results);
    let other = text.replace("mcsp-load/results/1", "mcsp-load/results/9");
    assert!(matches!(
        Results::from_json(&other).unwrap_err(),
        ResultsError::Schema { .. }
    ));
    assert!(matches!(
        Results::from_json("{").unwrap_err(),
        ResultsError::Json(_)
    ));
}

#[test]
fn junit_has_a_case_for_everything_that_was_asked() {
    let more =
        "[[slo]]\nname = \"fast\"\nmetric = \"latency_ms\"\nquantile = 0.5\nat_most = 0.001\n";
    let mut told = run(scenario(more), seen(1, |_, _| {}));
    let mut finding = wrong();
    finding.object = "/v<\u{1}\"&'>".to_owned();
    told.seen.findings.add(finding);
    let xml = junit(&Results::conclude(told));
    assert!(
        xml.contains("<testsuite name=\"mcsp-load made\" tests=\"12\" failures=\"4\""),
        "{xml}"
    );
    assert_eq!(xml.matches("<testcase ").count(), 12);
    assert_eq!(xml.matches("<failure ").count(), 4);
    assert!(xml.contains("/v&lt;\u{fffd}&quot;&amp;&apos;&gt;"), "{xml}");
    let clean = junit(&Results::conclude(run(scenario(""), seen(1, |_, _| {}))));
    assert!(
        clean.contains("failures=\"0\"") && !clean.contains("<failure"),
        "{clean}"
    );
}

#[test]
fn bytes_that_the_origin_did_not_give_to_hold_others_against_are_no_pass() {
    for (by_agreement, kind) in [(0, VerdictKind::Pass), (4_096, VerdictKind::Incomplete)] {
        let mut asked = scenario("");
        asked.player.check = ByteCheck::Origin;
        let mut recorder = Recorder::new(0);
        recorder.checked(Against::Origin, 1 << 20);
        recorder.checked(Against::Agreement, by_agreement);
        let mut seen = seen(1, |_, _| {});
        seen.merge(&recorder.take());
        let verdict = Results::conclude(run(asked, seen)).verdict;
        assert_eq!(verdict.kind, kind, "{verdict:?}");
        let says = verdict
            .reasons
            .iter()
            .any(|why| why.starts_with("4096 of 1052672 bytes"));
        assert_eq!(says, by_agreement > 0, "{verdict:?}");
    }
}
