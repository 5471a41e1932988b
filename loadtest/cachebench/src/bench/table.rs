//! What a run tells a person, in eighty columns but for why somebody has no figures: each case with all who were tried in it,
//! and the verdict on ours.

use super::samples::{Measured, Samples};
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

fn of_case(case: &Case, measured: &Measured<'_>) -> String {
    let mut text = format!("{}\n{:<16}", case.name(), "");
    for (head, width) in HEADS.iter().zip(WIDTHS) {
        text.push_str(&format!(" {head:>width$}"));
    }
    text.push('\n');
    for (contender, tried) in measured {
        let failed = tried.failed();
        text.push_str(&format!("{:<16}", short_name(*contender)));
        if tried.samples.is_empty() {
            let failed = failed.unwrap_or_else(|| "no figures".to_owned());
            text.push_str(&format!(" {failed}\n"));
            continue;
        }
        for ((_, figure), width) in figures_of(&tried.samples).into_iter().zip(WIDTHS) {
            let digits = match figure {
                figure if figure < 10.0 => 2,
                figure if figure < 100.0 => 1,
                _ => 0,
            };
            text.push_str(&format!(" {figure:>width$.digits$}"));
        }
        text.push('\n');
        if let Some(failed) = failed {
            text.push_str(&format!("{:<16} {failed}\n", ""));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::tests::sample;
    use crate::bench::{Protocol, Tier};

    #[test]
    fn who_failed_is_told_with_why_and_is_no_peer_to_be_measured_by() {
        let case = Case {
            object_bytes: 2 << 20,
            protocol: Protocol::Tls,
            tier: Tier::Disk,
            connections: 1000,
        };
        let mut samples = Samples::default();
        samples.add(case, Contender::Media, Ok(sample(3.0)));
        samples.add(case, Contender::Plain(Kind::NginxTuned), Ok(sample(2.0)));
        for kind in [Kind::NginxTuned, Kind::Varnish, Kind::Varnish] {
            let failed = Err("h2load: not done in time".to_owned());
            samples.add(case, Contender::Plain(kind), failed);
        }
        let told = table(&samples);
        for line in [
            "Varnish          failed: h2load: not done in time",
            "                 failed in 1 of 2 passes: h2load: not done in time",
            "  ours, signed: CPU 1.50 of nginx tuned's: required met, goal missed",
        ] {
            assert!(told.lines().any(|of_table| of_table == line), "{told}");
        }
    }
}
