//! Which streams run.

use std::time::Duration;

use mcsp_edge_limits::{Fingerprint, RunningSessions, ShedConfig};
use mcsp_runtime::{ManualClock, SeededEntropy};

#[test]
fn a_stream_runs_while_it_is_seen() {
    let clock = ManualClock::new(5);
    let running = RunningSessions::new(
        &ShedConfig::default(),
        clock.clone(),
        &*SeededEntropy::new(3),
    );
    let [one, other] = [b"s1", b"s2"].map(|name| Fingerprint::of(name));
    assert!(!running.is_running(one));
    running.saw(one);
    clock.advance(Duration::from_secs(29));
    assert!(running.is_running(one) && !running.is_running(other));
    running.saw(one);
    clock.advance(Duration::from_secs(29));
    assert!(running.is_running(one));
    clock.advance(Duration::from_secs(1));
    assert!(!running.is_running(one));
}

#[test]
fn more_streams_than_are_remembered_push_out_the_ones_seen_longest_ago() {
    let clock = ManualClock::new(5);
    let config = ShedConfig {
        running_max: 4_096,
        ..ShedConfig::default()
    };
    let running = RunningSessions::new(&config, clock.clone(), &*SeededEntropy::new(3));
    let name = |number: u32| Fingerprint::of(&number.to_be_bytes());
    for number in 0..20_000 {
        running.saw(name(number));
        clock.advance(Duration::from_millis(1));
    }
    let known =
        |range: std::ops::Range<u32>| range.filter(|n| running.is_running(name(*n))).count();
    assert!(known(0..20_000) <= 4_096);
    assert!(known(18_000..20_000) >= 1_900);
    assert_eq!(known(0..5_000), 0);
}
