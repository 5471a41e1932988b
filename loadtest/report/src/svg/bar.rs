//! How far a measured value is from what was asked.

use mcsp_loadtest_measure::SloVerdict;

use super::px;

const WIDTH: f64 = 140.0;
const HEIGHT: f64 = 14.0;

/// A bar to the measured value, and a line where the bound is. It says nothing that the table does not, so it is hidden from
/// those who hear the page.
pub(crate) fn slo_bar(verdict: &SloVerdict) -> String {
    let bound = verdict.slo.at_most.or(verdict.slo.at_least).unwrap_or(0.0);
    let finite = |value: f64| {
        if value.is_finite() {
            value.max(0.0)
        } else {
            0.0
        }
    };
    let (measured, bound) = (finite(verdict.measured.unwrap_or(0.0)), finite(bound));
    // A value far beyond the bound leaves the bound visible.
    let high = (bound.max(measured) * 1.08)
        .min(bound * 8.0)
        .max(measured.min(bound * 8.0));
    let high = if high > 0.0 { high } else { measured.max(1.0) };
    let x = |value: f64| (value / high).clamp(0.0, 1.0) * (WIDTH - 4.0) + 1.0;
    let class = if verdict.met { "met" } else { "unmet" };
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 {} {}\" aria-hidden=\"true\"><rect class=\"track\" x=\"1\" y=\"4\" width=\"{}\" height=\"6\" rx=\"3\"/>\
         <rect class=\"{class}\" x=\"1\" y=\"4\" width=\"{}\" height=\"6\" rx=\"3\"/><path class=\"bound\" d=\"M{} 0V14\"/></svg>",
        px(WIDTH),
        px(HEIGHT),
        px(WIDTH - 4.0),
        px(x(measured) - 1.0),
        px(x(bound))
    )
}
