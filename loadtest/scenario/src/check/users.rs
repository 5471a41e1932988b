//! Who users are, and how they behave.

use super::Faults;
use crate::scenario::Scenario;
use crate::trace::Trace;

pub(super) fn people(scenario: &Scenario, faults: &mut Faults) {
    let mix = &scenario.mix;
    let weights = [
        ("players", mix.players),
        ("creators", mix.creators),
        ("api_users", mix.api_users),
    ];
    faults.weights("mix", &weights);
    let content = &scenario.content;
    if content.ids.len() > 1_000_000 || content.ids.iter().any(|id| !(1..=128).contains(&id.len()))
    {
        faults.add(
            "content.ids",
            format!("{} ids", content.ids.len()),
            "at most 1000000 of 1 to 128 bytes",
        );
    }
    faults.real("content.zipf_s", content.zipf_s, 0.0..=5.0);
    if let Some(viral) = &content.viral {
        faults.real("content.viral.share", viral.share, 0.0..=1.0);
        faults.whole("content.viral.item", viral.item as u64, 0..=999_999);
        faults.whole("content.viral.from_s", viral.from_s, 0..=604_800);
        if let Some(for_s) = viral.for_s {
            faults.whole("content.viral.for_s", for_s, 1..=604_800);
        }
    }
    faults.count("devices", scenario.devices.len(), 0..=100);
    faults.distinct(
        "devices",
        scenario.devices.iter().map(|device| device.name.as_str()),
    );
    for (index, device) in scenario.devices.iter().enumerate() {
        let at = format!("devices[{index}]");
        faults.real(format!("{at}.weight"), device.weight, 0.0..=1e6);
        faults.whole(
            format!("{at}.max_height"),
            device.max_height.into(),
            0..=8_640,
        );
        if let Some((key, expected)) = device.bandwidth.fault() {
            let dot = if key.is_empty() { "" } else { "." };
            faults.add(
                format!("{at}.bandwidth{dot}{key}"),
                given_in(&device.bandwidth, key),
                expected,
            );
        }
    }
    faults.count("geography", scenario.geography.len(), 0..=1_000);
    faults.distinct(
        "geography",
        scenario.geography.iter().map(|place| place.name.as_str()),
    );
    for (index, place) in scenario.geography.iter().enumerate() {
        faults.real(
            format!("geography[{index}].weight"),
            place.weight,
            0.0..=1e6,
        );
        if let Some(api) = &place.api {
            faults.url(format!("geography[{index}].api"), api);
        }
    }
    for (list, total, count) in [
        (
            "devices",
            scenario
                .devices
                .iter()
                .map(|device| device.weight)
                .sum::<f64>(),
            scenario.devices.len(),
        ),
        (
            "geography",
            scenario
                .geography
                .iter()
                .map(|place| place.weight)
                .sum::<f64>(),
            scenario.geography.len(),
        ),
    ] {
        if count > 0 && total <= 0.0 {
            faults.add(list, "weights of 0", "a weight above 0");
        }
    }
}

pub(super) fn behaviour(scenario: &Scenario, faults: &mut Faults) {
    let player = &scenario.player;
    faults.real("player.buffer_s", player.buffer_s, 0.5..=600.0);
    faults.real("player.start_buffer_s", player.start_buffer_s, 0.0..=60.0);
    if player.start_buffer_s > player.buffer_s {
        faults.add(
            "player.start_buffer_s",
            player.start_buffer_s,
            "at most buffer_s",
        );
    }
    faults.real(
        "player.throughput_share",
        player.throughput_share,
        0.1..=1.0,
    );
    faults.real("player.seek_share", player.seek_share, 0.0..=1.0);
    faults.real(
        "creator.break_share",
        scenario.creator.break_share,
        0.0..=1.0,
    );
    faults.real(
        "findings.error_ratio_max",
        scenario.findings.error_ratio_max,
        0.0..=1.0,
    );
    let creator = &scenario.creator;
    let api_user = &scenario.api_user;
    let tool = &scenario.tool;
    let findings = &scenario.findings;
    for (key, value, range) in [
        ("player.watch_min_s", player.watch_min_s, 1..=86_400),
        (
            "player.watch_max_s",
            player.watch_max_s,
            player.watch_min_s.min(86_400)..=86_400,
        ),
        ("player.retries_max", player.retries_max.into(), 0..=20),
        ("player.retry_base_ms", player.retry_base_ms, 1..=60_000),
        (
            "player.retry_max_ms",
            player.retry_max_ms,
            player.retry_base_ms.min(120_000)..=120_000,
        ),
        ("player.redirects_max", player.redirects_max.into(), 0..=20),
        (
            "creator.upload_min_bytes",
            creator.upload_min_bytes,
            1..=107_374_182_400,
        ),
        (
            "creator.upload_max_bytes",
            creator.upload_max_bytes,
            creator.upload_min_bytes.min(107_374_182_400)..=107_374_182_400,
        ),
        (
            "creator.parallel_parts",
            creator.parallel_parts.into(),
            1..=16,
        ),
        ("creator.break_ms", creator.break_ms, 0..=600_000),
        ("api_user.calls", api_user.calls.into(), 1..=100_000),
        ("api_user.think_min_ms", api_user.think_min_ms, 0..=600_000),
        (
            "api_user.think_max_ms",
            api_user.think_max_ms,
            api_user.think_min_ms.min(600_000)..=600_000,
        ),
        (
            "findings.latency_shift_ms",
            findings.latency_shift_ms,
            1..=60_000,
        ),
        (
            "findings.requests_min",
            findings.requests_min,
            1..=1_000_000,
        ),
        ("tool.users_max", tool.users_max.into(), 1..=1_000_000),
        ("tool.lag_p99_max_ms", tool.lag_p99_max_ms, 1..=10_000),
        (
            "tool.connect_timeout_ms",
            tool.connect_timeout_ms,
            10..=120_000,
        ),
        ("tool.read_timeout_ms", tool.read_timeout_ms, 10..=600_000),
        ("tool.drain_ms", tool.drain_ms, 0..=600_000),
    ] {
        faults.whole(key, value, range);
    }
    let actions = &api_user.actions;
    let weights = [
        ("sign_in", actions.sign_in),
        ("refresh", actions.refresh),
        ("me", actions.me),
        ("browse", actions.browse),
        ("play", actions.play),
    ];
    faults.weights("api_user.actions", &weights);
}

/// The value of a trace's key, for people.
fn given_in(trace: &Trace, key: &str) -> String {
    match (key, trace.kbit_s, trace.period_s, &trace.steps) {
        ("kbit_s", Some(kbit_s), _, _) => kbit_s.to_string(),
        ("period_s", _, Some(period_s), _) => period_s.to_string(),
        ("steps", _, _, Some(steps)) => format!("{} steps", steps.len()),
        _ => "several".to_owned(),
    }
}
