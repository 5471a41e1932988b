//! Our own tests of Debian's rules: what they are to meet, and what stands beside it and is harmless.

use std::collections::BTreeMap;
use std::path::Path;

use mcsp_edge_waf::{load_rules, replay};
use serde::Deserialize;

use crate::crs;

/// Rule files of requests, by the number in their names, of which there have to be tests of both kinds.
const FAMILIES: [u64; 13] = [
    911, 913, 920, 921, 930, 931, 932, 933, 934, 941, 942, 943, 944,
];

/// One of them, as far as these tests look at it.
#[derive(Deserialize)]
struct Written {
    title: String,
    rule: u64,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    request: serde_json::Value,
    #[serde(default)]
    ids: Vec<u64>,
    #[serde(default)]
    no_ids: Vec<u64>,
}

fn text() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/own/requests.jsonl");
    std::fs::read_to_string(file).expect("our own tests")
}

fn written() -> Vec<Written> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text().lines().map(line).collect()
}

/// Those that are harmless: their title and their request.
pub(crate) fn harmless() -> Vec<(String, serde_json::Value)> {
    let harmless = written().into_iter().filter_map(|test| {
        let stage = test.stages.into_iter().next()?;
        stage.ids.is_empty().then_some((test.title, stage.request))
    });
    harmless.collect()
}

#[test]
fn every_rule_file_has_attacks_and_what_is_harmless_beside_them() {
    let mut kinds: BTreeMap<u64, [usize; 2]> = BTreeMap::new();
    let tests = written();
    assert!(tests.len() >= 60, "{}", tests.len());
    for test in &tests {
        let [stage] = test.stages.as_slice() else {
            panic!("{}: not one stage", test.title);
        };
        let asked = [&stage.ids, &stage.no_ids].map(|ids| ids.contains(&test.rule));
        assert!(asked[0] != asked[1], "{}: asks for nothing", test.title);
        let counts = kinds.entry(test.rule / 1000).or_default();
        counts[usize::from(asked[1])] += 1;
    }
    for family in FAMILIES {
        let counts = kinds.get(&family).copied().unwrap_or_default();
        assert!(
            counts.iter().all(|count| *count > 0),
            "{family}: {counts:?}"
        );
    }
    let mut titles: Vec<&str> = tests.iter().map(|test| test.title.as_str()).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), tests.len(), "a title is there twice");
}

#[test]
fn debians_rules_pass_our_own_tests_at_every_level() {
    let cases = replay::read_cases(&text()).expect("tests as JSON lines");
    for rules in crs::folders().into_iter().filter(|it| crs::is_debians(it)) {
        let all = load_rules(&replay::rules(&rules, 4)).expect("the rules");
        for level in 1..=4 {
            let set = load_rules(&replay::rules(&rules, level)).expect("the rules");
            let tallies = replay::replay(&set, &all, &cases, level);
            let failed: Vec<_> = tallies.values().flat_map(|tally| &tally.failed).collect();
            assert!(failed.is_empty(), "paranoia {level}: {failed:#?}");
            let refused: Vec<_> = tallies.values().flat_map(|tally| &tally.refused).collect();
            assert!(refused.is_empty(), "paranoia {level}: {refused:#?}");
            let passed: usize = tallies.values().map(|tally| tally.passed).sum();
            assert_eq!(passed, cases.len(), "paranoia {level}");
        }
    }
}
