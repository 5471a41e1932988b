//! How many requests took how long when.

use std::fmt::Write;

use mcsp_loadtest_measure::Coarse;

use super::axis::{Axis, log, time};
use super::frame::{Mark, Paper};
use super::lines::{line, marker};
use super::px;
use crate::number::{Unit, count};
use crate::steps::{Steps, quantile_ms};

/// Shades; the style sheet has as many.
const SHADES: usize = 8;

/// A map of counts over time and latency.
#[derive(Debug)]
pub(crate) struct Heat<'a> {
    /// Unique on the page.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    /// For those who cannot see it.
    pub(crate) description: &'a str,
    pub(crate) steps: &'a Steps,
    /// For each step, its latencies, µs.
    pub(crate) latencies: &'a [Coarse],
    pub(crate) marks: &'a [Mark],
    /// Rows of the map.
    pub(crate) rows: usize,
}

/// Draws the map, with lines for the median and p99; below it what the shades stand for. None: there was no request.
pub(crate) fn heat(map: &Heat<'_>, paper: &Paper) -> Option<String> {
    let bins = || map.latencies.iter().flat_map(Coarse::bins);
    let low_us = bins().map(|(low, _, _)| low).min()?.max(10);
    let high_us = bins().map(|(_, above, _)| above).max()?.max(low_us * 2);
    let axis = log(
        Unit::Milliseconds,
        low_us as f64 / 1e3,
        high_us as f64 / 1e3,
    );
    let time = time(
        map.steps.end_s,
        if paper.width > 600.0 { 12.0 } else { 6.0 },
    );
    let cells = cells(map, &axis);
    let most = cells.iter().flatten().copied().max().unwrap_or(0).max(1);
    let mut svg = paper.open(map.id, map.title, map.description);
    // A shade over the map would be taken for a count.
    paper.shades(&mut svg, &time, map.marks, false);
    let row_height = paper.plot_height() / map.rows as f64;
    for row in 0..map.rows {
        let y = paper.y((row + 1) as f64 / map.rows as f64);
        let mut step = 0;
        while step < cells.len() {
            let shade_of = |step: usize| {
                let cell = cells.get(step).and_then(|column| column.get(row));
                shade(cell.copied().unwrap_or(0), most)
            };
            let own = shade_of(step);
            let first = step;
            while step < cells.len() && shade_of(step) == own {
                step += 1;
            }
            let edge = |step: usize| {
                let of = map.steps.list.get(step);
                paper.x(time.place(of.map_or(map.steps.end_s, |step| step.from_s)))
            };
            if let Some(own) = own {
                let (from, until) = (edge(first), edge(step));
                let _ = write!(
                    svg,
                    "<rect class=\"h{own}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                    px(from),
                    px(y),
                    px(until - from),
                    px(row_height + 0.2)
                );
            }
        }
    }
    svg.push('\n');
    paper.numbers(&mut svg, &time, map.marks);
    paper.value_axis(&mut svg, &axis);
    paper.bottom_axis(&mut svg, &time);
    overlays(&mut svg, map, paper, &axis, &time);
    svg.push_str("</svg>");
    Some(svg)
}

/// What the shades stand for, and the lines.
pub(crate) fn heat_legend() -> String {
    let mut html = String::from(
        "<ul class=\"legend\"><li>few <svg viewBox=\"0 0 80 12\" aria-hidden=\"true\" class=\"shades\">",
    );
    for shade in 0..SHADES {
        let _ = write!(
            html,
            "<rect class=\"h{shade}\" x=\"{}\" y=\"0\" width=\"10\" height=\"12\"/>",
            shade * 10
        );
    }
    html.push_str("</svg> many requests</li>");
    for (number, name) in ["p50", "p99"].into_iter().enumerate() {
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\"><path class=\"line s{number}\" d=\"M1 6H27\"/>"
        );
        marker(&mut html, number, 14.0, 6.0);
        let _ = write!(html, "</svg>{name}</li>");
    }
    html.push_str("</ul>\n");
    html
}

/// For each step, requests by row, the fastest first.
fn cells(map: &Heat<'_>, axis: &Axis) -> Vec<Vec<u64>> {
    let column = |latencies: &Coarse| {
        let mut column = vec![0; map.rows];
        for (low, above, count) in latencies.bins() {
            let middle_ms = (low as f64 + above as f64) / 2e3;
            let row = (axis.place(middle_ms) * map.rows as f64) as usize;
            if let Some(cell) = column.get_mut(row.min(map.rows.saturating_sub(1))) {
                *cell += count;
            }
        }
        column
    };
    map.latencies.iter().map(column).collect()
}

/// On a logarithmic scale, so that few slow ones are seen beside many fast ones; none for none.
fn shade(count: u64, most: u64) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let place = (count as f64).ln_1p() / (most as f64).ln_1p();
    Some(((place * SHADES as f64).ceil() as usize).clamp(1, SHADES) - 1)
}

fn overlays(svg: &mut String, map: &Heat<'_>, paper: &Paper, axis: &Axis, time: &Axis) {
    for (number, (quantile, name)) in [(0.5, "p50"), (0.99, "p99")].into_iter().enumerate() {
        let place = |(step, latencies): (&crate::steps::Step, &Coarse)| {
            let x = paper.x(time.place(step.from_s + step.length_s / 2.0));
            quantile_ms(latencies, quantile).map(|ms| (x, paper.y(axis.place(ms))))
        };
        let points: Vec<Option<(f64, f64)>> = map
            .steps
            .list
            .iter()
            .zip(map.latencies)
            .map(place)
            .collect();
        svg.push_str("<g class=\"over\">");
        line(svg, number, name, &points);
        svg.push_str("</g>");
    }
    for (step, latencies) in map.steps.list.iter().zip(map.latencies) {
        let from = paper.x(time.place(step.from_s));
        let until = paper.x(time.place(step.from_s + step.length_s));
        if let Some((median, slow)) = quantile_ms(latencies, 0.5).zip(quantile_ms(latencies, 0.99))
        {
            let values = format!(
                "{} requests · p50 {} · p99 {}",
                count(latencies.count()),
                Unit::Milliseconds.show(median),
                Unit::Milliseconds.show(slow)
            );
            paper.column(svg, from, until - from, step.from_s, &values);
        }
    }
}
