//! What is asked of the system, and what is done to it.

use super::Faults;
use crate::chaos::{Action, Node, Step};
use crate::scenario::Scenario;
use crate::slo::{Metric, Slo};

pub(super) fn check_slo(at: &str, slo: &Slo, faults: &mut Faults) {
    let metric = slo.metric.name();
    match slo.quantile {
        None if slo.metric.has_quantile() => {
            faults.add(
                format!("{at}.quantile"),
                "absent",
                format!("a quantile of {metric}, such as 0.99"),
            );
        }
        Some(quantile) if slo.metric.has_quantile() && quantile > 0.0 && quantile <= 1.0 => {}
        Some(quantile) if slo.metric.has_quantile() => {
            faults.add(format!("{at}.quantile"), quantile, "more than 0, at most 1");
        }
        Some(quantile) => faults.add(
            format!("{at}.quantile"),
            quantile,
            format!("none: {metric} is one number"),
        ),
        None => {}
    }
    if let Some(class) = &slo.class {
        let is_class = matches!(
            class.as_str(),
            "manifest" | "init" | "segment" | "upload" | "api"
        ) || class
            .strip_prefix("api:")
            .is_some_and(|call| (1..=32).contains(&call.len()));
        if !is_class {
            let expected = "manifest, init, segment, upload, api, or api: and a call's name";
            faults.add(format!("{at}.class"), format!("{class:?}"), expected);
        } else if !slo.metric.has_class() {
            faults.add(
                format!("{at}.class"),
                format!("{class:?}"),
                format!("none: {metric} is not of requests"),
            );
        }
    }
    if slo.phase.is_some() && slo.metric != Metric::LatencyMs {
        faults.add(
            format!("{at}.phase"),
            "given",
            "it only where metric = \"latency_ms\"",
        );
    }
    for (key, bound) in [("at_most", slo.at_most), ("at_least", slo.at_least)] {
        if let Some(bound) = bound {
            faults.real(format!("{at}.{key}"), bound, 0.0..=1e12);
        }
    }
    if slo.at_most.is_some() == slo.at_least.is_some() {
        faults.add(at, "both or neither of at_most and at_least", "one of them");
    }
}

pub(super) fn check_step(at: &str, step: &Step, scenario: &Scenario, faults: &mut Faults) {
    if step.at_s >= scenario.duration_s {
        faults.add(format!("{at}.at_s"), step.at_s, "less than duration_s");
    }
    faults.whole(format!("{at}.for_s"), step.for_s, 1..=86_400);
    faults.whole(format!("{at}.recovery_s"), step.recovery_s, 0..=86_400);
    for (index, name) in step.must_hold.iter().enumerate() {
        if !scenario.slo.iter().any(|slo| slo.name == *name) {
            faults.add(
                format!("{at}.must_hold[{index}]"),
                format!("{name:?}"),
                "the name of an [[slo]]",
            );
        }
    }
    let node = scenario.nodes.iter().find(|node| node.name == step.target);
    match node {
        None => faults.add(
            format!("{at}.target"),
            format!("{:?}", step.target),
            "the name of one of [[nodes]]",
        ),
        Some(node) => needs_of(at, step, node, faults),
    }
    let given = [
        ("delay_ms", step.delay_ms.is_some(), Action::Delay),
        ("jitter_ms", step.jitter_ms.is_some(), Action::Delay),
        ("loss_ratio", step.loss_ratio.is_some(), Action::Loss),
        ("kbit_s", step.kbit_s.is_some(), Action::Throttle),
        ("free_bytes", step.free_bytes.is_some(), Action::FillDisk),
        ("skew_s", step.skew_s.is_some(), Action::ClockSkew),
    ];
    for (key, is_given, action) in given {
        if is_given && step.action != action {
            faults.add(
                format!("{at}.{key}"),
                "given",
                format!("it only where action = {:?}", action.name()),
            );
        }
        let is_optional = matches!(key, "jitter_ms" | "free_bytes");
        if !is_given && step.action == action && !is_optional {
            faults.add(
                format!("{at}.{key}"),
                "absent",
                format!("it, since action = {:?}", action.name()),
            );
        }
    }
    for (key, value) in [("delay_ms", step.delay_ms), ("jitter_ms", step.jitter_ms)] {
        if let Some(value) = value {
            faults.whole(format!("{at}.{key}"), value, 0..=60_000);
        }
    }
    if let Some(ratio) = step.loss_ratio {
        faults.real(format!("{at}.loss_ratio"), ratio, 0.0..=1.0);
    }
    if let Some(kbit_s) = step.kbit_s {
        faults.whole(format!("{at}.kbit_s"), kbit_s, 1..=100_000_000);
    }
    if let Some(skew_s) = step.skew_s
        && skew_s.unsigned_abs() > 86_400
    {
        faults.add(format!("{at}.skew_s"), skew_s, "-86400 to 86400");
    }
}

/// What an action needs of its node.
fn needs_of(at: &str, step: &Step, node: &Node, faults: &mut Faults) {
    let name = step.action.name();
    let lacks = match step.action {
        Action::Stop | Action::Kill | Action::Freeze | Action::ClockSkew
            if node.pid_file.is_none() =>
        {
            "pid_file"
        }
        Action::FillDisk if node.disk.is_none() => "disk",
        action if action.is_network() && (node.proxy.is_none() || node.address.is_none()) => {
            "address and proxy"
        }
        _ => return,
    };
    faults.add(
        format!("{at}.target"),
        format!("{:?}", step.target),
        format!("a node with {lacks}, since action = {name:?}"),
    );
}
