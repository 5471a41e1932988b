//! Results as JUnit XML, which CI systems show.

use std::fmt::Write;

use crate::finding::FindingKind;
use crate::results::{Results, SloVerdict, VerdictKind};

/// The kinds of findings that are test cases of their own.
const KINDS: [FindingKind; 10] = [
    FindingKind::TruncatedSegment,
    FindingKind::WrongBytes,
    FindingKind::WrongQuality,
    FindingKind::StaleManifest,
    FindingKind::BadManifest,
    FindingKind::ErrorRate,
    FindingKind::LatencyShift,
    FindingKind::RefusedTarget,
    FindingKind::ChaosBroke,
    FindingKind::NodeHealth,
];

/// One suite: a case for each SLO, for each kind of finding, and for the verdict as a whole.
#[must_use]
pub fn junit(results: &Results) -> String {
    let suite = format!("mcsp-load {}", results.scenario.name);
    let mut cases: Vec<(String, &'static str, Option<String>)> = Vec::new();
    for verdict in &results.slo {
        cases.push((verdict.slo.name.clone(), "slo", failure_of(verdict)));
    }
    for record in &results.chaos {
        for verdict in &record.must_hold {
            let name = format!(
                "{} {}: {}",
                record.action.name(),
                record.target,
                verdict.slo.name
            );
            cases.push((name, "chaos", failure_of(verdict)));
        }
    }
    for kind in KINDS {
        let found = results
            .seen
            .findings
            .iter()
            .find(|(found, _)| *found == kind);
        let failure = found.map(|(_, of_kind)| {
            let listed = of_kind.objects.iter().take(10);
            let lines = listed.map(|(object, entry)| {
                format!("{object} ({} times): {}", entry.count, entry.detail)
            });
            format!(
                "{} findings\n{}",
                of_kind.count,
                lines.collect::<Vec<_>>().join("\n")
            )
        });
        cases.push((format!("no {kind}"), "findings", failure));
    }
    let is_pass = results.verdict.kind == VerdictKind::Pass;
    let failure = format!(
        "{}\n{}",
        results.verdict.kind.name(),
        results.verdict.reasons.join("\n")
    );
    cases.push((
        "verdict".to_owned(),
        "verdict",
        (!is_pass).then_some(failure),
    ));

    let failures = cases
        .iter()
        .filter(|(_, _, failure)| failure.is_some())
        .count();
    let took_s = results.took_us as f64 / 1e6;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"{0}\" tests=\"{1}\" failures=\"{failures}\" errors=\"0\" time=\"{took_s:.3}\">\n  <testsuite name=\"{0}\" \
         tests=\"{1}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{took_s:.3}\">",
        escape(&suite),
        cases.len()
    );
    for (name, group, failure) in cases {
        let head = format!(
            "    <testcase name=\"{}\" classname=\"{}.{group}\" time=\"0\"",
            escape(&name),
            escape(&suite)
        );
        let _ = match failure {
            None => writeln!(xml, "{head}/>"),
            Some(text) => {
                let message = text.lines().next().unwrap_or("");
                let (message, text) = (escape(message), escape(&text));
                writeln!(
                    xml,
                    "{head}>\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>"
                )
            }
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn failure_of(verdict: &SloVerdict) -> Option<String> {
    let measured = verdict
        .measured
        .map_or("nothing was measured".to_owned(), |value| {
            format!("measured {value:.4}")
        });
    (!verdict.met).then(|| {
        format!(
            "{measured} by {} samples; asked: {}",
            verdict.samples,
            verdict.slo.sentence()
        )
    })
}

/// What XML 1.0 allows as text and in attributes; other control characters become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\t' => escaped.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
