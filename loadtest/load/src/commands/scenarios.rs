//! `mcsp-load scenarios`.

use mcsp_loadtest_scenario::{ANNOTATED_TOML, READY_MADE, Scenario};

use crate::args::{ScenariosArgs, ScenariosWord};
use crate::error::LoadError;
use crate::{outcome, prepare};

/// Columns of names.
const NAME_COLUMNS: usize = 26;

/// Prints a list, one scenario, or the annotated one.
pub(crate) fn scenarios(args: &ScenariosArgs) -> Result<u8, LoadError> {
    match &args.word {
        None | Some(ScenariosWord::List) => list()?,
        Some(ScenariosWord::Show { name }) => print!("{}", prepare::ready(name)?),
        Some(ScenariosWord::Annotated) => print!("{ANNOTATED_TOML}"),
    }
    Ok(0)
}

fn list() -> Result<(), LoadError> {
    let room = outcome::columns().saturating_sub(NAME_COLUMNS).max(20);
    for ready in READY_MADE {
        let scenario = Scenario::parse(ready.toml, ready.name)?;
        let text = format!("{} ({} s)", scenario.purpose, scenario.duration_s);
        for (index, line) in wrap(&text, room).into_iter().enumerate() {
            let name = if index == 0 { ready.name } else { "" };
            println!("{name:<NAME_COLUMNS$}{line}");
        }
    }
    Ok(())
}

/// Lines of at most `room` characters, but for words that are longer.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
