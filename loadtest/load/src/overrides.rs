//! `--set KEY=VALUE`: a scenario's values changed from the command line.

use mcsp_loadtest_scenario::Scenario;
use toml::{Table, Value};

use crate::error::LoadError;

/// Tables and lists that a key leads through.
const DEPTH_MAX: usize = 16;

/// One step of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The scenario in `text` (that of `name`), with values changed.
///
/// # Errors
/// What is wrong with the text, with line and column; what is wrong with a change.
pub(crate) fn parse(text: &str, name: &str, changes: &[String]) -> Result<Scenario, LoadError> {
    // Faults of the text itself are told by its own lines. What only a change makes right is left to the changed one.
    let as_written = Scenario::parse(text, name);
    if changes.is_empty() {
        return Ok(as_written?);
    }
    let mut table: Table = match text.parse() {
        Ok(table) => table,
        Err(_) => return Ok(as_written?),
    };
    for change in changes {
        apply(&mut table, change)?;
    }
    let changed =
        toml::to_string(&table).map_err(|error| LoadError::Usage(format!("--set: {error}")))?;
    match Scenario::parse(&changed, &format!("{name} with --set")) {
        Ok(scenario) => Ok(scenario),
        // The lines of the changed text are nobody's: its faults are told without, unless the text had them before.
        Err(error) => {
            as_written?;
            Err(LoadError::Usage(format!(
                "--set {}: {}",
                changes.join(" --set "),
                without_lines(&error)
            )))
        }
    }
}

fn without_lines(error: &mcsp_loadtest_scenario::ScenarioError) -> String {
    match error {
        mcsp_loadtest_scenario::ScenarioError::Invalid { faults, .. } => {
            let told: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            told.join("; ")
        }
        other => other.to_string(),
    }
}

fn apply(table: &mut Table, change: &str) -> Result<(), LoadError> {
    let wrong = |why: &str| LoadError::Usage(format!("--set {change}: {why}"));
    let (key, text) = change
        .split_once('=')
        .ok_or_else(|| wrong("expected KEY=VALUE, such as duration_s=30"))?;
    let steps = steps(key).ok_or_else(|| {
        wrong("expected a key such as duration_s, player.abr or arrivals[0].rate_per_s")
    })?;
    let mut root = Value::Table(std::mem::take(table));
    let outcome = put(&mut root, &steps, value(text.trim()));
    if let Value::Table(changed) = root {
        *table = changed;
    }
    outcome.map_err(|why| wrong(&why))
}

/// `arrivals[0].rate_per_s`, step by step.
fn steps(key: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in key.trim().split('.') {
        let (name, mut indices) = part
            .split_once('[')
            .map_or((part, None), |(name, rest)| (name, Some(rest)));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Key(name.to_owned()));
        while let Some(rest) = indices {
            let (index, after) = rest.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            indices = match after {
                "" => None,
                after => Some(after.strip_prefix('[')?),
            };
        }
    }
    (steps.len() <= DEPTH_MAX).then_some(steps)
}

/// As TOML where it is a value of it, else as a string.
fn value(text: &str) -> Value {
    format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("v").filter(|_| table.is_empty()))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn put(at: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return Ok(());
    };
    match (step, at) {
        (Step::Key(key), Value::Table(table)) => {
            let inner = table
                .entry(key)
                .or_insert_with(|| Value::Table(Table::new()));
            put(inner, rest, value)
        }
        (Step::Index(index), Value::Array(list)) => {
            let length = list.len();
            let inner = list
                .get_mut(*index)
                .ok_or_else(|| format!("there is no [{index}], as there are {length}"))?;
            put(inner, rest, value)
        }
        (Step::Key(key), _) => Err(format!("there is no table for {key} to be in")),
        (Step::Index(index), _) => Err(format!("there is no list for [{index}] to be of")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"a\"\narrivals = [{ kind = \"constant\", rate_per_s = 1 }]\n[targets]\napi = \"http://127.0.0.1:1/\"\n";

    fn with(changes: &[&str]) -> Result<Scenario, LoadError> {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        parse(TEXT, "a.toml", &changes)
    }

    #[test]
    fn values_of_each_kind_are_put_where_they_belong() {
        let scenario = with(&[
            "duration_s=30",
            "arrivals[0].rate_per_s = 2.5",
            "player.abr=lowest",
            "content.ids=[\"x\", \"y\"]",
            "targets.api=http://127.0.0.1:2/",
        ])
        .expect("a scenario");
        assert_eq!(scenario.duration_s, 30);
        assert_eq!(scenario.arrivals.len(), 1);
        assert!(
            scenario
                .arrivals
                .first()
                .is_some_and(|one| one.rate_per_s == 2.5)
        );
        assert_eq!(scenario.player.abr, mcsp_loadtest_scenario::Abr::Lowest);
        assert_eq!(scenario.content.ids, ["x", "y"]);
        assert_eq!(scenario.targets.api.port(), Some(2));
    }

    #[test]
    fn what_cannot_be_put_is_said() {
        for (change, said) in [
            ("duration_s", "KEY=VALUE"),
            ("arrivals[7].rate_per_s=1", "there is no [7]"),
            ("duration_s=0", "duration_s = 0: expected 1 to 604800"),
            ("durations=1", "durations"),
            ("name.x=1", "no table"),
            ("[0]=1", "expected a key"),
        ] {
            let error = with(&[change]).expect_err(change).to_string();
            assert!(error.contains(said), "{change}: {error}");
        }
    }

    #[test]
    fn faults_of_the_file_keep_their_lines() {
        let text = format!("{TEXT}\n[player]\nabr = \"best\"\n");
        let error = parse(&text, "a.toml", &["duration_s=9".to_owned()]);
        let told = error.expect_err("a fault").to_string();
        assert!(told.contains("a.toml:7:"), "{told}");
    }
}
