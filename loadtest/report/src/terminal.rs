//! Lines and tables for terminals: as wide as the terminal is, and coloured where that is wanted.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::number::one_line;

/// How something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Paint {
    #[default]
    Plain,
    Bold,
    Good,
    Bad,
    Warn,
    Soft,
}

/// A terminal's width in columns, and whether it shows colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

/// A piece of a table. The text is shown without what would steer the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
    is_number: bool,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: plain(text.as_ref()),
            paint: Paint::Plain,
            is_number: false,
        }
    }

    pub(crate) fn number(text: impl AsRef<str>) -> Self {
        Self {
            is_number: true,
            ..Self::new(text)
        }
    }

    pub(crate) fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// Without what would steer the terminal; spaces are all the same.
pub(crate) fn plain(text: &str) -> String {
    one_line(text).replace(['\u{a0}', '\u{202f}'], " ")
}

/// Columns that are not squeezed below this.
const COLUMN_MIN: usize = 6;
const GAP: usize = 2;

impl Terminal {
    /// In colour, where there are colours.
    pub(crate) fn paint(self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Warn => "33",
            Paint::Soft => "2",
        };
        if self.colour && !text.trim().is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Words in as many lines as they need; a word that is too long is broken. Each line ends with a newline.
    pub(crate) fn wrap(self, text: &str, indent: usize, paint: Paint) -> String {
        let indent = indent.min(self.width / 2);
        let room = (self.width - indent).max(1);
        let mut lines: Vec<String> = vec![String::new()];
        for word in plain(text).split(' ').filter(|word| !word.is_empty()) {
            let mut rest = word.to_owned();
            while !rest.is_empty() {
                let Some(line) = lines.last_mut() else { break };
                let free = room.saturating_sub(line.width() + usize::from(!line.is_empty()));
                if rest.width() <= free || (line.is_empty() && free == 0) {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(&rest);
                    rest.clear();
                } else if line.is_empty() {
                    let (head, tail) = split(&rest, room);
                    line.push_str(head);
                    rest = tail.to_owned();
                } else {
                    lines.push(String::new());
                }
            }
        }
        let margin = " ".repeat(indent);
        lines
            .iter()
            .map(|line| format!("{margin}{}\n", self.paint(line, paint)))
            .collect()
    }

    /// A table, its columns as wide as they need; where that is too much, the widest columns of text are cut.
    pub(crate) fn table(self, rows: &[Vec<Cell>]) -> String {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        let mut is_number = vec![false; columns];
        for row in rows {
            for ((width, is_number), cell) in widths.iter_mut().zip(&mut is_number).zip(row) {
                *width = (*width).max(cell.text.width());
                *is_number |= cell.is_number;
            }
        }
        let gaps = GAP * columns.saturating_sub(1);
        loop {
            let total = widths.iter().sum::<usize>() + gaps;
            if total <= self.width {
                break;
            }
            let squeezed = widths
                .iter_mut()
                .zip(&is_number)
                .filter(|(width, is_number)| !**is_number && **width > COLUMN_MIN)
                .map(|(width, _)| width)
                .max();
            match squeezed {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        rows.iter().map(|row| self.row(row, &widths)).collect()
    }

    fn row(self, row: &[Cell], widths: &[usize]) -> String {
        let mut line = String::new();
        let mut used = 0;
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if index == 0 { 0 } else { GAP };
            let Some(room) = self.width.checked_sub(used + gap).filter(|room| *room > 0) else {
                break;
            };
            let width = (*width).min(room);
            let text = cut(&cell.text, width);
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let is_last = index + 1 == row.len();
            line.push_str(&" ".repeat(gap));
            if cell.is_number {
                line.push_str(&padding);
            }
            line.push_str(&self.paint(&text, cell.paint));
            if !cell.is_number && !is_last {
                line.push_str(&padding);
            }
            used += gap + width;
        }
        let line = line.trim_end();
        format!("{line}\n")
    }
}

/// As much as fits, with an ellipsis for what does not.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (head, _) = split(text, width.saturating_sub(1));
    if width == 0 {
        String::new()
    } else {
        format!("{head}…")
    }
}

/// As much as fits, at least one character of what does not if nothing does, and the rest.
fn split(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return text.split_at(index.max(if width == 0 { 0 } else { first_len(text) }));
        }
    }
    (text, "")
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Terminal = Terminal {
        width: 20,
        colour: false,
    };

    #[test]
    fn tables_are_as_wide_as_the_terminal() {
        let rows = [
            vec![
                Cell::new("a rather long name"),
                Cell::number("1"),
                Cell::new("ok"),
            ],
            vec![Cell::new("short"), Cell::number("12,345"), Cell::new("ok")],
        ];
        assert_eq!(
            NARROW.table(&rows),
            "a rathe…       1  ok\nshort     12,345  ok\n"
        );
    }

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        assert_eq!(
            NARROW.wrap(
                "one two three four fifteen-letters-and-more",
                2,
                Paint::Plain
            ),
            "  one two three four\n  fifteen-letters-an\n  d-more\n"
        );
    }

    #[test]
    fn colours_are_outside_of_widths() {
        let terminal = Terminal {
            width: 20,
            colour: true,
        };
        let rows = [vec![
            Cell::new("x\u{1b}[2J").painted(Paint::Bad),
            Cell::new("y"),
        ]];
        assert_eq!(
            terminal.table(&rows),
            "\u{1b}[31mx\u{fffd}[2J\u{1b}[0m  y\n"
        );
    }
}
