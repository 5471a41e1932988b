//! When users come: rates over time.

use serde::{Deserialize, Serialize};

/// The shape of a rate over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalKind {
    /// `rate_per_s` throughout.
    Constant,
    /// From `rate_per_s` to `to_per_s`, in a straight line.
    Ramp,
    /// `rate_per_s`, then up to `to_per_s` within `rise_s`, `hold_s` there, and back within `fall_s`.
    Spike,
    /// `rate_per_s` times a day's curve.
    Daily,
    /// `rate_per_s` on average, at random times: a Poisson process.
    Poisson,
}

/// How arrivals lie within a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Evenly: the n-th comes when the rate has summed to n.
    #[default]
    Even,
    /// At random, as independent people do: an inhomogeneous Poisson process of that rate.
    Poisson,
}

/// One stream of arrivals. Several add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// The shape.
    pub kind: ArrivalKind,
    /// Users per second, see [`ArrivalKind`].
    pub rate_per_s: f64,
    /// When it begins, s after the start.
    #[serde(default)]
    pub from_s: u64,
    /// How long it lasts, s; absent: to the end of the run.
    #[serde(default)]
    pub for_s: Option<u64>,
    /// How arrivals lie within it.
    #[serde(default)]
    pub spacing: Spacing,
    /// Of a ramp, its end; of a spike, its top.
    #[serde(default)]
    pub to_per_s: Option<f64>,
    /// Of a spike, how long after `from_s` it begins to rise, s.
    #[serde(default)]
    pub after_s: Option<u64>,
    /// Of a spike, s.
    #[serde(default)]
    pub rise_s: Option<u64>,
    /// Of a spike, s.
    #[serde(default)]
    pub hold_s: Option<u64>,
    /// Of a spike, s.
    #[serde(default)]
    pub fall_s: Option<u64>,
    /// Of a daily curve: shares of `rate_per_s` at equal steps through a day, joined by straight lines.
    #[serde(default)]
    pub curve: Option<Vec<f64>>,
    /// Of a daily curve: how long a day takes, s.
    #[serde(default)]
    pub day_s: Option<u64>,
    /// Of a daily curve: the hour at which it begins, 0 to 24.
    #[serde(default)]
    pub start_hour: Option<f64>,
}

/// Requests of a video service by hour, 00:00 first, as shares of the evening's peak.
pub(crate) const DAY: [f64; 24] = [
    0.55, 0.38, 0.25, 0.18, 0.14, 0.13, 0.16, 0.22, 0.30, 0.36, 0.40, 0.44, 0.50, 0.53, 0.52, 0.53,
    0.57, 0.64, 0.74, 0.86, 0.96, 1.00, 0.93, 0.76,
];
const DAY_S: u64 = 86_400;

/// A point of a rate over time; between two the rate is a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Knot {
    /// s after the start.
    pub(crate) at_s: f64,
    pub(crate) rate_per_s: f64,
}

impl Arrival {
    /// Whether its arrivals are drawn.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.kind == ArrivalKind::Poisson || self.spacing == Spacing::Poisson
    }

    /// The rate over time, in order; nothing before the first and after the last point.
    pub(crate) fn knots(&self, duration_s: u64) -> Vec<Knot> {
        let begin = self.from_s.min(duration_s);
        let end = self
            .for_s
            .map_or(duration_s, |for_s| begin.saturating_add(for_s))
            .min(duration_s);
        let (begin, end) = (begin as f64, end as f64);
        let knot = |at_s, rate_per_s| Knot { at_s, rate_per_s };
        let base = self.rate_per_s;
        let top = self.to_per_s.unwrap_or(base);
        let seconds = |value: Option<u64>| value.unwrap_or(0) as f64;
        match self.kind {
            ArrivalKind::Constant | ArrivalKind::Poisson => {
                vec![knot(begin, base), knot(end, base)]
            }
            ArrivalKind::Ramp => vec![knot(begin, base), knot(end, top)],
            ArrivalKind::Spike => {
                let rise = begin + seconds(self.after_s);
                let high = rise + seconds(self.rise_s);
                let fall = high + seconds(self.hold_s);
                let low = fall + seconds(self.fall_s);
                let whole = [
                    knot(begin, base),
                    knot(rise, base),
                    knot(high, top),
                    knot(fall, top),
                    knot(low, base),
                    knot(f64::INFINITY, base),
                ];
                cut(&whole, end)
            }
            ArrivalKind::Daily => self.days(begin, end),
        }
    }

    fn days(&self, begin: f64, end: f64) -> Vec<Knot> {
        let curve = self
            .curve
            .as_deref()
            .filter(|curve| !curve.is_empty())
            .unwrap_or(&DAY);
        let step_s = self.day_s.unwrap_or(DAY_S).max(1) as f64 / curve.len() as f64;
        let offset = self.start_hour.unwrap_or(0.0) / 24.0 * curve.len() as f64;
        let share = |position: f64| {
            let below = position.floor();
            let at = |index: f64| {
                curve
                    .get(index as usize % curve.len())
                    .copied()
                    .unwrap_or(0.0)
            };
            let (low, high) = (at(below), at(below + 1.0));
            low + (high - low) * (position - below)
        };
        let mut knots = Vec::new();
        let mut position = offset;
        loop {
            let at_s = begin + (position - offset) * step_s;
            if at_s >= end {
                break;
            }
            knots.push(Knot {
                at_s,
                rate_per_s: self.rate_per_s * share(position),
            });
            position = position.floor() + 1.0;
        }
        let last = offset + (end - begin) / step_s;
        knots.push(Knot {
            at_s: end,
            rate_per_s: self.rate_per_s * share(last),
        });
        knots
    }
}

/// What of `knots` lies before `end`.
fn cut(knots: &[Knot], end: f64) -> Vec<Knot> {
    let mut kept: Vec<Knot> = Vec::new();
    for knot in knots {
        if knot.at_s <= end {
            kept.push(*knot);
            continue;
        }
        if let Some(before) = kept.last().copied() {
            let way = (end - before.at_s) / (knot.at_s - before.at_s);
            let rate_per_s = before.rate_per_s + (knot.rate_per_s - before.rate_per_s) * way;
            kept.push(Knot {
                at_s: end,
                rate_per_s,
            });
        }
        break;
    }
    kept
}
