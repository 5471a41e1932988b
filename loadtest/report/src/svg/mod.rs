//! Graphs as static SVG: no script, colours by classes of the page's style sheet.

mod axis;
mod bar;
mod frame;
mod heat;
mod legend;
mod lines;
mod quantiles;
mod stack;

pub(crate) use bar::slo_bar;
pub(crate) use frame::{Mark, MarkKind, Paper};
pub(crate) use heat::{Heat, heat, heat_legend};
pub(crate) use legend::{legend, stack_legend};
pub(crate) use lines::{LineGraph, lines};
pub(crate) use quantiles::{Curve, quantiles};
pub(crate) use stack::stack;

/// Lines that one graph may have: more cannot be told apart.
pub(crate) const SERIES_MAX: usize = 8;

/// One line, or one layer, of a graph: a value for each of its steps.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, points: Vec<(f64, Option<f64>)>) -> Self {
        Self {
            name: name.into(),
            values: points.into_iter().map(|(_, value)| value).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    pub(crate) fn min(&self) -> f64 {
        let values = self.values.iter().flatten().copied();
        let finite = values.filter(|value| value.is_finite());
        finite.reduce(f64::min).unwrap_or(0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        let values = self.values.iter().flatten().copied();
        values.filter(|value| value.is_finite()).fold(0.0, f64::max)
    }
}

/// A coordinate, to a tenth of a pixel; what is none is 0.
pub(crate) fn px(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let tenths = (value.clamp(-1e5, 1e5) * 10.0).round() / 10.0;
    // No "-0".
    format!("{}", tenths + 0.0)
}

/// Text as it may stand in HTML, in SVG and in attributes. What XML does not allow becomes U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}
