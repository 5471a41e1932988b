//! Comparing runs: the same is the same, and a shift is found.

use mcsp_loadtest_measure::{
    CompareError, Comparison, Outcome, Recorder, RequestClass, Results, compare,
};

use crate::made::{results, run, scenario, slower};

fn worse(comparison: &Comparison) -> Vec<&str> {
    comparison
        .changes
        .iter()
        .filter(|change| change.worse)
        .map(|change| change.metric.as_str())
        .collect()
}

#[test]
fn runs_of_the_same_distribution_do_not_differ() {
    let (mut alarms, mut metrics) = (0, 0);
    for seed in 0..25 {
        let (a, b) = (
            results(2 * seed, |_, _| {}),
            results(2 * seed + 1, |_, _| {}),
        );
        let comparison = compare(&a, &b, seed).unwrap();
        metrics += comparison.changes.len();
        alarms += comparison
            .changes
            .iter()
            .filter(|change| change.significant)
            .count();
        assert_eq!(comparison.notes, Vec::<String>::new());
    }
    // One in a thousand is promised; four in a thousand are let pass, so that the test itself hardly ever errs.
    assert!(
        metrics >= 250 && alarms * 250 <= metrics,
        "{alarms} of {metrics}"
    );
}

#[test]
fn a_shift_is_found_and_what_did_not_shift_is_not() {
    for seed in 0..5 {
        let a = results(seed, |_, _| {});
        let b = results(seed + 100, |sample, random| {
            if random.chance(0.02) {
                slower(sample, 200_000);
            }
        });
        let comparison = compare(&a, &b, 1).unwrap();
        let worse = worse(&comparison);
        assert!(worse.contains(&"segment last-byte p99"), "{worse:?}");
        assert!(
            !worse.contains(&"segment last-byte p50") && !worse.contains(&"hit ratio"),
            "{worse:?}"
        );
        let change = comparison
            .changes
            .iter()
            .find(|change| change.metric == "segment last-byte p99")
            .unwrap();
        assert!(
            change.interval_low > 0.0
                && change.interval_low < change.difference
                && change.difference < change.interval_high
        );
        // The other way round it got better.
        assert!(!compare(&b, &a, 1).unwrap().is_worse());
    }
}

#[test]
fn errors_and_lost_hits_are_found() {
    let a = results(1, |_, _| {});
    let b = results(2, |sample, random| {
        if random.chance(0.02) {
            sample.outcome = Outcome::Status;
        }
        if random.chance(0.1) {
            sample.source = mcsp_loadtest_measure::CacheSource::Origin;
        }
    });
    assert_eq!(
        worse(&compare(&a, &b, 1).unwrap()),
        ["segment errors", "hit ratio"]
    );
}

#[test]
fn the_same_seed_says_the_same() {
    let (a, b) = (results(1, |_, _| {}), results(2, |_, _| {}));
    assert_eq!(compare(&a, &b, 9).unwrap(), compare(&a, &b, 9).unwrap());
    let same = compare(&a, &a, 9).unwrap();
    assert!(
        same.changes
            .iter()
            .all(|change| change.difference == 0.0 && !change.significant)
    );
}

#[test]
fn what_cannot_be_compared_is_said() {
    let a = results(1, |_, _| {});
    let short = Results::conclude(run(scenario(""), Recorder::new(0).take()));
    assert_eq!(
        compare(&a, &short, 1).unwrap_err(),
        CompareError::TooShort {
            which: "B",
            buckets: 0
        }
    );
    let mut other = results(1, |_, _| {});
    other.machine.cores = 64;
    other.scenario.player.buffer_s = 3.0;
    assert_eq!(compare(&a, &other, 1).unwrap().notes.len(), 2);
}

#[test]
fn what_happened_at_a_few_moments_only_is_not_compared() {
    // Sign-ins in the first seconds of a run, and segments throughout: the machine was busy in one run's first seconds.
    let with_register = |seed, us| {
        results(seed, |sample, _| {
            let second = sample.intended_us / 1_000_000;
            if (3..8).contains(&second) && (sample.intended_us / 10_000).is_multiple_of(20) {
                sample.class = RequestClass::api("register");
                slower(sample, us);
            }
        })
    };
    let comparison = compare(&with_register(1, 0), &with_register(2, 30_000), 1).unwrap();
    let metrics: Vec<&str> = comparison
        .changes
        .iter()
        .map(|change| change.metric.as_str())
        .collect();
    assert!(metrics.contains(&"segment last-byte p99"), "{metrics:?}");
    assert!(
        !metrics
            .iter()
            .any(|metric| metric.starts_with("api:register")),
        "{metrics:?}"
    );
}
