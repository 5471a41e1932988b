//! Layers over a run's time that add up.

use std::fmt::Write;

use super::axis::time;
use super::frame::Paper;
use super::lines::LineGraph;
use super::{escape, px};

/// Draws layers on one another, the first at the bottom; what was not measured is 0. Each has a colour and a hatching of its own.
pub(crate) fn stack(graph: &LineGraph<'_>, paper: &Paper) -> String {
    let count = graph.steps.list.len();
    let value = |layer: usize, step: usize| {
        let series = graph.series.get(layer);
        let value = series.and_then(|series| series.values.get(step).copied().flatten());
        value.unwrap_or(0.0).max(0.0)
    };
    let sum = |layers: usize, step: usize| (0..layers).map(|layer| value(layer, step)).sum::<f64>();
    let layers = graph.series.len();
    let max = (0..count).map(|step| sum(layers, step)).fold(0.0, f64::max);
    let (values, time) = (graph.value_axis(max), time(graph.steps.end_s, 6.0));
    let mut svg = graph.begin(paper, &values, &time);
    hatchings(&mut svg, graph.id);
    for (layer, series) in graph.series.iter().enumerate() {
        let mut upper = String::new();
        let mut lower = Vec::new();
        for (step, of) in graph.steps.list.iter().enumerate() {
            let from = px(paper.x(time.place(of.from_s)));
            let until = px(paper.x(time.place(of.from_s + of.length_s)));
            let low = px(paper.y(values.place(sum(layer, step))));
            let high = px(paper.y(values.place(sum(layer + 1, step))));
            let command = if step == 0 { 'M' } else { 'L' };
            let _ = write!(upper, "{command}{from} {high}H{until}");
            lower.push(format!("L{until} {low}H{from}"));
        }
        lower.reverse();
        if upper.is_empty() || series.max() <= 0.0 {
            continue;
        }
        let outline = format!("{upper}{}Z", lower.concat());
        let _ = writeln!(
            svg,
            "<g><title>{}</title><path class=\"f{layer}\" d=\"{outline}\"/><path fill=\"url(#{}-h{})\" d=\"{outline}\"/></g>",
            escape(&series.name),
            graph.id,
            layer % HATCHINGS
        );
    }
    graph.end(svg, paper, &time)
}

/// Different hatchings; the first is none.
const HATCHINGS: usize = 5;

/// Patterns that tell layers apart where colours do not.
pub(super) fn hatchings(svg: &mut String, id: &str) {
    let shapes = [
        "",
        "M-1 7L7 -1M5 9L9 5M-1 1L1 -1",
        "M-1 -1L9 9M-1 7L1 9M7 -1L9 1",
        "M0 2H8M0 6H8",
        "M4 0V8",
    ];
    svg.push_str("<defs>");
    for (number, shape) in shapes.iter().enumerate() {
        let _ = write!(
            svg,
            "<pattern id=\"{id}-h{number}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><path class=\"hatching\" d=\"{}\"/></pattern>",
            if shape.is_empty() { "M0 0" } else { shape }
        );
    }
    svg.push_str("</defs>\n");
}
