//! Scales whose ticks are round numbers.

use crate::number::{Scale, Unit, clock, decimal, digits};

/// A scale from the lowest to the highest value, with its ticks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) is_log: bool,
    /// Values and their labels.
    pub(crate) ticks: Vec<(f64, String)>,
    /// What the labels are numbers of.
    pub(crate) symbol: &'static str,
}

impl Axis {
    /// Where a value is, 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() {
            place.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// From 0 to a round number that is not below `max`, with about `ticks` steps.
pub(crate) fn linear(unit: Unit, max: f64, ticks: f64) -> Axis {
    let max = if max.is_finite() && max > 0.0 {
        max
    } else {
        0.0
    };
    let Scale { divisor, symbol } = unit.scale(max);
    let top = if max > 0.0 {
        max / divisor
    } else if unit == Unit::Ratio {
        100.0
    } else {
        1.0
    };
    let step = round_up(top / ticks);
    let count = (top / step - 1e-9).ceil().clamp(1.0, 20.0);
    // 2.5 has a digit more than its power of ten.
    let places = -step.log10().floor();
    let is_whole = (step * 10_f64.powf(places)).fract() < 1e-6;
    let decimals = (places + f64::from(u8::from(!is_whole))).clamp(0.0, 9.0) as usize;
    let tick = |index: u32| {
        let value = f64::from(index) * step;
        (value * divisor, compact(value, decimals))
    };
    Axis {
        low: 0.0,
        high: count * step * divisor,
        is_log: false,
        ticks: (0..=count as u32).map(tick).collect(),
        symbol,
    }
}

/// Decades, and between them 2 and 5 where there are few, from `low` to `high`, which are above 0.
pub(crate) fn log(unit: Unit, low: f64, high: f64) -> Axis {
    let low = if low.is_finite() && low > 0.0 {
        low
    } else {
        1.0
    };
    let high = if high.is_finite() {
        high.max(low * 2.0)
    } else {
        low * 10.0
    };
    let decades = (high / low).log10();
    let within: &[f64] = if decades <= 2.5 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let every = if decades > 6.0 { 2 } else { 1 };
    let ticks = (first..=last.min(first + 40))
        .filter(|decade| (decade - first) % every == 0)
        .flat_map(|decade| within.iter().map(move |part| part * 10_f64.powi(decade)))
        .filter(|value| *value >= low * 0.999 && *value <= high * 1.001)
        .map(|value| (value, unit.show(value)))
        .collect();
    Axis {
        low,
        high,
        is_log: true,
        ticks,
        symbol: "",
    }
}

/// A run's time, with at most `ticks` labels and the one at 0.
pub(crate) fn time(end_s: f64, ticks: f64) -> Axis {
    const STEPS_S: [f64; 18] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
        7_200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0,
    ];
    let end_s = if end_s.is_finite() {
        end_s.max(1.0)
    } else {
        1.0
    };
    let fits = STEPS_S.into_iter().find(|step| end_s / step <= ticks);
    let step = fits.unwrap_or_else(|| round_up(end_s / ticks));
    let count = (end_s / step).floor().clamp(0.0, 20.0) as u32;
    let tick = |index: u32| {
        let at_s = f64::from(index) * step;
        (at_s, clock(at_s))
    };
    Axis {
        low: 0.0,
        high: end_s,
        is_log: false,
        ticks: (0..=count).map(tick).collect(),
        symbol: "min:s",
    }
}

/// The next 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let value = if value.is_finite() {
        value.clamp(1e-12, 1e300)
    } else {
        1.0
    };
    let power = 10_f64.powf(value.log10().floor());
    let part = value / power;
    let round = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|round| part <= round + 1e-9);
    round.unwrap_or(10.0) * power
}

/// At most six characters.
fn compact(value: f64, decimals: usize) -> String {
    match value.abs() {
        size if size < 1e4 => decimal(value, decimals),
        size if size < 1e6 => format!("{}k", digits(value / 1e3)),
        size if size < 1e9 => format!("{}M", digits(value / 1e6)),
        size if size < 1e12 => format!("{}G", digits(value / 1e9)),
        _ => format!("{value:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = linear(Unit::Milliseconds, 1_730.0, 4.0);
        assert_eq!(
            (labels(&axis), axis.symbol),
            (vec!["0", "0.5", "1", "1.5", "2"], "s")
        );
        assert_eq!(axis.high, 2_000.0);
        assert_eq!(
            labels(&linear(Unit::PerS, 23_000.0, 4.0)),
            ["0", "10k", "20k", "30k"]
        );
        assert_eq!(
            labels(&linear(Unit::Ratio, 0.003, 4.0)),
            ["0", "0.1", "0.2", "0.3"]
        );
        assert_eq!(
            labels(&linear(Unit::Ratio, 0.0, 4.0)),
            ["0", "25", "50", "75", "100"]
        );
        assert_eq!(
            labels(&time(61.0, 6.0)),
            ["0:00", "0:15", "0:30", "0:45", "1:00"]
        );
        assert_eq!(
            labels(&log(Unit::Milliseconds, 1.0, 5_000.0)),
            ["1\u{a0}ms", "10\u{a0}ms", "100\u{a0}ms", "1\u{a0}s"]
        );
    }

    #[test]
    fn no_value_makes_a_scale_without_end() {
        for value in [0.0, -1.0, 1e-300, 1e300, f64::MAX, f64::NAN, f64::INFINITY] {
            for axis in [
                linear(Unit::Count, value, 4.0),
                log(Unit::Milliseconds, value, value),
                time(value.min(1e13), 6.0),
            ] {
                assert!(axis.ticks.len() <= 50, "{value}");
                for probe in [0.0, 1.0, value] {
                    assert!((0.0..=1.0).contains(&axis.place(probe)), "{value} {probe}");
                }
                assert!(
                    labels(&axis)
                        .iter()
                        .all(|label| label.chars().count() <= 16),
                    "{value} {axis:?}"
                );
            }
        }
    }
}
