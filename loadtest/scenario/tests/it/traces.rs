//! Bandwidth over time.

use std::fs;

use mcsp_loadtest_scenario::{Bandwidth, Scenario, Trace, TraceFormat};
use proptest::prelude::*;

fn bandwidth(toml: &str) -> Bandwidth {
    toml::from_str::<Trace>(toml).unwrap().bandwidth().unwrap()
}

#[test]
fn without_a_word_there_is_no_bound() {
    assert_eq!(Trace::default().bandwidth(), None);
}

#[test]
fn a_constant_rate_passes_bytes_in_time() {
    let link = bandwidth("kbit_s = 8000");
    assert_eq!(link.bits_per_s(123), 8_000_000);
    assert_eq!(link.passed_at(500, 1_000_000), 1_000_500);
    assert_eq!(link.passed_at(500, 0), 500);
}

#[test]
fn steps_hold_until_the_next_and_begin_anew() {
    let link = bandwidth("steps = [[0, 8000], [1, 0], [3, 4000]]\nperiod_s = 4");
    let rates: Vec<u64> = (0..6)
        .map(|second| link.bits_per_s(second * 1_000_000) / 1_000)
        .collect();
    assert_eq!(rates, [8000, 0, 0, 4000, 8000, 0]);
    // 1 MB in the first second, nothing in two, 0.5 MB in the fourth.
    assert_eq!(link.passed_at(0, 1_000_000), 1_000_000);
    assert_eq!(link.passed_at(0, 1_250_000), 3_500_000);
    assert_eq!(link.passed_at(0, 1_500_000 * 10), 39_000_000 + 1_000_000);
    assert_eq!(link.passed_at(2_000_000, 1), 3_000_002);
    let last = bandwidth("steps = [[0, 0], [2, 8]]");
    assert_eq!(last.passed_at(0, 1), 2_001_000);
}

proptest! {
    #[test]
    fn bytes_pass_one_after_the_other(
        rates in prop::collection::vec(0..9_000_u64, 1..6),
        at_us in 0..20_000_000_u64,
        first in 0..4_000_000_u64,
        second in 0..4_000_000_u64,
        period in any::<bool>(),
    ) {
        let last = rates.len();
        let mut steps: Vec<(f64, u64)> = rates.into_iter().enumerate().map(|(index, rate)| (index as f64, rate)).collect();
        steps.push((last as f64, 5_000));
        let trace = Trace { steps: Some(steps), period_s: period.then_some(last as f64 + 1.0), ..Trace::default() };
        let link = trace.bandwidth().unwrap();
        let middle = link.passed_at(at_us, first);
        let end = link.passed_at(middle, second);
        let whole = link.passed_at(at_us, first + second);
        prop_assert!(at_us <= middle && middle <= end);
        // Each rounding up to a whole µs passes at most what a µs carries.
        prop_assert!(end.abs_diff(whole) <= 2 || link.bits_per_s(middle) == 0 || end >= whole);
        prop_assert!(link.passed_at(at_us, first + 1) >= middle);
    }
}

#[test]
fn files_are_read_into_the_scenario() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.trace"),
        "# walk\n0 6000\n10.5 800 # tunnel\n",
    )
    .unwrap();
    // Two packets in the first second, none in the second, one in the third.
    fs::write(dir.path().join("b.trace"), "1\n999\n2000\n").unwrap();
    let text = "name = \"x\"\n[targets]\napi = \"http://127.0.0.1:1\"\n[[arrivals]]\nkind = \"constant\"\nrate_per_s = 1\n\
                [[devices]]\nname = \"a\"\nbandwidth = { file = \"a.trace\" }\n\
                [[devices]]\nname = \"b\"\nbandwidth = { file = \"b.trace\", format = \"mahimahi\" }\n";
    fs::write(dir.path().join("x.toml"), text).unwrap();
    let scenario = Scenario::load(&dir.path().join("x.toml")).unwrap();
    let traces: Vec<&Trace> = scenario
        .devices
        .iter()
        .map(|device| &device.bandwidth)
        .collect();
    assert_eq!(traces[0].steps, Some(vec![(0.0, 6_000), (10.5, 800)]));
    assert_eq!(traces[1].steps, Some(vec![(0.0, 24), (1.0, 0), (2.0, 12)]));
    assert_eq!(
        (traces[1].period_s, traces[1].format),
        (Some(3.0), TraceFormat::Steps)
    );
    // What is sent to a worker needs no file.
    let sent = Scenario::parse(&scenario.to_toml().unwrap(), "sent").unwrap();
    assert_eq!(sent, scenario);
    for (file, expected) in [
        ("0 6000\n1 x\n", ":2: expected a time in s"),
        ("1 600\n", "a first step at 0 s"),
        ("0 5\n3 0\n", "in the last step"),
    ] {
        fs::write(dir.path().join("a.trace"), file).unwrap();
        let said = Scenario::load(&dir.path().join("x.toml"))
            .unwrap_err()
            .to_string();
        assert!(said.contains(expected), "{said}");
    }
    fs::remove_file(dir.path().join("a.trace")).unwrap();
    assert!(
        Scenario::load(&dir.path().join("x.toml"))
            .unwrap_err()
            .to_string()
            .contains("a.trace")
    );
}
