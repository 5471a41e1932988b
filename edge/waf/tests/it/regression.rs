//! The public regression tests of the OWASP Core Rule Set, where they are at hand.
//!
//! `MCSP_CRS_DIR` names a folder with `rules-4.25.1/` and `tests-4.25.1.jsonl`. Without them nothing is replayed, and the tests
//! beside this one are what there is.

use std::path::PathBuf;

use mcsp_edge_waf::{load_rules, replay};

/// Tests that no engine can pass, with the reason.
const CONTRADICTIONS: [(&str, &str); 1] = [(
    "920430-5",
    "its bytes are those of 920430-1, which wants that rule 920430 does not match them",
)];

#[test]
#[allow(clippy::print_stderr)] // Why nothing was replayed is for the person who ran the tests.
fn the_core_rule_set_passes_its_tests_at_every_level() {
    let folder = std::env::var_os("MCSP_CRS_DIR").map(PathBuf::from);
    // Rules may be there without tests.
    let tests = |folder: &PathBuf| folder.join("tests-4.25.1.jsonl");
    let Some(folder) = folder.filter(|folder| tests(folder).is_file()) else {
        eprintln!(
            "skipped: MCSP_CRS_DIR does not name a folder with the rule set's regression tests"
        );
        return;
    };
    let text = std::fs::read_to_string(tests(&folder)).expect("the tests");
    let cases = replay::read_cases(&text).expect("tests as JSON lines");
    let rules = folder.join("rules-4.25.1");
    let all = load_rules(&replay::rules(&rules, 4)).expect("the rules");
    for level in 1..=4 {
        let set = load_rules(&replay::rules(&rules, level)).expect("the rules");
        let tallies = replay::replay(&set, &all, &cases, level);
        let failed: Vec<_> = tallies.values().flat_map(|tally| &tally.failed).collect();
        let unexpected: Vec<_> = failed
            .iter()
            .filter(|(title, _)| !CONTRADICTIONS.iter().any(|(known, _)| known == title))
            .collect();
        assert!(unexpected.is_empty(), "paranoia {level}: {unexpected:#?}");
        let passed: usize = tallies.values().map(|tally| tally.passed).sum();
        let refused: usize = tallies.values().map(|tally| tally.refused.len()).sum();
        assert!(
            passed > 1000 && refused * 50 <= passed,
            "paranoia {level}: {passed} passed, {refused} refused"
        );
    }
}
