//! Planted faults are found and named; clean runs are left alone.

use mcsp_loadtest_measure::{
    FindingKind, ManifestWatch, NodeSample, NodeSeries, ObservedManifest, ObservedSegment, Outcome,
    Results, VerdictKind, name_manifest_age, name_segment,
};

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

fn segment<'a>(received: u64, digest: &'a u32, reference: &'a u32) -> ObservedSegment<'a, u32> {
    ObservedSegment {
        received_bytes: received,
        declared_bytes: None,
        reference_bytes: Some(100),
        digest: Some(digest),
        reference: Some(reference),
        asked_height: None,
        coded_height: None,
        height_max: None,
    }
}

#[test]
fn segments_are_named() {
    let whose = |digest: &u32| (*digest == 7).then(|| "v360/3.m4s".to_owned());
    let right = segment(100, &1, &1);
    let rows = [
        (right, None),
        (
            ObservedSegment {
                declared_bytes: Some(100),
                ..right
            },
            None,
        ),
        (
            ObservedSegment {
                received_bytes: 99,
                declared_bytes: Some(100),
                ..right
            },
            Some((FindingKind::TruncatedSegment, "99 bytes of 100")),
        ),
        (
            segment(60, &2, &1),
            Some((
                FindingKind::TruncatedSegment,
                "60 bytes came as if they were all",
            )),
        ),
        (
            segment(100, &2, &1),
            Some((FindingKind::WrongBytes, "are not the reference's, of 100")),
        ),
        (
            segment(60, &7, &1),
            Some((FindingKind::WrongQuality, "the bytes of v360/3.m4s")),
        ),
        (
            ObservedSegment {
                asked_height: Some(720),
                coded_height: Some(360),
                ..right
            },
            Some((FindingKind::WrongQuality, "360 lines, and 720")),
        ),
        (
            ObservedSegment {
                coded_height: Some(1080),
                height_max: Some(720),
                ..right
            },
            Some((FindingKind::WrongQuality, "may have 720")),
        ),
        (
            ObservedSegment {
                asked_height: Some(720),
                coded_height: Some(720),
                height_max: Some(720),
                ..right
            },
            None,
        ),
        (
            ObservedSegment {
                digest: None,
                ..right
            },
            None,
        ),
    ];
    for (segment, expected) in rows {
        let named = name_segment(&segment, whose);
        let is_same = match (&named, expected) {
            (None, None) => true,
            (Some((kind, detail)), Some((of, part))) => *kind == of && detail.contains(part),
            _ => false,
        };
        assert!(is_same, "{segment:?}: {named:?}");
    }
}

fn live(at_s: u64, end_sequence: u64) -> ObservedManifest {
    ObservedManifest {
        at_us: at_s * 1_000_000,
        end_sequence,
        renditions: 3,
        target_duration_us: 4_000_000,
        ..ObservedManifest::default()
    }
}

#[test]
fn stale_manifests_are_named() {
    assert_eq!(name_manifest_age(65, 60), None);
    assert_eq!(
        name_manifest_age(66, 60).unwrap().0,
        FindingKind::StaleManifest
    );
    let rows: [(&[ObservedManifest], Option<&str>); 8] = [
        (&[live(0, 5), live(4, 6), live(12, 7)], None),
        (&[live(0, 5), live(12, 5)], None),
        (
            &[live(0, 5), live(6, 5), live(13, 5)],
            Some("has not grown for 13.0 s"),
        ),
        (
            &[live(0, 5), live(4, 4)],
            Some("ends at segment 4, and ended at 5"),
        ),
        (
            &[
                live(0, 5),
                ObservedManifest {
                    renditions: 2,
                    ..live(4, 6)
                },
            ],
            Some("names 2 renditions"),
        ),
        (
            &[
                ObservedManifest {
                    is_complete: true,
                    ..live(0, 5)
                },
                live(1, 5),
            ],
            Some("open again"),
        ),
        (
            &[
                ObservedManifest {
                    is_complete: true,
                    ..live(0, 5)
                },
                ObservedManifest {
                    is_complete: true,
                    ..live(99, 5)
                },
            ],
            None,
        ),
        (
            &[ObservedManifest {
                reference_end_sequence: Some(6),
                ..live(0, 5)
            }],
            Some("the origin's at 6"),
        ),
    ];
    for (observed, expected) in rows {
        let mut watch = ManifestWatch::default();
        let said: Vec<_> = observed
            .iter()
            .map(|manifest| watch.observe(*manifest))
            .collect();
        let last = said.last().unwrap().as_ref();
        let is_same = match (last, expected) {
            (None, None) => true,
            (Some((kind, detail)), Some(part)) => {
                *kind == FindingKind::StaleManifest && detail.contains(part)
            }
            _ => false,
        };
        assert!(is_same, "{said:?} {expected:?}");
    }
}
