//! The rules, a row each, every row with the section it stands in.

// Rows are tuples: a type of its own for each table would say less than the table.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod cache_control;
mod conditional;
mod dates;
mod encoding;
mod fields;
mod freshness;
mod fuzz;
mod lifetimes;
mod loops;
mod media;
mod messages;
mod ranges;
mod statuses;
mod storing;
mod targeted;
mod update;
mod vary;

use http::{HeaderMap, HeaderName, HeaderValue};

/// 2026-11-22 12:00:00 UTC.
const NOW_MS: i64 = 1_795_348_800_000;

/// A header from lines `Name: value`.
fn headers(lines: &[&str]) -> HeaderMap {
    lines
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (
                name,
                HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
            )
        })
        .fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
}

/// `Name: date`, so many seconds from [`NOW_MS`].
fn dated(name: &str, offset_s: i64) -> String {
    let date = mcsp_edge_policy::date::format_http_date(NOW_MS + offset_s * 1_000);
    format!("{name}: {}", std::str::from_utf8(&date).unwrap())
}
