//! What is to be thought of a run.

use std::ops::Range;

use mcsp_loadtest_scenario::{ByteCheck, Scenario};

use crate::checked::Against;
use crate::finding::FindingKind;
use crate::partial::Partial;
use crate::results::{ChaosRecord, SloVerdict, Verdict, VerdictKind, Workers};

/// How a run that was late by this much, or that missed users, is judged: a tool that cannot keep up measures itself, so it is no
/// pass; but wrong bytes are wrong however late they were asked for.
pub(crate) fn of(
    scenario: &Scenario,
    workers: &Workers,
    seen: &Partial,
    chaos: &[ChaosRecord],
    slo: &[SloVerdict],
) -> Verdict {
    let incomplete = incomplete(scenario, workers, seen, chaos);
    let overloaded = overloaded(scenario, seen);
    let (grave, other) = findings(scenario, seen);
    let unmet: Vec<String> = slo
        .iter()
        .filter(|verdict| !verdict.met)
        .map(unmet)
        .collect();
    let kind = if !grave.is_empty() {
        VerdictKind::Fail
    } else if !incomplete.is_empty() {
        VerdictKind::Incomplete
    } else if !overloaded.is_empty() {
        VerdictKind::ToolOverloaded
    } else if !other.is_empty() || !unmet.is_empty() {
        VerdictKind::Fail
    } else {
        VerdictKind::Pass
    };
    let mut reasons = [grave, incomplete, overloaded, unmet, other].concat();
    if reasons.is_empty() {
        let requests = seen.counts_of(None).requests;
        reasons.push(format!(
            "{} of {} SLOs met by {requests} requests and {} sessions; nothing was found",
            slo.len(),
            slo.len(),
            seen.sessions.sessions
        ));
    }
    Verdict { kind, reasons }
}

fn incomplete(
    scenario: &Scenario,
    workers: &Workers,
    seen: &Partial,
    chaos: &[ChaosRecord],
) -> Vec<String> {
    let mut reasons = Vec::new();
    if !workers.lost.is_empty() {
        reasons.push(format!(
            "{} of {} workers were lost: {}",
            workers.lost.len(),
            workers.expected,
            workers.lost.join("; ")
        ));
    }
    reasons.extend(
        workers
            .stopped_early
            .as_ref()
            .map(|why| format!("the run ended early: {why}")),
    );
    if scenario.player.check == ByteCheck::Origin {
        let (checked, unchecked) = (
            seen.checked.bytes(Against::Origin),
            seen.checked.bytes(Against::Agreement),
        );
        if unchecked > 0 {
            reasons.push(format!(
                "{unchecked} of {} bytes of segments could not be held against the origin's, which did not give them",
                checked + unchecked
            ));
        }
    }
    if seen.counts_of(None).requests == 0 {
        reasons.push("no request was made after the warm-up".to_owned());
    }
    for record in chaos {
        let why = record.error.as_ref();
        reasons.extend(why.map(|why| {
            format!(
                "{} of {} could not be done: {why}",
                record.action.name(),
                record.target
            )
        }));
    }
    reasons
}

fn overloaded(scenario: &Scenario, seen: &Partial) -> Vec<String> {
    let mut reasons = Vec::new();
    let bound_ms = scenario.tool.lag_p99_max_ms;
    if let Some(lag_us) = seen.lag.quantile_us(0.99)
        && lag_us > bound_ms * 1_000
    {
        reasons.push(format!(
            "the tool started users late, p99 {:.0} ms, at most {bound_ms} ms may be: use more workers",
            lag_us as f64 / 1e3
        ));
    }
    let missed: u64 = seen.timeline.iter().map(|(_, bucket)| bucket.missed).sum();
    if missed > 0 {
        reasons.push(format!(
            "{missed} users could not start, since a worker had tool.users_max already"
        ));
    }
    reasons
}

/// Findings that an overloaded tool cannot have made up, and the others.
fn findings(scenario: &Scenario, seen: &Partial) -> (Vec<String>, Vec<String>) {
    let chaos: Vec<Range<u64>> = scenario
        .chaos
        .iter()
        .map(mcsp_loadtest_scenario::Step::judged_us)
        .collect();
    let is_in_chaos = |at_us: u64| chaos.iter().any(|span| span.contains(&at_us));
    let (mut grave, mut other) = (Vec::new(), Vec::new());
    for (kind, of_kind) in seen.findings.iter() {
        let listed: u64 = of_kind.objects.values().map(|entry| entry.count).sum();
        let mut objects = of_kind.objects.values();
        // A killed node's answers break off: that is what the step does, and what must hold is said there.
        let is_expected = kind == FindingKind::TruncatedSegment
            && listed == of_kind.count
            && objects.all(|entry| is_in_chaos(entry.first_us) && is_in_chaos(entry.last_us));
        if is_expected {
            continue;
        }
        let first = of_kind
            .objects
            .iter()
            .min_by_key(|(_, entry)| entry.first_us);
        let example = first.map_or(String::new(), |(object, entry)| {
            format!(
                ": {object} at {:.0} s, {}",
                entry.first_us as f64 / 1e6,
                entry.detail
            )
        });
        let times = if of_kind.count > 1 {
            format!(" ({} times)", of_kind.count)
        } else {
            String::new()
        };
        let reason = format!("{}{times}{example}", kind.title());
        let is_measured = matches!(
            kind,
            FindingKind::ErrorRate
                | FindingKind::LatencyShift
                | FindingKind::ChaosBroke
                | FindingKind::NodeHealth
        );
        if is_measured { &mut other } else { &mut grave }.push(reason);
    }
    (grave, other)
}

fn unmet(verdict: &SloVerdict) -> String {
    let measured = verdict
        .measured
        .map_or("nothing to measure it by".to_owned(), |value| {
            format!("measured {value:.4}")
        });
    format!(
        "{} is not met: {measured}; asked: {}",
        verdict.slo.name,
        verdict.slo.sentence()
    )
}
