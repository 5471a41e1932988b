//! The verdict, and what run it is of.

use mcsp_loadtest_measure::VerdictKind;

use super::Page;
use super::tag::foreign;
use crate::number::{Unit, date, plural, span};
use crate::svg::escape;
use crate::words::{capital, headline, other_reasons, verdict_word};

/// Reasons that are shown.
const REASONS_MAX: usize = 12;

pub(super) fn banner(page: &Page<'_>) -> String {
    let results = page.results();
    let kind = results.verdict.kind;
    let mut html = format!(
        "<header>\n<div class=\"verdict {}\">{}<div><p class=\"word\">{}</p><h1>{}</h1><p class=\"say\">{}</p></div></div>\n",
        kind.name(),
        icon(kind),
        verdict_word(kind),
        foreign(&results.scenario.name),
        escape(&headline(results))
    );
    let reasons = other_reasons(results);
    // One that the sentence above says in full is not said again.
    let is_said = kind == VerdictKind::Incomplete && reasons.len() == 1;
    if !reasons.is_empty() && !is_said {
        html.push_str("<ul class=\"reasons\">\n");
        for reason in reasons.iter().take(REASONS_MAX) {
            html.push_str(&format!("<li>{}</li>\n", foreign(&capital(reason))));
        }
        if reasons.len() > REASONS_MAX {
            let more = reasons.len() - REASONS_MAX;
            html.push_str(&format!("<li>and {more} more</li>\n"));
        }
        html.push_str("</ul>\n");
    }
    html.push_str(&facts(page));
    html.push_str("</header>\n");
    html
}

fn facts(page: &Page<'_>) -> String {
    let results = page.results();
    let scenario = &results.scenario;
    let workers = match results.workers.lost.len() {
        0 => plural(u64::from(results.workers.expected), "worker"),
        lost => format!(
            "{}, {lost} lost",
            plural(u64::from(results.workers.expected), "worker")
        ),
    };
    let mut facts = vec![
        ("Started", escape(&date(results.started_unix_ms))),
        (
            "Took",
            format!(
                "{}, of which users arrived for {}",
                escape(&span(results.took_us as f64 / 1e6)),
                escape(&span(scenario.duration_s as f64))
            ),
        ),
        ("Target", foreign(&page.recorded.target_hosts.join(", "))),
        (
            "Made by",
            format!(
                "{}, mcsp-load {}",
                escape(&workers),
                foreign(&page.recorded.tool_version)
            ),
        ),
    ];
    let machine = &results.machine;
    if machine.cores > 0 {
        facts.push((
            "On",
            format!(
                "{} × {}, {}, {}",
                machine.cores,
                foreign(&machine.processor),
                escape(&Unit::Bytes.show(machine.memory_bytes as f64)),
                foreign(&machine.system)
            ),
        ));
    }
    if let Some(commit) = &results.commit {
        facts.push(("Commit", format!("<code>{}</code>", foreign(commit))));
    }
    let purpose = if scenario.purpose.is_empty() {
        String::new()
    } else {
        format!("<p class=\"purpose\">{}</p>\n", foreign(&scenario.purpose))
    };
    let list: String = facts
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"))
        .collect();
    format!("{purpose}<dl class=\"facts\">\n{list}</dl>\n")
}

/// A shape for each verdict, not a colour alone.
fn icon(kind: VerdictKind) -> String {
    let shape = match kind {
        VerdictKind::Pass => "M7 12.5l3.4 3.5L17 8.5",
        VerdictKind::Fail => "M8 8l8 8M16 8l-8 8",
        VerdictKind::ToolOverloaded => "M12 6.5v7M12 17v.5",
        VerdictKind::Incomplete => "M7 12h.5M12 12h.5M17 12h.5",
    };
    format!(
        "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"11\"/><path d=\"{shape}\"/></svg>"
    )
}

pub(super) fn footer(page: &Page<'_>) -> String {
    format!(
        "<footer>\n<p>Latency counts from the moment a request was meant to start, so a slow system cannot slow its own measurement. \
         Quantiles of the whole run are exact to three digits, those over time to 3.2&#160;%; the warm-up is left out of totals. \
         All numbers are in <code>results.json</code>, schema {}.</p>\n</footer>\n",
        page.recorded.schema
    )
}
