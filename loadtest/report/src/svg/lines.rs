//! Lines over a run's time.

use std::fmt::Write;

use super::axis::{Axis, linear, time};
use super::frame::{Mark, Paper};
use super::{Series, escape, px};
use crate::number::Unit;
use crate::steps::Steps;

/// Markers on one line, about.
const MARKERS: usize = 6;
/// Steps without a value that a line goes over, thinly: of something rare, not every step has one. More are a gap.
const BRIDGED_MAX: usize = 2;

/// Lines over a run's time.
#[derive(Debug)]
pub(crate) struct LineGraph<'a> {
    /// Unique on the page.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    /// For those who cannot see it.
    pub(crate) description: &'a str,
    pub(crate) unit: Unit,
    /// The value axis ends there; none: above the highest value.
    pub(crate) high: Option<f64>,
    pub(crate) series: &'a [Series],
    pub(crate) steps: &'a Steps,
    pub(crate) marks: &'a [Mark],
}

impl LineGraph<'_> {
    /// The value axis for values up to `max`.
    pub(super) fn value_axis(&self, max: f64) -> Axis {
        linear(self.unit, self.high.unwrap_or(max), 4.0)
    }

    pub(super) fn begin(&self, paper: &Paper, values: &Axis, time: &Axis) -> String {
        let mut svg = paper.open(self.id, self.title, self.description);
        paper.shades(&mut svg, time, self.marks, true);
        paper.numbers(&mut svg, time, self.marks);
        paper.value_axis(&mut svg, values);
        paper.bottom_axis(&mut svg, time);
        svg
    }

    pub(super) fn end(&self, mut svg: String, paper: &Paper, time: &Axis) -> String {
        for (index, step) in self.steps.list.iter().enumerate() {
            let values = self.series.iter().filter_map(|series| {
                let value = series.values.get(index).copied().flatten()?;
                Some(format!("{} {}", series.name, self.unit.show(value)))
            });
            let values: Vec<String> = values.collect();
            if values.is_empty() {
                continue;
            }
            let from = paper.x(time.place(step.from_s));
            let until = paper.x(time.place(step.from_s + step.length_s));
            paper.column(
                &mut svg,
                from,
                until - from,
                step.from_s,
                &values.join(" · "),
            );
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Draws lines; what was not measured for long is a gap. Each has a colour, a dash and a marker of its own.
pub(crate) fn lines(graph: &LineGraph<'_>, paper: &Paper) -> String {
    let max = graph.series.iter().map(Series::max).fold(0.0, f64::max);
    let (values, time) = (graph.value_axis(max), time(graph.steps.end_s, 6.0));
    let mut svg = graph.begin(paper, &values, &time);
    for (number, series) in graph.series.iter().enumerate() {
        let place = |(step, value): (&crate::steps::Step, &Option<f64>)| {
            let x = paper.x(time.place(step.from_s + step.length_s / 2.0));
            value.map(|value| (x, paper.y(values.place(value))))
        };
        let points: Vec<Option<(f64, f64)>> = graph
            .steps
            .list
            .iter()
            .zip(&series.values)
            .map(place)
            .collect();
        line(&mut svg, number, &series.name, &points);
    }
    graph.end(svg, paper, &time)
}

/// One line: its path, its markers, and dots where it is a single point.
pub(super) fn line(svg: &mut String, number: usize, name: &str, points: &[Option<(f64, f64)>]) {
    // Between neighbours, and over short gaps.
    let (mut path, mut bridges) = (String::new(), String::new());
    let mut dots = Vec::new();
    let mut last: Option<(usize, f64, f64)> = None;
    for (index, point) in points.iter().enumerate() {
        let Some((x, y)) = *point else { continue };
        let missing = last.map(|(last, _, _)| index - last - 1);
        let has_next = points.get(index + 1).is_some_and(Option::is_some);
        if missing != Some(0) && !has_next {
            dots.push((x, y));
        }
        let command = if missing == Some(0) { 'L' } else { 'M' };
        let _ = write!(path, "{command}{} {}", px(x), px(y));
        if let Some((_, from_x, from_y)) = last
            && missing.is_some_and(|missing| (1..=BRIDGED_MAX).contains(&missing))
        {
            let (from_x, from_y) = (px(from_x), px(from_y));
            let _ = write!(bridges, "M{from_x} {from_y}L{} {}", px(x), px(y));
        }
        last = Some((index, x, y));
    }
    let _ = write!(svg, "<g><title>{}</title>", escape(name));
    for (class, path) in [("line", path), ("line bridge", bridges)] {
        if !path.is_empty() {
            let _ = write!(svg, "<path class=\"{class} s{number}\" d=\"{path}\"/>");
        }
    }
    for (x, y) in dots {
        let _ = write!(
            svg,
            "<circle class=\"f{number}\" cx=\"{}\" cy=\"{}\" r=\"1.7\"/>",
            px(x),
            px(y)
        );
    }
    let drawn: Vec<(f64, f64)> = points.iter().flatten().copied().collect();
    let every = (drawn.len() / MARKERS).max(1);
    // Lines that lie on one another have their markers beside one another.
    let skip = (number * every / 3) % every.max(1) + every / 2;
    for (x, y) in drawn.iter().skip(skip).step_by(every) {
        marker(svg, number, *x, *y);
    }
    svg.push_str("</g>\n");
}

/// The shape that stands for a line, beside its colour.
pub(super) fn marker(svg: &mut String, number: usize, x: f64, y: f64) {
    let at = |dx: f64, dy: f64| format!("{} {}", px(x + dx), px(y + dy));
    let shape = match number % 6 {
        0 => {
            let _ = write!(
                svg,
                "<circle class=\"dot f{number}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>",
                px(x),
                px(y)
            );
            return;
        }
        1 => format!("M{}h5.4v5.4h-5.4z", at(-2.7, -2.7)),
        2 => format!("M{}l3.6 6.2h-7.2z", at(0.0, -3.8)),
        3 => format!("M{}l3.8 3.8l-3.8 3.8l-3.8 -3.8z", at(0.0, -3.8)),
        4 => format!("M{}l3.6 -6.2h-7.2z", at(0.0, 3.8)),
        _ => format!(
            "M{}h2.4v2.4h2.4v2.4h-2.4v2.4h-2.4v-2.4h-2.4v-2.4h2.4z",
            at(-1.2, -3.6)
        ),
    };
    let _ = write!(svg, "<path class=\"dot f{number}\" d=\"{shape}\"/>");
}
