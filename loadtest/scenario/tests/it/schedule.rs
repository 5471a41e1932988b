//! Arrivals: the rates that were asked for, the same on any number of workers.

use mcsp_loadtest_scenario::{Arrival, ArrivalKind, Scenario, Schedule, Spacing, Start};
use proptest::prelude::*;

fn scenario(duration_s: u64, seed: u64, arrivals: Vec<Arrival>) -> Scenario {
    let text = "name = \"x\"\n[targets]\napi = \"http://127.0.0.1:1\"\n[[arrivals]]\nkind = \"constant\"\nrate_per_s = 1\n";
    let mut scenario = Scenario::parse(text, "x.toml").unwrap();
    (scenario.duration_s, scenario.seed, scenario.arrivals) = (duration_s, seed, arrivals);
    scenario
}

fn arrival(toml: &str) -> Arrival {
    toml::from_str(toml).unwrap()
}

fn times(scenario: &Scenario) -> Vec<u64> {
    Schedule::whole(scenario).map(|start| start.at_us).collect()
}

fn within(times: &[u64], from_s: u64, to_s: u64) -> usize {
    times
        .iter()
        .filter(|at| (from_s * 1_000_000..to_s * 1_000_000).contains(*at))
        .count()
}

#[test]
fn a_constant_rate_is_even() {
    let scenario = scenario(3, 1, vec![arrival("kind = \"constant\"\nrate_per_s = 4")]);
    let expected: Vec<u64> = (0..12).map(|n| n * 250_000).collect();
    assert_eq!(times(&scenario), expected);
}

#[test]
fn a_ramp_has_the_area_under_it() {
    let scenario = scenario(
        100,
        1,
        vec![arrival("kind = \"ramp\"\nrate_per_s = 0\nto_per_s = 20")],
    );
    let times = times(&scenario);
    assert_eq!(times.len(), 1_000);
    // A quarter of the area lies under the first half.
    assert!(within(&times, 0, 50).abs_diff(250) <= 1);
    assert!(within(&times, 90, 100).abs_diff(190) <= 1);
    let down = self::scenario(
        100,
        1,
        vec![arrival("kind = \"ramp\"\nrate_per_s = 20\nto_per_s = 0")],
    );
    assert!(within(&self::times(&down), 0, 50).abs_diff(750) <= 1);
}

#[test]
fn a_spike_rises_stays_and_falls() {
    let toml = "kind = \"spike\"\nrate_per_s = 2\nto_per_s = 100\nafter_s = 20\nrise_s = 10\nhold_s = 30\nfall_s = 5\nfrom_s = 5";
    let scenario = scenario(100, 1, vec![arrival(toml)]);
    let times = times(&scenario);
    assert_eq!(within(&times, 0, 5), 0);
    assert!(within(&times, 5, 25).abs_diff(40) <= 1);
    assert!(within(&times, 25, 35).abs_diff(510) <= 1);
    assert!(within(&times, 35, 65).abs_diff(3_000) <= 1);
    assert!(within(&times, 70, 100).abs_diff(60) <= 1);
    let schedule = Schedule::whole(&scenario);
    assert!((schedule.rate_per_s(30_000_000) - 51.0).abs() < 1e-9);
    assert_eq!(schedule.rate_per_s(4_000_000), 0.0);
    assert!((schedule.users_expected() - times.len() as f64).abs() <= 1.0);
    // Cut off in the middle of its rise.
    let cut = self::scenario(30, 1, vec![arrival(toml)]);
    assert!(within(&self::times(&cut), 25, 30).abs_diff(132) <= 1);
}

#[test]
fn a_day_has_its_curve_and_begins_anew() {
    let toml =
        "kind = \"daily\"\nrate_per_s = 100\ncurve = [0.0, 1.0]\nday_s = 60\nstart_hour = 12";
    let scenario = scenario(120, 1, vec![arrival(toml)]);
    let times = times(&scenario);
    // From the peak at noon to nothing at midnight and back, twice.
    assert!(times.len().abs_diff(6_000) <= 2, "{}", times.len());
    assert!(within(&times, 25, 35) < 200);
    assert!(within(&times, 55, 65) > 900);
    assert!(within(&times, 85, 95) < 200);
    let usual = self::scenario(86_400, 1, vec![arrival("kind = \"daily\"\nrate_per_s = 1")]);
    let schedule = Schedule::whole(&usual);
    assert!((schedule.rate_per_s(21 * 3_600_000_000) - 1.0).abs() < 1e-9);
    assert!(schedule.rate_per_s(5 * 3_600_000_000) < 0.2);
}

#[test]
fn random_arrivals_are_a_poisson_process() {
    let scenario = scenario(
        2_000,
        7,
        vec![arrival("kind = \"poisson\"\nrate_per_s = 20")],
    );
    let times = times(&scenario);
    assert!(times.len().abs_diff(40_000) < 800, "{}", times.len());
    // Gaps are exponential: their deviation is their mean; counts of seconds have a variance that is their mean.
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.03);
    let counts: Vec<f64> = (0..2_000)
        .map(|second| within(&times, second, second + 1) as f64)
        .collect();
    let mean = counts.iter().sum::<f64>() / 2_000.0;
    let variance = counts
        .iter()
        .map(|count| (count - mean).powi(2))
        .sum::<f64>()
        / 2_000.0;
    assert!((variance / mean - 1.0).abs() < 0.15, "{variance} {mean}");
}

#[test]
fn random_spacing_follows_any_shape() {
    let scenario = scenario(
        100,
        3,
        vec![arrival(
            "kind = \"ramp\"\nrate_per_s = 0\nto_per_s = 200\nspacing = \"poisson\"",
        )],
    );
    let times = times(&scenario);
    assert!(within(&times, 0, 50).abs_diff(2_500) < 200);
    assert!(within(&times, 50, 100).abs_diff(7_500) < 350);
}

#[test]
fn the_schedule_is_the_same_tomorrow() {
    // Written down once: another machine, and another version of the tool, must have the same.
    let poisson = arrival("kind = \"poisson\"\nrate_per_s = 5");
    let first = &times(&scenario(60, 42, vec![poisson]))[..4];
    assert_eq!(first, [341, 18_213, 92_184, 211_777]);
    let other = arrival("kind = \"poisson\"\nrate_per_s = 5");
    assert_ne!(first, &times(&scenario(60, 43, vec![other]))[..4]);
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let kinds = prop_oneof![
        Just(ArrivalKind::Constant),
        Just(ArrivalKind::Ramp),
        Just(ArrivalKind::Spike),
        Just(ArrivalKind::Daily),
        Just(ArrivalKind::Poisson)
    ];
    (
        kinds,
        0.0..40.0_f64,
        0.0..40.0_f64,
        0..20_u64,
        prop::option::of(1..40_u64),
        any::<bool>(),
        0..10_u64,
        0..10_u64,
    )
        .prop_map(
            |(kind, rate_per_s, to, from_s, for_s, is_random, rise_s, hold_s)| Arrival {
                kind,
                rate_per_s,
                from_s,
                for_s,
                spacing: if is_random {
                    Spacing::Poisson
                } else {
                    Spacing::Even
                },
                to_per_s: Some(to),
                after_s: Some(3),
                rise_s: Some(rise_s),
                hold_s: Some(hold_s),
                fall_s: Some(2),
                curve: None,
                day_s: Some(60),
                start_hour: Some(7.5),
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn workers_shares_are_disjoint_and_together_the_whole(
        arrivals in prop::collection::vec(any_arrival(), 1..4),
        seed in any::<u64>(),
        workers in 1..9_u32,
    ) {
        let scenario = scenario(40, seed, arrivals);
        let whole: Vec<Start> = Schedule::whole(&scenario).collect();
        let mut together: Vec<Start> = (0..workers).flat_map(|worker| Schedule::new(&scenario, worker, workers)).collect();
        together.sort();
        prop_assert_eq!(&together, &whole);
        prop_assert!(whole.is_sorted_by_key(|start| start.at_us));
        prop_assert!(whole.iter().zip(0..).all(|(start, index)| start.index == index));
        prop_assert!(whole.iter().all(|start| start.at_us < 40_000_000));
        prop_assert_eq!(Schedule::new(&scenario, workers, workers).count(), 0);
    }
}
