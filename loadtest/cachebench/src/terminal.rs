//! Lines for a terminal of eighty columns.

use std::collections::BTreeMap;

use mcsp_loadtest_cachebench::suite::Verdict;

/// Columns of a terminal that nobody has widened.
const COLUMNS: usize = 80;

/// Breaks a text into lines of at most eighty columns: the first after `start`, the others as far in. None of no text; a
/// longer word has a line of its own, and a space that does not break holds two together.
fn lines(start: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(start.chars().count());
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_ascii_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::take(&mut line));
        }
        if line.is_empty() {
            line.push_str(if lines.is_empty() { start } else { &indent });
        } else {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Prints a text within eighty columns, after `start`.
pub(crate) fn told(start: &str, text: &str) {
    for line in lines(start, text) {
        println!("{line}");
    }
}

/// Rows that hold, of how many.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    held: usize,
    of: usize,
}

impl Held {
    fn count(&mut self, holds: bool) {
        self.held += usize::from(holds);
        self.of += 1;
    }
}

/// One document's sections, in their order: `4.10` after `4.9`.
type Sections<'a> = BTreeMap<Vec<u32>, (&'a str, Held)>;

/// How many rows hold in each document, and in each of its sections.
fn sections(verdicts: &[Verdict]) -> BTreeMap<&str, (Held, Sections<'_>)> {
    let mut documents: BTreeMap<&str, (Held, Sections<'_>)> = BTreeMap::new();
    for verdict in verdicts {
        let (document, section) = verdict
            .section
            .split_once(" §")
            .unwrap_or((verdict.section, ""));
        let numbers = section.split('.').filter_map(|part| part.parse().ok());
        let (whole, parts) = documents.entry(document).or_default();
        let (_, part) = parts
            .entry(numbers.collect())
            .or_insert((section, Held::default()));
        whole.count(verdict.fault.is_none());
        part.count(verdict.fault.is_none());
    }
    documents
}

/// Prints how many rows hold in each document and section.
pub(crate) fn by_section(verdicts: &[Verdict]) {
    for (document, (whole, parts)) in sections(verdicts) {
        let parts: Vec<String> = parts
            .values()
            .map(|(section, part)| match part.of - part.held {
                0 => format!("§{section}:\u{a0}{}", part.of),
                _ => format!("§{section}:\u{a0}{}/{}", part.held, part.of),
            })
            .collect();
        let start = format!("  {document:<8} {:>3} of {:>3}  ", whole.held, whole.of);
        told(&start, &parts.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_within_the_terminal_and_below_their_start() {
        let text = "word ".repeat(40);
        let broken = lines("  FAIL  ", &text);
        assert!(broken.len() > 1);
        assert!(broken.iter().all(|line| line.chars().count() <= COLUMNS));
        assert!(broken[0].starts_with("  FAIL  word"));
        assert!(broken[1].starts_with("        word"));
        let words = broken.iter().map(|line| line.matches("word").count());
        assert_eq!(words.sum::<usize>(), 40);
        assert!(lines("  ", " ").is_empty());
        let long = "x".repeat(100);
        assert_eq!(lines("  ", &long), [format!("  {long}")]);
    }

    #[test]
    fn sections_stand_in_their_order_and_say_what_fails() {
        let row = |section, fault: Option<&str>| Verdict {
            section,
            title: String::new(),
            fault: fault.map(str::to_owned),
        };
        let verdicts = [
            row("RFC 9110 §4.10", None),
            row("RFC 9110 §4.9", Some("wrong")),
            row("RFC 9110 §4.9", None),
        ];
        let documents = sections(&verdicts);
        let (whole, parts) = &documents["RFC 9110"];
        assert_eq!((whole.held, whole.of), (2, 3));
        let parts: Vec<(&str, usize, usize)> = parts
            .values()
            .map(|(section, part)| (*section, part.held, part.of))
            .collect();
        assert_eq!(parts, [("4.9", 1, 2), ("4.10", 1, 1)]);
    }
}
