//! Planted faults are found and named; clean runs are left alone.

use mcsp_loadtest_measure::{FindingKind, NodeSample, NodeSeries, Outcome, Results, VerdictKind};

use crate::made::{results, run, scenario, seen, slower};

fn kinds(results: &Results) -> Vec<FindingKind> {
    results.seen.findings.iter().map(|(kind, _)| kind).collect()
}

#[test]
fn clean_runs_have_none() {
    for seed in 0..50 {
        let results = results(seed, |_, _| {});
        assert_eq!(kinds(&results), [], "{seed}: {:?}", results.verdict);
        assert_eq!(results.verdict.kind, VerdictKind::Pass);
    }
}

#[test]
fn one_error_in_a_hundred_is_named() {
    for seed in 0..10 {
        let results = results(seed, |sample, random| {
            if random.chance(0.01) {
                (sample.outcome, sample.status) = (Outcome::Status, 503);
            }
        });
        assert_eq!(kinds(&results), [FindingKind::ErrorRate], "{seed}");
        let (_, of_kind) = results.seen.findings.iter().next().unwrap();
        let entry = &of_kind.objects["segment"];
        assert!(
            entry.detail.contains(" requests failed (status "),
            "{}",
            entry.detail
        );
        assert_eq!(results.verdict.kind, VerdictKind::Fail);
        assert!(
            results.verdict.reasons[0].starts_with("Too many requests fail: segment at "),
            "{:?}",
            results.verdict
        );
    }
}

#[test]
fn a_single_error_in_thousands_is_not() {
    let results = results(1, |sample, _| {
        if sample.intended_us == 30_000_000 {
            sample.outcome = Outcome::Timeout;
        }
    });
    assert_eq!(kinds(&results), []);
}

#[test]
fn a_short_burst_of_errors_is_named_in_a_long_run() {
    let results = results(1, |sample, _| {
        if (30_000_000..30_060_000).contains(&sample.intended_us) {
            sample.outcome = Outcome::Reset;
        }
    });
    // 6 of 5800 are a tenth of a percent; 6 of the thousand around them are not.
    assert_eq!(kinds(&results), [FindingKind::ErrorRate]);
    let (_, of_kind) = results.seen.findings.iter().next().unwrap();
    assert_eq!(of_kind.objects["segment"].first_us, 30_000_000);
}

#[test]
fn two_hundred_milliseconds_more_at_p99_are_named() {
    for seed in 0..10 {
        let results = results(seed, |sample, random| {
            if sample.intended_us > 30_000_000 && random.chance(0.03) {
                slower(sample, 200_000);
            }
        });
        assert_eq!(kinds(&results), [FindingKind::LatencyShift], "{seed}");
        let (_, of_kind) = results.seen.findings.iter().next().unwrap();
        let entry = &of_kind.objects["segment"];
        assert!(
            (30_000_000..33_000_000).contains(&entry.first_us),
            "{entry:?}"
        );
        assert!(entry.detail.contains("in the baseline"), "{entry:?}");
    }
}

#[test]
fn slow_requests_during_a_chaos_step_are_its_business() {
    let chaos = "[[nodes]]\nname = \"e\"\naddress = \"127.0.0.1:1\"\nproxy = \"127.0.0.1:2\"\n\
                 [[chaos]]\nat_s = 30\naction = \"delay\"\ntarget = \"e\"\ndelay_ms = 200\nfor_s = 10\nrecovery_s = 2\n";
    let seen = seen(1, |sample, _| {
        if (30_000_000..40_000_000).contains(&sample.intended_us) {
            slower(sample, 200_000);
            sample.outcome = Outcome::Status;
        }
    });
    assert_eq!(
        kinds(&Results::conclude(run(scenario(chaos), seen.clone()))),
        []
    );
    let without = Results::conclude(run(scenario(""), seen));
    assert_eq!(
        kinds(&without),
        [FindingKind::ErrorRate, FindingKind::LatencyShift]
    );
}

#[test]
fn a_latency_slo_that_is_not_met_is_named() {
    let slo = "[[slo]]\nname = \"fast\"\nmetric = \"latency_ms\"\nclass = \"segment\"\nquantile = 0.5\nat_most = 3\n";
    let results = Results::conclude(run(scenario(slo), seen(1, |_, _| {})));
    assert_eq!(kinds(&results), [FindingKind::LatencyShift]);
    assert!(!results.slo[0].met);
}

#[test]
fn a_node_that_is_gone_is_named() {
    let sample = |at_s: u64, is_up| NodeSample {
        at_us: at_s * 1_000_000,
        is_up,
        ..NodeSample::default()
    };
    let samples = (0..20)
        .map(|at_s| sample(at_s, at_s != 5 && !(10..12).contains(&at_s)))
        .collect();
    let node = NodeSeries {
        name: "e".to_owned(),
        samples,
    };
    let mut told = run(scenario(""), seen(1, |_, _| {}));
    told.nodes = vec![node];
    let results = Results::conclude(told);
    assert_eq!(kinds(&results), [FindingKind::NodeHealth]);
    let (_, of_kind) = results.seen.findings.iter().next().unwrap();
    assert_eq!(of_kind.objects["e"].first_us, 10_000_000);
}
