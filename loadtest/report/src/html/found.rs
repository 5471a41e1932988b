//! What is wrong with what was served.

use super::Page;
use super::tag::{Column, cards, foreign, section as wrap};
use crate::number::{clock, times};
use crate::svg::escape;

/// Objects of one kind that are shown.
const OBJECTS_MAX: usize = 10;

pub(super) fn section(page: &Page<'_>) -> String {
    let findings = &page.results().seen.findings;
    let mut body = String::new();
    if findings.is_empty() {
        body.push_str(
            "<p>Nothing: no wrong or truncated bytes, no stale manifest, no wrong quality, no more errors and no slower answers than allowed.</p>\n",
        );
    }
    for (kind, of_kind) in findings.iter() {
        let mut objects: Vec<_> = of_kind.objects.iter().collect();
        objects.sort_by_key(|(_, entry)| (std::cmp::Reverse(entry.count), entry.first_us));
        let rows: Vec<Vec<String>> = objects
            .iter()
            .take(OBJECTS_MAX)
            .map(|(object, entry)| {
                let first = clock(entry.first_us as f64 / 1e6);
                let last = clock(entry.last_us as f64 / 1e6);
                let when = if first == last {
                    first
                } else {
                    format!("{first} to {last}")
                };
                vec![
                    foreign(object),
                    foreign(&entry.detail),
                    times(entry.count),
                    escape(&when),
                ]
            })
            .collect();
        let caption = format!("{}: {}", kind.title(), times(of_kind.count));
        let listed = rows.len();
        body.push_str(&cards(
            &caption,
            "what",
            &[
                ("Where", Column::Text),
                ("What exactly", Column::Text),
                ("How often", Column::Number),
                ("When", Column::Number),
            ],
            &rows,
        ));
        if objects.len() > listed {
            body.push_str("<p class=\"note\">More of them are in <code>results.json</code>.</p>\n");
        }
    }
    wrap("found", "What was found", &body)
}
