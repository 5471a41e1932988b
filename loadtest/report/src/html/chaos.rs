//! What was done to the nodes, and whether what had to hold did.

use super::Page;
use super::slo::slo_table;
use super::tag::{foreign, section as wrap};
use crate::number::{clock, span};
use crate::svg::escape;

pub(super) fn section(page: &Page<'_>) -> String {
    let records = &page.results().chaos;
    if records.is_empty() {
        return String::new();
    }
    let mut body = String::from(
        "<p class=\"note\">Their numbers stand above the graphs.</p>\n<ol class=\"steps\">\n",
    );
    for record in records {
        let lasted_us = record.until_us.saturating_sub(record.from_us);
        body.push_str(&format!(
            "<li><h3>{} {}</h3><p>from {} for {}</p>\n",
            escape(record.action.name()),
            foreign(&record.target),
            clock(record.from_us as f64 / 1e6),
            escape(&span(lasted_us as f64 / 1e6))
        ));
        if let Some(error) = &record.error {
            body.push_str(&format!(
                "<p class=\"error\">It could not be done: {}</p>\n",
                foreign(error)
            ));
        }
        if record.must_hold.is_empty() {
            body.push_str("<p class=\"note\">Nothing had to hold.</p>\n");
        } else {
            let caption = format!(
                "What had to hold during {} of {}",
                record.action.name(),
                record.target
            );
            body.push_str(&slo_table(&caption, record.must_hold.iter()));
        }
        body.push_str("</li>\n");
    }
    body.push_str("</ol>\n");
    wrap("chaos", "Chaos steps", &body)
}
