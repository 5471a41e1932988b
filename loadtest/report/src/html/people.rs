//! Who took part.

use super::Page;
use super::tag::{Column, foreign, section as wrap, table};
use crate::number::Unit;
use crate::svg::escape;

/// Devices and places that are listed.
const ROWS_MAX: usize = 50;

pub(super) fn section(page: &Page<'_>) -> String {
    let scenario = &page.results().scenario;
    let mix = &scenario.mix;
    let mut body = shares(
        "Users",
        &[
            ("players".to_owned(), mix.players, String::new()),
            ("creators".to_owned(), mix.creators, String::new()),
            ("API users".to_owned(), mix.api_users, String::new()),
        ],
        None,
    );
    let devices: Vec<_> = scenario
        .devices
        .iter()
        .map(|device| {
            let lines = if device.max_height == 0 {
                "any height".to_owned()
            } else {
                format!("{} lines", device.max_height)
            };
            (device.name.clone(), device.weight, lines)
        })
        .collect();
    body.push_str(&shares("Devices", &devices, Some("Screen")));
    let places: Vec<_> = scenario
        .geography
        .iter()
        .map(|place| {
            (
                place.name.clone(),
                place.weight,
                place.source_addresses.to_string(),
            )
        })
        .collect();
    body.push_str(&shares("Places", &places, Some("Addresses")));
    let body = format!(
        "<p class=\"note\">As the scenario asks; who each user is, is drawn from its seed, {}.</p>\n<div class=\"tables\">\n{body}</div>\n",
        scenario.seed
    );
    wrap("people", "Who took part", &body)
}

/// Nothing for none.
fn shares(caption: &str, of: &[(String, f64, String)], more: Option<&str>) -> String {
    let sum: f64 = of.iter().map(|(_, weight, _)| weight).sum();
    let rows: Vec<Vec<String>> = of
        .iter()
        .filter(|(_, weight, _)| *weight > 0.0)
        .take(ROWS_MAX)
        .map(|(name, weight, note)| {
            let mut row = vec![foreign(name), escape(&Unit::Ratio.show(weight / sum))];
            row.extend(more.map(|_| foreign(note)));
            row
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut heads = vec![(caption, Column::Text), ("Share", Column::Number)];
    heads.extend(more.map(|more| (more, Column::Text)));
    table(caption, &heads, &rows)
}
