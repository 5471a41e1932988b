//! Ranges of a scenario's values. The annotated document says the same, and a test holds both together.

mod arrivals;
mod asked;
mod users;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use url::Url;

use crate::scenario::Scenario;
use crate::settings::ByteCheck;

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
        arrivals::check_arrival(
            &format!("arrivals[{index}]"),
            arrival,
            scenario.duration_s,
            &mut faults,
        );
    }
    users::people(scenario, &mut faults);
    users::behaviour(scenario, &mut faults);
    faults.count("slo", scenario.slo.len(), 0..=100);
    faults.distinct("slo", scenario.slo.iter().map(|slo| slo.name.as_str()));
    for (index, slo) in scenario.slo.iter().enumerate() {
        asked::check_slo(&format!("slo[{index}]"), slo, &mut faults);
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
        asked::check_step(&format!("chaos[{index}]"), step, scenario, &mut faults);
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
