//! What a run comes to, in sentences.

use mcsp_loadtest_measure::{FindingKind, Phase, Results, SloVerdict, VerdictKind};
use mcsp_loadtest_scenario::{Metric, Slo};

use crate::number::{NOTHING, Unit, digits, one_line, times};

/// The verdict in a word or two.
pub(crate) fn verdict_word(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Pass => "Pass",
        VerdictKind::Fail => "Fail",
        VerdictKind::ToolOverloaded => "Tool overloaded",
        VerdictKind::Incomplete => "Incomplete",
    }
}

/// What is to be thought of a run, in one sentence.
pub(crate) fn headline(results: &Results) -> String {
    let reason = || {
        let first = results.verdict.reasons.first();
        first.map_or(String::new(), |reason| one_line(reason))
    };
    match results.verdict.kind {
        VerdictKind::Pass => passed(results),
        VerdictKind::Fail => failed(results).unwrap_or_else(reason),
        VerdictKind::ToolOverloaded => {
            "The load test itself could not keep up: what it measured is its own time, not the system’s.".to_owned()
        }
        VerdictKind::Incomplete => format!("The run says nothing for certain: {}.", reason()),
    }
}

fn passed(results: &Results) -> String {
    let slos = match results.slo.len() {
        0 => "No SLO was asked for".to_owned(),
        1 => "The SLO is met".to_owned(),
        count => format!("All {count} SLOs are met"),
    };
    let held: usize = results
        .chaos
        .iter()
        .map(|record| record.must_hold.len())
        .sum();
    let held = if held > 0 {
        ", what had to hold during chaos did"
    } else {
        ""
    };
    format!("{slos}{held}, and nothing wrong was found.")
}

/// None: neither an SLO nor a finding says why.
fn failed(results: &Results) -> Option<String> {
    let mut parts = Vec::new();
    // What contradicts the content is graver than what is late, and is said first.
    let mut kinds: Vec<(FindingKind, u64)> = results
        .seen
        .findings
        .iter()
        .map(|(kind, of_kind)| (kind, of_kind.count))
        .filter(|(kind, _)| !repeats_an_slo(*kind))
        .collect();
    kinds.sort_by_key(|(kind, _)| *kind);
    let more = kinds.len().saturating_sub(3);
    for (kind, count) in kinds.iter().take(3) {
        parts.push(format!(
            "{} ({})",
            kind.title().to_lowercase(),
            times(*count)
        ));
    }
    if more > 0 {
        parts.push(format!("{more} more kinds of faults"));
    }
    let unmet: Vec<&SloVerdict> = results.slo.iter().filter(|verdict| !verdict.met).collect();
    match unmet.as_slice() {
        [] => {}
        [one] if parts.is_empty() => parts.push(unmet_sentence(one)),
        some => {
            let names: Vec<String> = some
                .iter()
                .take(3)
                .map(|one| one_line(&one.slo.name))
                .collect();
            let dots = if some.len() > 3 { ", …" } else { "" };
            let are = if some.len() == 1 { "is" } else { "are" };
            parts.push(format!(
                "{} of {} SLOs {are} not met ({}{dots})",
                some.len(),
                results.slo.len(),
                names.join(", ")
            ));
        }
    }
    if parts.is_empty() {
        // Only measured findings are left.
        let kinds = results.seen.findings.iter();
        parts = kinds
            .take(3)
            .map(|(kind, of_kind)| {
                format!("{} ({})", kind.title().to_lowercase(), times(of_kind.count))
            })
            .collect();
    }
    let joined = match parts.as_slice() {
        [] => return None,
        [one] => one.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    };
    Some(format!("{}.", capital(&joined)))
}

/// Findings that are made of the same numbers as SLOs.
fn repeats_an_slo(kind: FindingKind) -> bool {
    matches!(kind, FindingKind::LatencyShift | FindingKind::ErrorRate)
}

fn unmet_sentence(verdict: &SloVerdict) -> String {
    let what = measure_name(&verdict.slo);
    match verdict.measured {
        Some(value) => format!(
            "{what} was {}, and {} was asked for",
            Unit::of(verdict.slo.metric).show(value),
            bound(&verdict.slo)
        ),
        None => format!("nothing was measured for {what}"),
    }
}

/// The reasons of a verdict that neither the SLOs nor the findings say: why the run is no measurement.
pub(crate) fn other_reasons(results: &Results) -> Vec<String> {
    if results.verdict.kind == VerdictKind::Pass {
        return Vec::new();
    }
    let is_unmet = |reason: &str| {
        let mut unmet = results.slo.iter().filter(|verdict| !verdict.met);
        unmet.any(|verdict| reason.starts_with(&format!("{} is not met: ", verdict.slo.name)))
    };
    let is_found = |reason: &str| {
        let mut kinds = results.seen.findings.iter();
        kinds.any(|(kind, _)| reason.starts_with(kind.title()))
    };
    let reasons = results.verdict.reasons.iter();
    reasons
        .filter(|reason| !is_unmet(reason) && !is_found(reason))
        .map(|reason| one_line(reason))
        .collect()
}

/// What an SLO measures: `start-up time, p95`.
pub(crate) fn measure_name(slo: &Slo) -> String {
    let class = slo.class.as_deref().map(one_line);
    let of = |what: &str| {
        class
            .as_ref()
            .map_or(what.to_owned(), |class| format!("{what} of {class}"))
    };
    let mut name = match slo.metric {
        Metric::LatencyMs => {
            let phase = slo.phase.unwrap_or(Phase::LastByte);
            format!("{} {}", of("latency"), phase_words(phase))
        }
        Metric::StartupMs => "start-up time".to_owned(),
        Metric::RebufferRatio => "rebuffer ratio".to_owned(),
        Metric::ErrorRatio => of("errors"),
        Metric::SessionFailureRatio => "failed sessions".to_owned(),
        Metric::HitRatio => "hit ratio".to_owned(),
        Metric::BitrateKbitS => "mean bitrate".to_owned(),
        Metric::RequestsPerS => of("throughput"),
        Metric::SwitchesPerMin => "quality switches".to_owned(),
        Metric::Findings => "faults found".to_owned(),
    };
    if let Some(quantile) = slo.quantile {
        name.push_str(&format!(", p{}", digits_of_quantile(quantile)));
    }
    name
}

/// The end of a span that began when a request was meant to start.
pub(crate) fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Wait => "until it was sent",
        Phase::Connect => "of connecting",
        Phase::Tls => "of the TLS handshake",
        Phase::FirstByte => "to the first byte",
        Phase::LastByte => "to the last byte",
    }
}

/// `99.9` of 0.999.
pub(crate) fn digits_of_quantile(quantile: f64) -> String {
    let percent = (quantile * 1e8).round() / 1e6;
    if percent.is_finite() {
        format!("{percent}")
    } else {
        NOTHING.to_owned()
    }
}

/// `at most 2 s`.
pub(crate) fn bound(slo: &Slo) -> String {
    let unit = Unit::of(slo.metric);
    let most = slo
        .at_most
        .map(|bound| format!("at most {}", unit.show(bound)));
    let least = slo
        .at_least
        .map(|bound| format!("at least {}", unit.show(bound)));
    let bounds: Vec<String> = [most, least].into_iter().flatten().collect();
    bounds.join(", ")
}

/// By how much an SLO is met or missed: `37 % to spare`, `2.1 × the bound`.
pub(crate) fn margin(verdict: &SloVerdict) -> String {
    let Some(measured) = verdict.measured.filter(|value| value.is_finite()) else {
        return "not measured".to_owned();
    };
    let unit = Unit::of(verdict.slo.metric);
    let (bound, is_most) = match (verdict.slo.at_most, verdict.slo.at_least) {
        (Some(bound), _) => (bound, true),
        (None, Some(bound)) => (bound, false),
        (None, None) => return String::new(),
    };
    let difference = measured - bound;
    if verdict.met {
        return if difference == 0.0 {
            "just met".to_owned()
        } else if bound > 0.0 && is_most {
            format!(
                "{}\u{a0}% to spare",
                digits((-difference / bound * 100.0).round())
            )
        } else {
            format!("{} to spare", apart(unit, difference))
        };
    }
    let side = if is_most { "too much" } else { "too little" };
    if is_most && bound > 0.0 && measured >= 2.0 * bound {
        format!("{} times the bound", digits(measured / bound))
    } else {
        format!("{} {side}", apart(unit, difference))
    }
}

/// How far two values are from each other; of shares, in percentage points, which a percentage of them would be taken for.
fn apart(unit: Unit, difference: f64) -> String {
    let difference = difference.abs();
    if unit == Unit::Ratio {
        format!("{}\u{a0}points", digits(difference * 100.0))
    } else {
        unit.show(difference)
    }
}

pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().collect::<String>() + chars.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        metric: Metric,
        at_most: Option<f64>,
        at_least: Option<f64>,
        measured: Option<f64>,
    ) -> SloVerdict {
        let slo = Slo {
            name: "x".to_owned(),
            metric,
            class: None,
            phase: None,
            quantile: metric.has_quantile().then_some(0.999),
            at_most,
            at_least,
        };
        let met = measured.is_some_and(|value| slo.is_met_by(value));
        SloVerdict {
            slo,
            measured,
            samples: 1,
            met,
        }
    }

    #[test]
    fn margins_are_said_in_the_units_that_people_compare_in() {
        for (verdict, said) in [
            (
                verdict(Metric::StartupMs, Some(2_000.0), None, Some(1_200.0)),
                "40\u{a0}% to spare",
            ),
            (
                verdict(Metric::StartupMs, Some(2_000.0), None, Some(2_000.0)),
                "just met",
            ),
            (
                verdict(Metric::StartupMs, Some(2_000.0), None, Some(2_300.0)),
                "300\u{a0}ms too much",
            ),
            (
                verdict(Metric::StartupMs, Some(2_000.0), None, Some(9_000.0)),
                "4.5 times the bound",
            ),
            (
                verdict(Metric::HitRatio, None, Some(0.9), Some(0.95)),
                "5\u{a0}points to spare",
            ),
            (
                verdict(Metric::HitRatio, None, Some(0.9), Some(0.5)),
                "40\u{a0}points too little",
            ),
            (
                verdict(Metric::Findings, Some(0.0), None, Some(3.0)),
                "3 too much",
            ),
            (
                verdict(Metric::Findings, Some(0.0), None, None),
                "not measured",
            ),
        ] {
            assert_eq!(margin(&verdict), said);
        }
        assert_eq!(
            measure_name(&verdict(Metric::LatencyMs, Some(1.0), None, None).slo),
            "latency to the last byte, p99.9"
        );
    }
}
