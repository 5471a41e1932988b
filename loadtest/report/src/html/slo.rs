//! What was asked of the system, and what was measured.

use mcsp_loadtest_measure::SloVerdict;

use super::Page;
use super::tag::{Column, cards, foreign, section as wrap, sign};
use crate::number::{Unit, count};
use crate::svg::{escape, slo_bar};
use crate::words::{bound, capital, margin, measure_name};

pub(super) fn section(page: &Page<'_>) -> String {
    let verdicts = &page.results().slo;
    let body = if verdicts.is_empty() {
        "<p>The scenario asks for none.</p>\n".to_owned()
    } else {
        slo_table("What was asked, and what was measured", verdicts.iter())
    };
    wrap("slos", "SLOs", &body)
}

/// Unmet ones first.
pub(super) fn slo_table<'a>(
    caption: &str,
    verdicts: impl Iterator<Item = &'a SloVerdict>,
) -> String {
    let mut verdicts: Vec<&SloVerdict> = verdicts.collect();
    verdicts.sort_by_key(|verdict| verdict.met);
    let rows: Vec<Vec<String>> = verdicts.into_iter().map(row).collect();
    cards(
        caption,
        "slo",
        &[
            ("SLO", Column::Text),
            ("", Column::Text),
            ("Measured", Column::Number),
            ("Asked", Column::Number),
            ("Beside the bound", Column::Text),
            ("Margin", Column::Text),
            ("Samples", Column::Number),
        ],
        &rows,
    )
}

fn row(verdict: &SloVerdict) -> Vec<String> {
    let unit = Unit::of(verdict.slo.metric);
    let samples = if verdict.samples == 0 {
        crate::number::NOTHING.to_owned()
    } else {
        count(verdict.samples)
    };
    vec![
        format!(
            "{}<small>{}</small>",
            foreign(&verdict.slo.name),
            escape(&capital(&measure_name(&verdict.slo)))
        ),
        sign(verdict.met).to_owned(),
        format!("<b>{}</b>", escape(&unit.show_some(verdict.measured))),
        escape(&bound(&verdict.slo)),
        slo_bar(verdict),
        escape(&margin(verdict)),
        format!("{samples}<span class=\"on-card\"> samples</span>"),
    ]
}
