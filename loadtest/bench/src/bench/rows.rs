//! One figure beside another.

use serde::Serialize;

/// One figure beside its peer's, or beside a bound, in the form of all our benchmarks.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    /// A median.
    pub(crate) ours: f64,
    /// A median of the same run.
    pub(crate) peer: f64,
    pub(crate) peer_name: String,
    /// ours / peer.
    pub(crate) ratio: f64,
    /// What the ratio must not pass; where it is a deviation, what that must not.
    pub(crate) goal: f64,
    pub(crate) met: bool,
}

impl Row {
    /// Of what must not be more than a share of the peer's, or of a bound.
    pub(crate) fn at_most(
        case: &str,
        (metric, unit): (&str, &str),
        ours: &[f64],
        (peer_name, peer): (&str, &[f64]),
        goal: f64,
    ) -> Self {
        Self::beside(
            case,
            (metric, unit),
            ours,
            (peer_name, peer),
            goal,
            |ratio| ratio <= goal,
        )
    }

    /// Of what must be the same, give or take a share.
    pub(crate) fn within(
        case: &str,
        (metric, unit): (&str, &str),
        ours: &[f64],
        (peer_name, peer): (&str, &[f64]),
        share: f64,
    ) -> Self {
        Self::beside(
            case,
            (metric, unit),
            ours,
            (peer_name, peer),
            1.0 + share,
            |ratio| (ratio - 1.0).abs() <= share,
        )
    }

    /// The medians of both, told at once; `is_met` is asked for their ratio.
    fn beside(
        case: &str,
        (metric, unit): (&str, &str),
        ours: &[f64],
        (peer_name, peer): (&str, &[f64]),
        goal: f64,
        is_met: impl FnOnce(f64) -> bool,
    ) -> Self {
        let (ours, peer) = (median(ours), median(peer));
        let ratio = ours / peer;
        let row = Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer,
            peer_name: peer_name.to_owned(),
            ratio,
            goal,
            met: is_met(ratio),
        };
        row.tell();
        row
    }

    fn tell(&self) {
        println!(
            "{:<58} {:>16} {:>11.3} {:>11.3} {:>7.3} {:>7.3}  {}   {}",
            self.case,
            format!("{} {}", self.metric, self.unit),
            self.ours,
            self.peer,
            self.ratio,
            self.goal,
            if self.met { "met" } else { "NOT MET" },
            self.peer_name,
        );
    }
}

/// The middle of the samples; 0 of none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    }
}
