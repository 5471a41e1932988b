//! Ranges of a scenario's values. The annotated document says the same, and a test holds both together.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use url::Url;

use crate::arrivals::{Arrival, ArrivalKind, Spacing};
use crate::chaos::{Action, Node, Step};
use crate::scenario::Scenario;
use crate::settings::ByteCheck;
use crate::slo::{Metric, Slo};

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) key: String,
    value: String,
    expected: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} = {}: expected {}",
            self.key, self.value, self.expected
        )
    }
}

#[derive(Debug, Default)]
struct Faults(Vec<Wrong>);

impl Faults {
    fn add(
        &mut self,
        key: impl Into<String>,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) {
        self.0.push(Wrong {
            key: key.into(),
            value: value.to_string(),
            expected: expected.into(),
        });
    }

    fn whole(&mut self, key: impl Into<String>, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            self.add(key, value, format!("{} to {}", range.start(), range.end()));
        }
    }

    fn real(&mut self, key: impl Into<String>, value: f64, range: RangeInclusive<f64>) {
        if !range.contains(&value) {
            self.add(key, value, format!("{} to {}", range.start(), range.end()));
        }
    }

    fn name(&mut self, key: impl Into<String>, name: &str) {
        let is_of_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_of_name) {
            self.add(
                key,
                format!("{name:?}"),
                "1 to 64 characters of a-z, 0-9 and -",
            );
        }
    }

    fn count(&mut self, key: &str, count: usize, range: RangeInclusive<usize>) {
        if !range.contains(&count) {
            self.add(
                key,
                format!("{count} entries"),
                format!("{} to {} entries", range.start(), range.end()),
            );
        }
    }

    fn url(&mut self, key: impl Into<String>, url: &Url) {
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_http
            || !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
        {
            self.add(
                key,
                format!("\"{url}\""),
                "an http or https URL without a user or a query",
            );
        }
    }

    fn weights(&mut self, table: &str, weights: &[(&str, f64)]) {
        for (key, weight) in weights {
            self.real(format!("{table}.{key}"), *weight, 0.0..=1e6);
        }
        if weights.iter().all(|(_, weight)| *weight <= 0.0) {
            self.add(table, "all 0", "a weight above 0");
        }
    }

    /// Each name once.
    fn distinct<'a>(&mut self, list: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (index, name) in names.enumerate() {
            self.name(format!("{list}[{index}].name"), name);
            if !seen.insert(name) {
                self.add(
                    format!("{list}[{index}].name"),
                    format!("{name:?}"),
                    "a name that no other has",
                );
            }
        }
    }
}

/// All that is wrong.
pub(crate) fn faults(scenario: &Scenario) -> Vec<Wrong> {
    let mut faults = Faults::default();
    whole_run(scenario, &mut faults);
    faults.count("arrivals", scenario.arrivals.len(), 1..=32);
    for (index, arrival) in scenario.arrivals.iter().enumerate() {
        check_arrival(
            &format!("arrivals[{index}]"),
            arrival,
            scenario.duration_s,
            &mut faults,
        );
    }
    people(scenario, &mut faults);
    behaviour(scenario, &mut faults);
    faults.count("slo", scenario.slo.len(), 0..=100);
    faults.distinct("slo", scenario.slo.iter().map(|slo| slo.name.as_str()));
    for (index, slo) in scenario.slo.iter().enumerate() {
        check_slo(&format!("slo[{index}]"), slo, &mut faults);
    }
    faults.count("nodes", scenario.nodes.len(), 0..=100);
    faults.distinct(
        "nodes",
        scenario.nodes.iter().map(|node| node.name.as_str()),
    );
    for (index, node) in scenario.nodes.iter().enumerate() {
        if let Some(url) = &node.metrics_url {
            faults.url(format!("nodes[{index}].metrics_url"), url);
        }
    }
    faults.count("chaos", scenario.chaos.len(), 0..=100);
    for (index, step) in scenario.chaos.iter().enumerate() {
        check_step(&format!("chaos[{index}]"), step, scenario, &mut faults);
    }
    faults.0
}

fn whole_run(scenario: &Scenario, faults: &mut Faults) {
    faults.name("name", &scenario.name);
    if scenario.purpose.len() > 1_000 {
        faults.add(
            "purpose",
            format!("{} bytes", scenario.purpose.len()),
            "at most 1000 bytes",
        );
    }
    // TOML's integers are signed.
    faults.whole("seed", scenario.seed, 0..=i64::MAX as u64);
    faults.whole("duration_s", scenario.duration_s, 1..=604_800);
    faults.whole("warm_up_s", scenario.warm_up_s, 0..=86_400);
    faults.whole("baseline_s", scenario.baseline_s, 0..=86_400);
    if scenario.warm_up_s.saturating_add(scenario.baseline_s) >= scenario.duration_s.max(1) {
        let key = if scenario.baseline_s > 0 {
            "baseline_s"
        } else {
            "warm_up_s"
        };
        let sum = scenario.warm_up_s.saturating_add(scenario.baseline_s);
        faults.add(
            key,
            sum,
            "warm_up_s and baseline_s to be shorter than duration_s",
        );
    }
    faults.url("targets.api", &scenario.targets.api);
    if let Some(origin) = &scenario.targets.origin {
        faults.url("targets.origin", origin);
    }
    if scenario.targets.resolve.len() > 1_000 {
        faults.add(
            "targets.resolve",
            scenario.targets.resolve.len(),
            "at most 1000 entries",
        );
    }
    for name in scenario.targets.resolve.keys() {
        let port = name.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            faults.add(
                "targets.resolve",
                format!("{name:?}"),
                "keys such as \"edge.example.com:443\"",
            );
        }
    }
    if scenario.player.check == ByteCheck::Origin && scenario.targets.origin.is_none() {
        faults.add(
            "targets.origin",
            "absent",
            "a URL, since player.check = \"origin\"",
        );
    }
    faults.whole(
        "accounts.count",
        scenario.accounts.count.into(),
        1..=1_000_000,
    );
    let email = &scenario.accounts.email;
    if !email.contains("{n}") || !email.contains('@') || email.len() > 200 {
        faults.add(
            "accounts.email",
            format!("{email:?}"),
            "an address of at most 200 bytes with {n} in it",
        );
    }
    if !(1..=256).contains(&scenario.accounts.password.len()) {
        faults.add("accounts.password", "(not shown)", "1 to 256 bytes");
    }
}

fn check_arrival(at: &str, arrival: &Arrival, duration_s: u64, faults: &mut Faults) {
    faults.real(
        format!("{at}.rate_per_s"),
        arrival.rate_per_s,
        0.0..=100_000.0,
    );
    if arrival.from_s >= duration_s {
        faults.add(
            format!("{at}.from_s"),
            arrival.from_s,
            "less than duration_s",
        );
    }
    if let Some(for_s) = arrival.for_s {
        faults.whole(format!("{at}.for_s"), for_s, 1..=604_800);
    }
    if let Some(to) = arrival.to_per_s {
        faults.real(format!("{at}.to_per_s"), to, 0.0..=100_000.0);
    }
    for (key, value) in [
        ("after_s", arrival.after_s),
        ("rise_s", arrival.rise_s),
        ("hold_s", arrival.hold_s),
        ("fall_s", arrival.fall_s),
    ] {
        if let Some(value) = value {
            faults.whole(format!("{at}.{key}"), value, 0..=604_800);
        }
    }
    if let Some(curve) = &arrival.curve {
        let is_curve = (2..=1_440).contains(&curve.len())
            && curve.iter().all(|share| (0.0..=100.0).contains(share));
        if !is_curve {
            faults.add(
                format!("{at}.curve"),
                format!("{} shares", curve.len()),
                "2 to 1440 shares of 0 to 100",
            );
        }
    }
    if let Some(day_s) = arrival.day_s {
        faults.whole(format!("{at}.day_s"), day_s, 60..=604_800);
    }
    if let Some(hour) = arrival.start_hour {
        faults.real(format!("{at}.start_hour"), hour, 0.0..=24.0);
    }
    kind_of_arrival(at, arrival, faults);
}

/// Keys belong to kinds.
fn kind_of_arrival(at: &str, arrival: &Arrival, faults: &mut Faults) {
    use ArrivalKind::{Constant, Daily, Poisson, Ramp, Spike};
    let keys: [(&str, bool, &[ArrivalKind]); 8] = [
        ("to_per_s", arrival.to_per_s.is_some(), &[Ramp, Spike]),
        ("after_s", arrival.after_s.is_some(), &[Spike]),
        ("rise_s", arrival.rise_s.is_some(), &[Spike]),
        ("hold_s", arrival.hold_s.is_some(), &[Spike]),
        ("fall_s", arrival.fall_s.is_some(), &[Spike]),
        ("curve", arrival.curve.is_some(), &[Daily]),
        ("day_s", arrival.day_s.is_some(), &[Daily]),
        ("start_hour", arrival.start_hour.is_some(), &[Daily]),
    ];
    for (key, is_given, kinds) in keys {
        if is_given && !kinds.contains(&arrival.kind) {
            faults.add(
                format!("{at}.{key}"),
                "given",
                format!("it only where kind is one of {kinds:?}").to_lowercase(),
            );
        }
    }
    if matches!(arrival.kind, Ramp | Spike) && arrival.to_per_s.is_none() {
        faults.add(
            format!("{at}.to_per_s"),
            "absent",
            "the ramp's end, or the spike's top",
        );
    }
    if arrival.kind == Spike
        && arrival
            .rise_s
            .or(arrival.hold_s)
            .or(arrival.fall_s)
            .unwrap_or(0)
            == 0
    {
        faults.add(
            format!("{at}.hold_s"),
            "absent",
            "rise_s, hold_s or fall_s above 0",
        );
    }
    if matches!(arrival.kind, Constant | Poisson) && arrival.rate_per_s <= 0.0 {
        faults.add(
            format!("{at}.rate_per_s"),
            arrival.rate_per_s,
            "more than 0",
        );
    }
    // `spacing` says nothing that `kind = "poisson"` does not say.
    debug_assert!(
        arrival.kind != Poisson || arrival.spacing == Spacing::Even || arrival.is_random()
    );
}

fn people(scenario: &Scenario, faults: &mut Faults) {
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
            faults.add(format!("{at}.bandwidth{dot}{key}"), "as given", expected);
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

fn behaviour(scenario: &Scenario, faults: &mut Faults) {
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

fn check_slo(at: &str, slo: &Slo, faults: &mut Faults) {
    let metric = slo.metric.name();
    match slo.quantile {
        None if slo.metric.has_quantile() => {
            faults.add(
                format!("{at}.quantile"),
                "absent",
                format!("a quantile of {metric}, such as 0.99"),
            );
        }
        Some(quantile) if slo.metric.has_quantile() => {
            if !(quantile > 0.0 && quantile <= 1.0) {
                faults.add(format!("{at}.quantile"), quantile, "more than 0, at most 1");
            }
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

fn check_step(at: &str, step: &Step, scenario: &Scenario, faults: &mut Faults) {
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
        Action::Stop | Action::Kill | Action::Freeze if node.pid_file.is_none() => "pid_file",
        Action::FillDisk if node.disk.is_none() => "disk",
        Action::ClockSkew if node.start.is_empty() => "start",
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
