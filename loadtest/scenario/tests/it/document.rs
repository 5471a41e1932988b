//! The text: every key is documented, defaults and ranges are the code's, faults are found where they stand.

use std::collections::BTreeSet;

use mcsp_loadtest_scenario::{
    ANNOTATED_TOML, READY_MADE, Scenario, ScenarioError, Schedule, ready_made,
};

const LEAST: &str = "name = \"x\"\n[targets]\napi = \"http://127.0.0.1:1\"\n[[arrivals]]\nkind = \"constant\"\nrate_per_s = 1\n";

fn keys(prefix: &str, table: &toml::Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            // Its keys are hosts.
            toml::Value::Table(_) if name == "targets.resolve" => {}
            toml::Value::Table(table) => keys(&format!("{name}."), table, found),
            toml::Value::Array(entries) => {
                for table in entries.iter().filter_map(toml::Value::as_table) {
                    keys(&format!("{name}."), table, found);
                }
            }
            _ => {}
        }
        found.insert(name);
    }
}

fn faults(text: &str) -> String {
    Scenario::parse(text, "x.toml").unwrap_err().to_string()
}

#[test]
fn the_annotated_scenario_is_valid_and_has_every_key() {
    let scenario = Scenario::parse(ANNOTATED_TOML, "annotated.toml").unwrap();
    let (mut known, mut printed) = (BTreeSet::new(), BTreeSet::new());
    keys("", &toml::Table::try_from(&scenario).unwrap(), &mut known);
    keys("", &ANNOTATED_TOML.parse().unwrap(), &mut printed);
    // Optional keys are not written when they are absent, so the document may have more than one entry shows, and never fewer.
    assert_eq!(
        known.difference(&printed).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    for key in &printed {
        let last = key.rsplit('.').next().unwrap();
        let stands = ANNOTATED_TOML.contains(&format!("{last} = "))
            || ANNOTATED_TOML.contains(&format!("{last}]"));
        assert!(stands, "{key}");
    }
}

/// Of each `key = value` line, the comment above it.
fn comments() -> Vec<(String, String)> {
    let (mut found, mut comment, mut table) = (Vec::new(), String::new(), String::new());
    for line in ANNOTATED_TOML.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).to_owned();
            comment.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let dot = if table.is_empty() { "" } else { "." };
            found.push((format!("{table}{dot}{key}"), std::mem::take(&mut comment)));
        }
    }
    found
}

#[test]
fn every_key_says_its_default_or_that_it_is_required_once() {
    let mut seen = BTreeSet::new();
    for (key, comment) in comments() {
        if key.starts_with("targets.resolve.") {
            continue;
        }
        let is_said = comment.contains("Default") || comment.to_lowercase().contains("required");
        let is_new = seen.insert(key.clone());
        assert!(!is_new || is_said, "{key}: {comment:?}");
    }
}

/// Sets a key in the first entry that has it.
fn set(table: &mut toml::Table, path: &[&str], value: &toml::Value) -> bool {
    let [first, rest @ ..] = path else {
        return false;
    };
    if rest.is_empty() {
        return table
            .get_mut(*first)
            .map(|own| *own = value.clone())
            .is_some();
    }
    match table.get_mut(*first) {
        Some(toml::Value::Table(table)) => set(table, rest, value),
        Some(toml::Value::Array(entries)) => entries
            .iter_mut()
            .filter_map(toml::Value::as_table_mut)
            .any(|table| set(table, rest, value)),
        _ => false,
    }
}

#[test]
fn ranges_are_as_the_document_says() {
    let mut checked = 0;
    for (key, comment) in comments() {
        let Some(range) = comment
            .split("; ")
            .nth(1)
            .or(comment.split("Required; ").nth(1))
        else {
            continue;
        };
        // Of lists it says how many of what.
        if range.contains(" of 0 to ") {
            continue;
        }
        let words: Vec<&str> = range.split_whitespace().collect();
        let [low, "to", high, ..] = words.as_slice() else {
            continue;
        };
        let number = |word: &str| word.trim_end_matches(['.', ',']).parse::<f64>().ok();
        let (Some(low), Some(high)) = (number(low), number(high)) else {
            continue;
        };
        let path: Vec<&str> = key.split('.').collect();
        let is_real = ANNOTATED_TOML.parse::<toml::Table>().unwrap();
        let mut is_float = is_real.clone();
        assert!(set(&mut is_float, &path, &toml::Value::Float(low)), "{key}");
        let takes_floats = Scenario::parse(&is_float.to_string(), "x.toml")
            .err()
            .is_none_or(|error| !error.to_string().contains("invalid type"));
        let step = if takes_floats { 0.001 } else { 1.0 };
        for (value, is_in_range) in [
            (low, true),
            (high, true),
            (low - step, false),
            (high + high.max(1.0), false),
        ] {
            // TOML has no larger integer; and what another key bounds too is not asked for what that allows.
            let is_tied = comment.contains("and at ") && is_in_range;
            if value > 9e18 || is_tied {
                continue;
            }
            let mut changed = is_real.clone();
            let value = if takes_floats {
                toml::Value::Float(value)
            } else {
                toml::Value::Integer(value as i64)
            };
            set(&mut changed, &path, &value);
            let said = Scenario::parse(&changed.to_string(), "x.toml")
                .err()
                .map_or(String::new(), |error| error.to_string());
            let last = path.last().unwrap();
            let names_key = said.contains(&format!("{last} = {}:", shown(&value)))
                && (said.contains(&format!("{low} to ")) || said.contains(&format!(" to {high}")))
                || said.contains("invalid value")
                || said.contains("out of range");
            assert_eq!(
                names_key, !is_in_range,
                "{key} = {value}, {range:?}: {said:?}"
            );
        }
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

fn shown(value: &toml::Value) -> String {
    value
        .as_float()
        .map_or_else(|| value.to_string(), |float| float.to_string())
}

#[test]
fn defaults_are_as_the_document_says() {
    let least = toml::Table::try_from(Scenario::parse(LEAST, "x.toml").unwrap()).unwrap();
    let mut checked = 0;
    for (key, comment) in comments() {
        let mut value = Some(&toml::Value::Table(least.clone()));
        for part in key.split('.') {
            value = value.and_then(|value| value.get(part));
        }
        let Some(said) = comment.split("Default ").nth(1) else {
            continue;
        };
        let (Some(value), false) = (value, said.starts_with("none")) else {
            continue;
        };
        let said = said.split("; ").next().unwrap().trim_end_matches('.');
        let said: toml::Value = format!("x = {said}").parse::<toml::Table>().unwrap()["x"].clone();
        let is_same = match (value.as_float(), said.as_integer()) {
            (Some(float), Some(whole)) => float == whole as f64,
            _ => *value == said,
        };
        assert!(is_same, "{key}: {value}, {comment:?}");
        checked += 1;
    }
    assert!(checked > 45, "{checked}");
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    let text = LEAST.replace("kind", "colour = 1\nkind");
    let said = faults(&text);
    assert!(
        said.starts_with("x.toml:5:1: unknown field `colour`, expected one of `kind`"),
        "{said}"
    );
    let said = faults(&LEAST.replace("[targets]", "[targets]\n  hue = 2"));
    assert!(
        said.starts_with("x.toml:3:3: unknown field `hue`"),
        "{said}"
    );
}

#[test]
fn values_are_refused_where_they_stand_and_all_at_once() {
    let text = LEAST.replace("rate_per_s = 1", "rate_per_s = -1 # é")
        + "[player]\nbuffer_s = 10\ncmcd = true\nwatch_min_s = 0\n";
    let said = faults(&text);
    let expected = "x.toml:6:14: arrivals[0].rate_per_s = -1: expected 0 to 100000\n\
                    x.toml:6:14: arrivals[0].rate_per_s = -1: expected more than 0\n\
                    x.toml:10:15: player.watch_min_s = 0: expected 1 to 86400";
    assert_eq!(said, expected);
    let said = faults("name = \"x\"\nseed = [1\n");
    assert!(said.starts_with("x.toml:"), "{said}");
    let said = faults(&LEAST.replace("kind = \"constant\"", "kind = \"wavy\""));
    assert!(
        said.starts_with("x.toml:5:8: unknown variant `wavy`"),
        "{said}"
    );
}

#[test]
fn what_belongs_together_is_checked_together() {
    let with = |more: &str| format!("{LEAST}{more}");
    let rows = [
        (
            with("to_per_s = 3"),
            "arrivals[0].to_per_s = given: expected it only where kind is one of [ramp, spike]",
        ),
        (
            with("[player]\ncheck = \"origin\""),
            "targets.origin = absent",
        ),
        (with("[mix]\nplayers = 0"), "mix = all 0"),
        (
            with("[[slo]]\nname = \"a\"\nmetric = \"latency_ms\"\nat_most = 1"),
            "slo[0].quantile = absent",
        ),
        (
            with("[[slo]]\nname = \"a\"\nmetric = \"hit_ratio\"\nquantile = 0.5\nat_most = 1"),
            "expected none: hit_ratio is one number",
        ),
        (
            with("[[slo]]\nname = \"a\"\nmetric = \"hit_ratio\""),
            "expected one of them",
        ),
        (
            with("[[nodes]]\nname = \"f\"\n[[chaos]]\nat_s = 1\naction = \"kill\"\ntarget = \"e\""),
            "chaos[0].target = \"e\": expected the name of one",
        ),
        (
            with("[[nodes]]\nname = \"e\"\n[[chaos]]\nat_s = 1\naction = \"kill\"\ntarget = \"e\""),
            "a node with pid_file",
        ),
        (
            with("[[devices]]\nname = \"d\"\nbandwidth = { kbit_s = 9, file = \"x\" }"),
            "at most one of kbit_s, steps and file",
        ),
        (
            with("[[devices]]\nname = \"d\"\n[[devices]]\nname = \"d\""),
            "devices[1].name = \"d\": expected a name that no other has",
        ),
        (
            format!("warm_up_s = 60\n{LEAST}"),
            "expected warm_up_s and baseline_s to be shorter than duration_s",
        ),
        (
            LEAST.replace("http://", "ftp://"),
            "targets.api = \"ftp://127.0.0.1:1/\": expected an http",
        ),
        (
            LEAST.replace("http://", "http://me:secret@"),
            "expected an http or https URL without a user",
        ),
    ];
    for (text, expected) in rows {
        let said = faults(&text);
        assert!(said.contains(expected), "{said}\n{expected}");
    }
}

#[test]
fn faults_are_bounded() {
    let devices = "[[devices]]\nname = \"BAD\"\n".repeat(90);
    let error = Scenario::parse(&format!("{LEAST}{devices}"), "x.toml").unwrap_err();
    assert!(matches!(error, ScenarioError::Invalid { faults, .. } if faults.len() == 20));
    let huge = format!("{LEAST}# {}", "x".repeat(1 << 20));
    assert!(matches!(
        Scenario::parse(&huge, "x").unwrap_err(),
        ScenarioError::TooLarge { .. }
    ));
}

#[test]
fn ready_made_scenarios_are_valid_and_say_what_they_are_for() {
    assert_eq!(READY_MADE.len(), 7);
    for ready in READY_MADE {
        let scenario = ready_made(ready.name).unwrap().unwrap();
        assert_eq!(scenario.name, ready.name);
        assert!(scenario.purpose.len() > 30 && !scenario.slo.is_empty());
        assert_eq!(scenario.targets.allow_file, None);
        assert!(
            Schedule::whole(&scenario).users_expected() > 100.0,
            "{}",
            ready.name
        );
        let again = Scenario::parse(&scenario.to_toml().unwrap(), "again").unwrap();
        assert_eq!(again, scenario);
    }
    assert!(ready_made("no-such").is_none());
}
