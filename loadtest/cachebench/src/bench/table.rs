//! What a run tells a person, in eighty columns: each case with all who were measured in it, and the verdict on ours.

use super::load::Sample;
use super::samples::Samples;
use super::{Case, Contender, METRICS, figures_of, judge};
use crate::server::Kind;

/// The columns' heads, in the order of [`METRICS`].
const HEADS: [&str; 7] = [
    "CPU µs",
    "s/GB",
    "req/s",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "MiB",
];

/// Every case.
pub(super) fn table(samples: &Samples) -> String {
    let cases = samples.cases();
    let mut text = String::new();
    for (case, measured) in &cases {
        text.push_str(&of_case(case, measured));
        text.push('\n');
    }
    text
}

fn of_case(case: &Case, measured: &[(Contender, &[Sample])]) -> String {
    let mut text = format!("{}\n{:<16}", case.name(), "");
    for (head, width) in HEADS.iter().zip(WIDTHS) {
        text.push_str(&format!(" {head:>width$}"));
    }
    text.push('\n');
    for (contender, samples) in measured {
        text.push_str(&format!("{:<16}", short_name(*contender)));
        for ((_, figure), width) in figures_of(samples).into_iter().zip(WIDTHS) {
            let digits = match figure {
                figure if figure < 10.0 => 2,
                figure if figure < 100.0 => 1,
                _ => 0,
            };
            text.push_str(&format!(" {figure:>width$.digits$}"));
        }
        text.push('\n');
    }
    for (contender, verdict) in judge(case, measured) {
        text.push_str(&format!("  {}: {verdict}\n", short_name(contender)));
    }
    text
}

/// Of the columns; with the names 79 in all.
const WIDTHS: [usize; METRICS.len()] = [7, 6, 7, 8, 8, 9, 7];

fn short_name(contender: Contender) -> &'static str {
    match contender {
        Contender::Media => "ours, signed",
        Contender::Plain(Kind::Node) => "ours, plain",
        Contender::Plain(kind) => kind.name(),
    }
}
