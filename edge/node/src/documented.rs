//! Checks of what the printed configuration says of each key, against what the code takes.

use std::ops::RangeInclusive;

use toml::{Table, Value};

use crate::config::{DEFAULT_TOML, NodeConfig};

/// A key as it is printed.
#[derive(Debug)]
struct Printed {
    /// Its tables, and itself.
    path: Vec<String>,
    /// Its value's text, as far as it is on the key's own line.
    value: String,
    /// What stands before it.
    comment: String,
}

impl Printed {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// What the comment says after `Default`, to the end of the sentence.
    fn default(&self) -> Option<&str> {
        let (_, said) = self.comment.split_once("Default ")?;
        let end = said.find(". ").unwrap_or(said.len());
        Some(said[..end].trim_end_matches('.'))
    }

    /// Both ends, where they are numbers.
    fn range(&self) -> Option<RangeInclusive<f64>> {
        let (_, said) = self.default()?.split_once("; ")?;
        let (low, high) = said.split_once(" to ")?;
        Some(low.parse().ok()?..=high.parse().ok()?)
    }
}

/// All keys in the order of printing. The text is our own, and keeps to a form.
fn printed() -> Vec<Printed> {
    let (mut table, mut comment, mut found) = (Vec::new(), String::new(), Vec::new());
    for line in DEFAULT_TOML.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment.push_str(said.trim_start());
            comment.push(' ');
        } else if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(['[', ']']);
            table = header.split('.').map(str::to_owned).collect();
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with(' '))
        {
            let mut path: Vec<String> = table.clone();
            path.push(key.to_owned());
            found.push(Printed {
                path,
                value: value.to_owned(),
                comment: std::mem::take(&mut comment).trim_end().to_owned(),
            });
        } else if line.is_empty() {
            comment.clear();
        }
    }
    found
}

/// What is wrong with the printed configuration if this key has another value: what each part says that is asked when a node
/// starts.
fn faults_with(key: &Printed, value: Value) -> Vec<String> {
    fn set(table: &mut Table, path: &[String], to: Value) {
        let (first, rest) = path.split_first().unwrap();
        if rest.is_empty() {
            table.insert(first.clone(), to);
            return;
        }
        match table.get_mut(first).unwrap() {
            Value::Table(inner) => set(inner, rest, to),
            Value::Array(entries) => set(entries[0].as_table_mut().unwrap(), rest, to),
            other => panic!("{first} = {other}"),
        }
    }
    let mut whole: Table = DEFAULT_TOML.parse().unwrap();
    set(&mut whole, &key.path, value);
    let config: NodeConfig = match whole.try_into() {
        Ok(config) => config,
        Err(error) => return vec![format!("{}: {error}", key.name())],
    };
    let text = |result: Result<(), &dyn ToString>| result.err().map(|error| error.to_string());
    macro_rules! said {
        ($($part:expr),* $(,)?) => {
            [$(text($part.validate().as_ref().map(|()| ()).map_err(|error| error as &dyn ToString))),*]
        };
    }
    let said = said![
        config,
        config.tls.as_ref().unwrap(),
        config.h1,
        config.cache,
        config.cache.disk.as_ref().unwrap(),
        config.fetch,
        config.prefetch,
        config.shield,
        config.proxy,
        config.route[0],
        config.limits,
        config.media_renewal,
        config.media_partner[0],
        config.token_keys,
        config.waf,
    ];
    said.into_iter().flatten().collect()
}

/// Tables of which no single key needs a word: what they hold is said before them, or by their names.
const SAID_BEFORE: [&str; 5] = [
    "identity",
    "tls.certificates",
    "waf.route",
    "waf.route.exclude",
    "waf.route.exclude.targets",
];

#[test]
fn of_each_key_it_is_said_what_it_is_without_it() {
    let (mut said, mut silent) = (0, Vec::new());
    for key in printed() {
        let table = key.path[..key.path.len() - 1].join(".");
        let is_before = SAID_BEFORE.contains(&table.as_str()) || table.starts_with("limits.rate.");
        if key.comment.contains("Required") || key.default().is_some() {
            said += 1;
        } else if !is_before {
            silent.push(key.name());
        }
    }
    assert!(
        silent.is_empty(),
        "neither Required nor Default: {silent:#?}"
    );
    assert!(said > 150, "{said}");
}

#[test]
fn each_printed_default_is_the_value_that_is_printed() {
    let mut compared = 0;
    for key in printed() {
        let Some(said) = key.default() else { continue };
        let value = said.split("; ").next().unwrap();
        let is_plain = value.parse::<f64>().is_ok()
            || matches!(value, "true" | "false")
            || value.starts_with('"');
        if is_plain && key.path != ["pop"] {
            assert_eq!(value, key.value, "{}", key.name());
            compared += 1;
        }
    }
    assert!(compared > 130, "{compared}");
}

/// Both ends of a range are taken, as far as it is this key that decides; what lies outside is refused by name.
#[test]
fn each_printed_range_is_the_one_that_is_kept_to() {
    let (mut ranges, mut wrong) = (0, Vec::new());
    for key in printed() {
        let Some(range) = key.range() else { continue };
        // Of a list, its length.
        let Ok(shown) = key.value.parse::<f64>() else {
            continue;
        };
        ranges += 1;
        let is_whole = !key.value.contains('.');
        let value = |number: f64| {
            if is_whole {
                Value::Integer(number as i64)
            } else {
                Value::Float(number)
            }
        };
        let (name, own) = (key.name(), key.path.last().unwrap());
        let (low, high) = (*range.start(), *range.end());
        assert!(range.contains(&shown), "{name} = {shown}");
        for end in [low, high] {
            let faults = faults_with(&key, value(end));
            if faults
                .iter()
                .any(|fault| fault.contains(&format!("{own} = ")))
            {
                wrong.push(format!("{name} = {end}: {faults:?}"));
            }
        }
        let step = if is_whole { 1.0 } else { 0.001 };
        for outside in [low - step, high + step] {
            let faults = faults_with(&key, value(outside));
            if !faults.iter().any(|fault| fault.contains(own.as_str())) {
                wrong.push(format!("{name} = {outside}: {faults:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(ranges > 110, "{ranges}");
}
