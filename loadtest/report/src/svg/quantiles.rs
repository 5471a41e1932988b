//! Distributions: which share of requests was faster.

use super::axis::{Axis, log};
use super::frame::Paper;
use super::lines::line;
use crate::number::Unit;
use crate::words::digits_of_quantile;

/// One distribution.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Quantiles (0 to below 1) and their values, ms, in order.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Nines that the scale ends with: p99.99.
const NINES_MAX: f64 = 4.0;

/// Draws distributions, the rarer the further to the right: each nine takes as much room as the one before. None: there is none.
pub(crate) fn quantiles(
    id: &str,
    title: &str,
    description: &str,
    curves: &[Curve],
    paper: &Paper,
) -> Option<String> {
    let values = || {
        let points = curves.iter().flat_map(|curve| &curve.points);
        points
            .map(|(_, ms)| *ms)
            .filter(|ms| ms.is_finite() && *ms > 0.0)
    };
    let low = values().reduce(f64::min)?;
    let high = values().reduce(f64::max)?;
    let axis = log(Unit::Milliseconds, low * 0.8, high * 1.2);
    let end = curves
        .iter()
        .filter_map(|curve| curve.points.last())
        .map(|(quantile, _)| nines(*quantile))
        .fold(1.0, f64::max);
    let bottom = Axis {
        low: 0.0,
        high: end,
        is_log: false,
        ticks: [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999]
            .into_iter()
            .filter(|quantile| nines(*quantile) <= end + 0.01)
            .map(|quantile| {
                (
                    nines(quantile),
                    format!("p{}", digits_of_quantile(quantile)),
                )
            })
            .collect(),
        symbol: "",
    };
    let mut svg = paper.open(id, title, description);
    paper.value_axis(&mut svg, &axis);
    paper.bottom_axis(&mut svg, &bottom);
    for (number, curve) in curves.iter().enumerate() {
        let points: Vec<Option<(f64, f64)>> = curve
            .points
            .iter()
            .map(|(quantile, ms)| {
                let x = paper.x(bottom.place(nines(*quantile)));
                Some((x, paper.y(axis.place(*ms))))
            })
            .collect();
        line(&mut svg, number, &curve.name, &points);
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// 1 for 0.9, 2 for 0.99.
fn nines(quantile: f64) -> f64 {
    (-(1.0 - quantile.clamp(0.0, 0.999_999)).log10()).clamp(0.0, NINES_MAX)
}
