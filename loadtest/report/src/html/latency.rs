//! How long requests took.

use mcsp_loadtest_measure::{Coarse, Latency, Phase, RequestClass};

use super::Page;
use super::figure::behind;
use super::tag::{Column, section as wrap, table};
use crate::number::{Unit, clock, count};
use crate::steps::{Steps, last_byte, quantile_ms};
use crate::svg::{
    Curve, Heat, Paper, SERIES_MAX, Series, escape, heat, heat_legend, legend, quantiles,
};
use crate::words::{capital, phase_words};

/// Of a table: calls of the API may be many.
const ROWS_MAX: usize = 200;

pub(super) fn section(page: &Page<'_>) -> String {
    let body = [
        map(page, "g-heat-media", "Media", RequestClass::is_media),
        map(page, "g-heat-api", "API calls and uploads", |class| {
            !class.is_media()
        }),
        "<div class=\"figures\">\n".to_owned(),
        curves(page),
        super::graphs::slowness(page),
        "</div>\n".to_owned(),
        phases(page),
    ];
    wrap("latency", "Latency", &body.concat())
}

/// A map of the latencies of some classes; nothing when there was no such request.
fn map(page: &Page<'_>, id: &str, of: &str, is_of: fn(&RequestClass) -> bool) -> String {
    let latencies = |steps: &Steps| -> Vec<Coarse> {
        steps
            .list
            .iter()
            .map(|step| last_byte(&step.bucket, is_of))
            .collect()
    };
    let title = format!("{of}: time to the last byte");
    let what = "The stronger the shade, the more requests ended at that time with that latency; both scales are logarithmic.";
    let of_steps = latencies(&page.steps);
    let draw = |id: &str, paper: &Paper, rows: usize| {
        let map = Heat {
            id,
            title: &title,
            description: what,
            steps: &page.steps,
            latencies: &of_steps,
            marks: &page.marks,
            rows,
        };
        heat(&map, paper)
    };
    // One for each width: text that is scaled to a phone cannot be read.
    let (Some(wide), Some(narrow)) = (
        draw(&format!("{id}-w"), &Paper::WIDE, 36),
        draw(&format!("{id}-n"), &Paper::SMALL, 20),
    ) else {
        return String::new();
    };
    let rows: Vec<Vec<String>> = page
        .rows
        .list
        .iter()
        .zip(latencies(&page.rows))
        .map(|(step, latencies)| {
            let of =
                |quantile| escape(&Unit::Milliseconds.show_some(quantile_ms(&latencies, quantile)));
            vec![
                clock(step.from_s),
                count(latencies.count()),
                of(0.5),
                of(0.9),
                of(0.99),
            ]
        })
        .collect();
    let heads = ["From", "Requests", "p50", "p90", "p99"].map(|head| (head, Column::Number));
    format!(
        "<figure class=\"wide\"><figcaption><h3>{}</h3><p>{what}</p></figcaption>\n{}<div class=\"on-wide\">{wide}</div>\n\
         <div class=\"on-narrow\">{narrow}</div>\n{}</figure>\n",
        escape(&title),
        heat_legend(),
        behind(&table(&title, &heads, &rows))
    )
}

/// The distributions of the whole run, of the classes with the most requests.
fn curves(page: &Page<'_>) -> String {
    let mut of: Vec<(&RequestClass, &Latency)> = page
        .results()
        .seen
        .latencies
        .iter()
        .filter(|(_, phase, latency)| *phase == Phase::LastByte && latency.count() > 0)
        .map(|(class, _, latency)| (class, latency))
        .collect();
    of.sort_by_key(|(_, latency)| std::cmp::Reverse(latency.count()));
    of.truncate(SERIES_MAX);
    let names: Vec<Series> = of
        .iter()
        .map(|(class, _)| Series::new(class.to_string(), Vec::new()))
        .collect();
    let totals: Vec<String> = of
        .iter()
        .map(|(_, latency)| count(latency.count()))
        .collect();
    let curves: Vec<Curve> = of
        .into_iter()
        .map(|(class, latency)| Curve {
            name: class.to_string(),
            points: points(latency),
        })
        .collect();
    let (title, what) = (
        "Distribution",
        "How slow the slowest half, tenth, hundredth … of all requests are.",
    );
    let Some(svg) = quantiles("g-quantiles", title, what, &curves, &Paper::SMALL) else {
        return String::new();
    };
    format!(
        "<figure><figcaption><h3>{title}</h3><p>{what}</p></figcaption>\n{}{svg}\n</figure>\n",
        legend(&names, &totals)
    )
}

/// Sixteen quantiles for each nine, as far as requests tell.
fn points(latency: &Latency) -> Vec<(f64, f64)> {
    let total = latency.count() as f64;
    (0..=64)
        .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 16.0))
        .filter(|quantile| (1.0 - quantile) * total >= 0.999)
        .filter_map(|quantile| {
            let us = latency.quantile_us(quantile)?;
            Some((quantile, (us as f64 / 1e3).max(0.001)))
        })
        .collect()
}

/// Each class of requests, and behind it each part of its time, of the whole run.
fn phases(page: &Page<'_>) -> String {
    let latencies = &page.results().seen.latencies;
    let rows = |is_shown: fn(Phase) -> bool, has_phase: bool| -> Vec<Vec<String>> {
        latencies
            .iter()
            .filter(|(_, phase, latency)| is_shown(*phase) && latency.count() > 0)
            .take(ROWS_MAX)
            .map(|(class, phase, latency)| row(class, has_phase.then_some(phase), latency))
            .collect()
    };
    let whole = rows(|phase| phase == Phase::LastByte, false);
    if whole.is_empty() {
        return "<p class=\"nothing\">No request was made after the warm-up.</p>\n".to_owned();
    }
    let number = Column::Number;
    let quantiles = ["Number", "p50", "p90", "p99", "p99.9", "Slowest"].map(|head| (head, number));
    let mut heads = vec![("Requests for", Column::Text)];
    heads.extend(quantiles);
    let of_whole = table("Time to the last byte", &heads, &whole);
    heads.insert(1, ("Part", Column::Text));
    let of_parts = table("Parts of requests’ time", &heads, &rows(|_| true, true));
    format!(
        "{of_whole}<details><summary>Connecting, TLS, first byte and last byte</summary>\n{of_parts}</details>\n"
    )
}

fn row(class: &RequestClass, phase: Option<Phase>, latency: &Latency) -> Vec<String> {
    let of = |quantile| {
        let ms = latency.quantile_us(quantile).map(|us| us as f64 / 1e3);
        escape(&Unit::Milliseconds.show_some(ms))
    };
    let mut row = vec![escape(&class.to_string())];
    row.extend(phase.map(|phase| capital(phase_words(phase))));
    row.push(count(latency.count()));
    row.extend([0.5, 0.9, 0.99, 0.999, 1.0].map(of));
    row
}
