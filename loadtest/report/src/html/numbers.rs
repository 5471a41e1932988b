//! The run in a few numbers.

use mcsp_loadtest_measure::{VerdictKind, hit_ratio};

use super::Page;
use super::tag::section as wrap;
use crate::number::{Unit, count};
use crate::steps::ratio;
use crate::svg::escape;

pub(super) fn section(page: &Page<'_>) -> String {
    let results = page.results();
    let sessions = &results.seen.sessions;
    let counts = results.seen.counts_of(None);
    let startup = |quantile| {
        sessions
            .startup
            .quantile_us(quantile)
            .map(|us| us as f64 / 1e3)
    };
    let ms = |value| Unit::Milliseconds.show_some(value);
    let lag = results.seen.lag.quantile_us(0.99).map(|us| us as f64 / 1e3);
    let lag_note = if results.verdict.kind == VerdictKind::ToolOverloaded {
        "too late to be believed"
    } else {
        "how late users started"
    };
    let tiles = [
        (
            "Start-up, median",
            ms(startup(0.5)),
            format!("p95 {}", ms(startup(0.95))),
        ),
        (
            "Rebuffer ratio",
            Unit::Ratio.show_some(sessions.rebuffer_ratio()),
            format!("{} stalls", count(sessions.stalls)),
        ),
        (
            "Mean bitrate",
            Unit::KbitS.show_some(sessions.bitrate_kbit_s()),
            format!("{} switches", count(sessions.switches)),
        ),
        (
            "Sessions",
            count(sessions.sessions),
            format!(
                "{} failed, {} without a stall",
                count(sessions.failed),
                Unit::Ratio.show_some(ratio(sessions.without_stall, sessions.started))
            ),
        ),
        (
            "Requests",
            count(counts.requests),
            format!("{} opened connections", count(counts.connections)),
        ),
        (
            "Errors",
            Unit::Ratio.show_some(ratio(counts.errors, counts.requests)),
            format!("{} requests", count(counts.errors)),
        ),
        (
            "Hit ratio",
            Unit::Ratio.show_some(hit_ratio(&counts)),
            "of media answers".to_owned(),
        ),
        (
            "Received and sent",
            Unit::Bytes.show(counts.bytes as f64),
            "in bodies".to_owned(),
        ),
        ("The tool’s lag, p99", ms(lag), lag_note.to_owned()),
    ];
    let list: String = tiles
        .iter()
        .map(|(name, value, note)| {
            format!(
                "<div><dt>{name}</dt><dd><b>{}</b><small>{}</small></dd></div>\n",
                escape(value),
                escape(note)
            )
        })
        .collect();
    wrap(
        "numbers",
        "In numbers",
        &format!("<dl class=\"tiles\">\n{list}</dl>\n"),
    )
}
