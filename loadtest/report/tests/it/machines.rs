//! What other programs read: JSON and JUnit.

use mcsp_loadtest_measure::RESULTS_SCHEMA;
use mcsp_loadtest_report::{Recorded, RecordedError, json, junit};
use proptest::prelude::*;
use serde_json::Value;

use crate::any::any_recorded;
use crate::made::{DURATION_S, Story, recorded};
use crate::xml::elements;

fn failing() -> Recorded {
    recorded(Story {
        has_chaos: true,
        has_faults: true,
        seed: 1,
        ..Story::default()
    })
}

#[test]
fn what_is_kept_is_read_as_it_was() {
    for run in [recorded(Story::default()), failing()] {
        let text = json(&run).unwrap();
        let mut read = Recorded::from_json(&text).unwrap();
        // What was measured is a quotient, whose last bit JSON may lose.
        let measured = |of: &Recorded| -> Vec<f64> {
            let held = of.results.chaos.iter().flat_map(|record| &record.must_hold);
            let all = of.results.slo.iter().chain(held);
            all.filter_map(|verdict| verdict.measured).collect()
        };
        let (kept, was) = (measured(&read), measured(&run));
        assert_eq!(kept.len(), was.len());
        assert!(
            kept.iter()
                .zip(&was)
                .all(|(a, b)| (a - b).abs() <= b * 1e-15)
        );
        read.results.slo.clone_from(&run.results.slo);
        read.results.chaos.clone_from(&run.results.chaos);
        assert!(read == run);
    }
}

#[test]
fn other_schemas_are_refused() {
    let text = json(&recorded(Story::default())).unwrap();
    let newer = text.replacen("\"schema\":1,", "\"schema\":2,", 1);
    assert!(matches!(
        Recorded::from_json(&newer),
        Err(RecordedError::Schema { found: 2 })
    ));
    let newer = text.replace(RESULTS_SCHEMA, "mcsp-load/results/9");
    assert!(matches!(
        Recorded::from_json(&newer),
        Err(RecordedError::Results(_))
    ));
    assert!(matches!(
        Recorded::from_json("{}"),
        Err(RecordedError::Json(_))
    ));
}

#[test]
fn summaries_and_series_say_what_was_measured() {
    let run = failing();
    let document: Value = serde_json::from_str(&json(&run).unwrap()).unwrap();
    let summary = &document["summary"];
    assert_eq!(summary["verdict"], "fail");
    assert_eq!(summary["exit_status"], 1);
    assert_eq!(summary["findings"]["truncated-segment"], 3);
    assert_eq!(summary["slo"][0]["name"], "quick-start");
    assert_eq!(summary["slo"][0]["met"], false);
    let counts = run.results.seen.counts_of(None);
    assert_eq!(summary["requests"], counts.requests);
    let series = document["series"].as_array().unwrap();
    assert_eq!(series.len() as u64, DURATION_S + 10);
    // Over the seconds after the warm-up, the series adds up to the totals, but for what was meant to start before its end.
    let sum: f64 = series
        .iter()
        .filter(|point| point["at_s"].as_f64().unwrap() >= 10.0)
        .map(|point| {
            point["requests_per_s"].as_f64().unwrap() * point["length_s"].as_f64().unwrap()
        })
        .sum();
    assert!(
        (sum - counts.requests as f64).abs() < 20.0,
        "{sum} {}",
        counts.requests
    );
    let hard = &series[60];
    assert!(
        hard["rebuffer_ratio"].as_f64().unwrap() > 0.05 && hard["users"].as_u64().unwrap() > 50
    );
    assert!(hard["source_bytes"]["memory"].as_u64().unwrap() > 0);
    // Nothing secret is kept.
    assert_eq!(document["results"]["scenario"]["accounts"]["password"], "");
    assert!(
        document["scenario_toml"]
            .as_str()
            .unwrap()
            .contains("password = \"\"")
    );
}

#[test]
fn hosts_are_named_with_their_ports() {
    assert_eq!(recorded(Story::default()).target_hosts, ["127.0.0.1:8443"]);
}

/// Cases, and those that failed.
fn cases(xml: &str) -> (usize, usize) {
    let all = elements(xml);
    let count = |name: &str| all.iter().filter(|element| element.name == name).count();
    let (cases, failures) = (count("testcase"), count("failure"));
    for suite in all
        .iter()
        .filter(|element| element.name.starts_with("testsuite"))
    {
        assert_eq!(suite.attributes["tests"], cases.to_string());
        assert_eq!(suite.attributes["failures"], failures.to_string());
    }
    (cases, failures)
}

#[test]
fn junit_has_a_case_for_everything_that_was_asked() {
    // Five SLOs, ten kinds of findings, the verdict.
    assert_eq!(cases(&junit(&recorded(Story::default()))), (16, 0));
    // Three more that had to hold; of all: four SLOs, two that had to hold, five kinds of findings and the verdict failed.
    assert_eq!(cases(&junit(&failing())), (19, 12));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_run_has_well_formed_junit(recorded in any_recorded()) {
        cases(&junit(&recorded));
    }

    #[test]
    fn any_run_is_read_again_or_was_not_written(recorded in any_recorded()) {
        // Numbers that JSON does not have become nothing.
        if let Ok(text) = json(&recorded) {
            prop_assert!(Recorded::from_json(&text).is_ok());
        }
    }
}
