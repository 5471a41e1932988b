//! When users come.

use super::Faults;
use crate::arrivals::{Arrival, ArrivalKind};

pub(super) fn check_arrival(at: &str, arrival: &Arrival, duration_s: u64, faults: &mut Faults) {
    faults.real(
        format!("{at}.rate_per_s"),
        arrival.rate_per_s,
        0.0..=100_000.0,
    );
    if arrival.from_s >= duration_s {
        faults.add(
            format!("{at}.from_s"),
            arrival.from_s,
            "less than duration_s",
        );
    }
    if let Some(for_s) = arrival.for_s {
        faults.whole(format!("{at}.for_s"), for_s, 1..=604_800);
    }
    if let Some(to) = arrival.to_per_s {
        faults.real(format!("{at}.to_per_s"), to, 0.0..=100_000.0);
    }
    for (key, value) in [
        ("after_s", arrival.after_s),
        ("rise_s", arrival.rise_s),
        ("hold_s", arrival.hold_s),
        ("fall_s", arrival.fall_s),
    ] {
        if let Some(value) = value {
            faults.whole(format!("{at}.{key}"), value, 0..=604_800);
        }
    }
    if let Some(curve) = &arrival.curve {
        let is_curve = (2..=1_440).contains(&curve.len())
            && curve.iter().all(|share| (0.0..=100.0).contains(share));
        if !is_curve {
            faults.add(
                format!("{at}.curve"),
                format!("{} shares", curve.len()),
                "2 to 1440 shares of 0 to 100",
            );
        }
    }
    if let Some(day_s) = arrival.day_s {
        faults.whole(format!("{at}.day_s"), day_s, 60..=604_800);
    }
    if let Some(hour) = arrival.start_hour {
        faults.real(format!("{at}.start_hour"), hour, 0.0..=24.0);
    }
    kind_of_arrival(at, arrival, faults);
}

/// Keys belong to kinds.
fn kind_of_arrival(at: &str, arrival: &Arrival, faults: &mut Faults) {
    use ArrivalKind::{Constant, Daily, Poisson, Ramp, Spike};
    let keys: [(&str, bool, &[ArrivalKind]); 8] = [
        ("to_per_s", arrival.to_per_s.is_some(), &[Ramp, Spike]),
        ("after_s", arrival.after_s.is_some(), &[Spike]),
        ("rise_s", arrival.rise_s.is_some(), &[Spike]),
        ("hold_s", arrival.hold_s.is_some(), &[Spike]),
        ("fall_s", arrival.fall_s.is_some(), &[Spike]),
        ("curve", arrival.curve.is_some(), &[Daily]),
        ("day_s", arrival.day_s.is_some(), &[Daily]),
        ("start_hour", arrival.start_hour.is_some(), &[Daily]),
    ];
    for (key, is_given, kinds) in keys {
        if is_given && !kinds.contains(&arrival.kind) {
            faults.add(
                format!("{at}.{key}"),
                "given",
                format!("it only where kind is one of {kinds:?}").to_lowercase(),
            );
        }
    }
    if matches!(arrival.kind, Ramp | Spike) && arrival.to_per_s.is_none() {
        faults.add(
            format!("{at}.to_per_s"),
            "absent",
            "the ramp's end, or the spike's top",
        );
    }
    if arrival.kind == Spike
        && arrival
            .rise_s
            .or(arrival.hold_s)
            .or(arrival.fall_s)
            .unwrap_or(0)
            == 0
    {
        faults.add(
            format!("{at}.hold_s"),
            "absent",
            "rise_s, hold_s or fall_s above 0",
        );
    }
    if matches!(arrival.kind, Constant | Poisson) && arrival.rate_per_s <= 0.0 {
        faults.add(
            format!("{at}.rate_per_s"),
            arrival.rate_per_s,
            "more than 0",
        );
    }
}
