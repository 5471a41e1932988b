//! A plan for a terminal.

use crate::arithmetic::Plan;

/// The narrowest terminal that is still a table, columns.
const COLUMNS_MIN: usize = 40;
const VALUE_COLUMNS: usize = 16;
const INDENT: usize = 6;

/// The plan as text: each result with its formula beneath, then the inputs and where they come from. No line is wider than
/// `columns` (at least 40), and none ends with blanks.
#[must_use]
pub fn table(plan: &Plan, columns: usize) -> String {
    let columns = columns.max(COLUMNS_MIN);
    let mut text = format!("Capacity, year {}\n", plan.year);
    let mut section = "";
    for line in &plan.lines {
        if line.section != section {
            section = line.section;
            text.push_str(&format!("\n{}\n", section.to_uppercase()));
        }
        row(&mut text, line.name, &line.unit.show(line.value), columns);
        wrapped(&mut text, "= ", &line.formula, columns);
    }
    text.push_str("\nINPUTS\n");
    for figure in &plan.inputs {
        row(
            &mut text,
            figure.name,
            &figure.unit.show(figure.value),
            columns,
        );
        wrapped(&mut text, "", &figure.source.to_string(), columns);
    }
    text
}

/// The name on the left, the value at the right end.
fn row(text: &mut String, name: &str, value: &str, columns: usize) {
    let room = columns.saturating_sub(3 + value.chars().count().max(VALUE_COLUMNS));
    let name: String = name.chars().take(room).collect();
    let blanks = columns.saturating_sub(2 + name.chars().count() + value.chars().count());
    text.push_str(&format!("  {name}{}{value}\n", " ".repeat(blanks)));
}

fn wrapped(text: &mut String, mark: &str, words: &str, columns: usize) {
    let room = columns - INDENT;
    let mut line = mark.to_owned();
    let end = |text: &mut String, line: &str| {
        text.push_str(&format!("{}{}\n", " ".repeat(INDENT), line.trim_end()));
    };
    for word in words.split(' ') {
        // A path may be longer than a line.
        let mut rest: Vec<char> = word.chars().collect();
        if line.chars().count() + rest.len() > room && !line.trim().is_empty() {
            end(text, &line);
            line.clear();
        }
        while rest.len() > room {
            let tail = rest.split_off(room);
            end(text, &rest.iter().collect::<String>());
            rest = tail;
        }
        line.extend(rest);
        line.push(' ');
    }
    end(text, &line);
}
