//! Quantiles are those of the values.

use mcsp_loadtest_measure::{
    Coarse, Latency, Outcome, Phase, Recorder, RequestClass, RequestSample,
};
use proptest::prelude::*;

use crate::made::request;

/// The value at the rank that HDR histograms take.
fn truth(sorted: &[u64], quantile: f64) -> u64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

proptest! {
    #[test]
    fn within_their_precision(
        mut values in prop::collection::vec(prop_oneof![0..2_000_u64, 0..3_000_000_u64, 0..3_600_000_000_u64], 1..300),
        quantile in 0.01..1.0_f64,
    ) {
        let (mut fine, mut coarse) = (Latency::default(), Coarse::default());
        for value in &values {
            fine.record(*value);
            coarse.record(*value);
        }
        values.sort_unstable();
        let truth = truth(&values, quantile) as f64;
        let of_fine = fine.quantile_us(quantile).unwrap() as f64;
        prop_assert!((of_fine - truth).abs() <= truth / 1_000.0 + 1.0, "{of_fine} {truth}");
        let of_coarse = coarse.quantile(quantile).unwrap();
        // The rank is the same but for rounding; the value is of the same bin.
        let next = values.iter().copied().find(|value| *value as f64 > truth).unwrap_or(truth as u64) as f64;
        prop_assert!(of_coarse >= truth * 0.968 - 1.0 && of_coarse <= next * 1.033 + 1.0, "{of_coarse} {truth} {next}");
        prop_assert_eq!(coarse.count(), values.len() as u64);
    }

    #[test]
    fn bins_hold_what_falls_into_them(value in any::<u64>()) {
        let mut coarse = Coarse::default();
        coarse.record(value);
        let (low, above, count) = coarse.bins().next().unwrap();
        prop_assert!(low <= value && (value < above || above == u64::MAX) && count == 1);
        prop_assert!((above - low) as f64 <= (low as f64 * 0.032).max(1.0));
        prop_assert_eq!(coarse.above(value), 0);
        prop_assert_eq!(coarse.above(0), u64::from(value > 0));
    }
}

#[test]
fn nothing_has_no_quantile() {
    assert_eq!(Latency::default().quantile_us(0.5), None);
    assert_eq!(Latency::default().mean_us(), None);
    assert_eq!(Coarse::default().quantile(0.5), None);
}

#[test]
fn latency_counts_from_the_intended_start() {
    // A server that stalls for a second: a hundred requests that should have started meanwhile start after it.
    let mut recorder = Recorder::new(0);
    for n in 0..1_000_u64 {
        let mut sample = request(n * 10_000, 1_000);
        if n < 100 {
            sample.started_us = 1_000_000;
            sample.first_byte_us = Some(1_000_500);
            sample.last_byte_us = 1_001_000;
        }
        recorder.request(&sample);
    }
    let seen = recorder.take();
    let of = |phase, quantile| {
        seen.latencies
            .get(&RequestClass::Segment, phase)
            .unwrap()
            .quantile_us(quantile)
            .unwrap()
    };
    assert!(of(Phase::LastByte, 0.95).abs_diff(501_000) < 11_000);
    assert!(of(Phase::Wait, 0.95).abs_diff(500_000) < 11_000);
    assert_eq!(of(Phase::LastByte, 0.5), 1_000);
}

#[test]
fn the_warm_up_is_on_the_timeline_only() {
    let mut recorder = Recorder::new(5_000_000);
    recorder.request(&request(4_999_999, 900_000));
    recorder.request(&request(5_000_000, 1_000));
    let seen = recorder.take();
    assert_eq!(seen.counts_of(None).requests, 1);
    assert_eq!(seen.latencies.of(None, Phase::LastByte).count(), 1);
    assert_eq!(
        seen.timeline
            .sum(0..u64::MAX)
            .counts_of(Some("segment"))
            .requests,
        2
    );
}

#[test]
fn what_the_end_cut_off_counts_once_it_had_waited() {
    let mut recorder = Recorder::new(0);
    for waited_us in [200_000, 7_000_000] {
        recorder.request(&RequestSample {
            first_byte_us: None,
            status: 0,
            outcome: Outcome::CutOff,
            ..request(1_000_000, waited_us)
        });
    }
    let seen = recorder.take();
    let counts = &seen.counts[&RequestClass::Segment];
    assert_eq!((counts.requests, counts.errors), (2, 0));
    for phase in [Phase::FirstByte, Phase::LastByte] {
        let latency = seen.latencies.get(&RequestClass::Segment, phase).unwrap();
        assert_eq!(latency.count(), 1, "{phase:?}");
        assert!(latency.quantile_us(0.5).unwrap().abs_diff(7_000_000) < 7_000);
    }
    let of_class = &seen.timeline.sum(0..60_000_000).classes[&RequestClass::Segment];
    assert_eq!(
        (of_class.first_byte.count(), of_class.last_byte.count()),
        (1, 1)
    );
}
