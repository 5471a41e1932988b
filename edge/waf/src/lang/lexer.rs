//! Text to logical lines of arguments: continuation, quotes and places.

use std::sync::Arc;

use crate::error::{LoadError, LoadErrorKind, Location};

/// One argument of a directive, unquoted.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its text; `\"` within double quotes has become `"`, four backslashes two; everything else is as written.
    pub text: String,
    file: Arc<str>,
    /// (offset in `text`, line, column), ascending: where each run of text that is contiguous in the file starts.
    runs: Vec<(u32, u32, u32)>,
}

impl Token {
    /// The place in the file of a byte of the text.
    #[must_use]
    pub fn location(&self, offset: usize) -> Location {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let at = self.runs.partition_point(|run| run.0 <= offset);
        let (start, line, column) = at
            .checked_sub(1)
            .and_then(|i| self.runs.get(i).copied())
            .unwrap_or((0, 1, 1));
        Location {
            file: self.file.clone(),
            line,
            column: column + (offset - start),
        }
    }

    /// An error at a byte of the text.
    #[must_use]
    pub fn error(&self, offset: usize, kind: LoadErrorKind) -> LoadError {
        LoadError::new(self.location(offset), kind)
    }
}

/// A directive's name and arguments.
#[derive(Debug, Clone)]
pub struct Line {
    /// The first word.
    pub name: Token,
    /// The rest.
    pub arguments: Vec<Token>,
}

/// Splits a file into directives. Empty lines and lines that begin with `#` are nothing.
///
/// # Errors
/// An open quote, or text that is not UTF-8 outside comments.
pub fn lines(file: &Arc<str>, text: &[u8]) -> Result<Vec<Line>, LoadError> {
    let mut cursor = Cursor {
        file: file.clone(),
        text,
        at: 0,
        line: 1,
        column: 1,
    };
    let mut out = Vec::new();
    loop {
        cursor.blank(true);
        match cursor.peek() {
            None => return Ok(out),
            Some(b'#') => cursor.comment(),
            Some(_) => {
                let name = cursor.word()?;
                let mut arguments = Vec::new();
                loop {
                    cursor.blank(false);
                    match cursor.peek() {
                        None | Some(b'\n') => break,
                        Some(_) => arguments.push(cursor.word()?),
                    }
                }
                out.push(Line { name, arguments });
            }
        }
    }
}

struct Cursor<'a> {
    file: Arc<str>,
    text: &'a [u8],
    at: usize,
    line: u32,
    column: u32,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn bump(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        self.at += 1;
    }

    /// The length of a line continuation here: a backslash right before the line's end.
    fn continuation(&self) -> usize {
        match self.text.get(self.at..) {
            Some([b'\\', b'\n', ..]) => 2,
            Some([b'\\', b'\r', b'\n', ..]) => 3,
            _ => 0,
        }
    }

    fn blank(&mut self, newlines: bool) {
        loop {
            let continued = self.continuation();
            if continued > 0 {
                (0..continued).for_each(|_| self.bump());
                continue;
            }
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.bump(),
                Some(b'\n') if newlines => self.bump(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        while !matches!(self.peek(), None | Some(b'\n')) {
            self.bump();
        }
    }

    fn here(&self) -> Location {
        Location {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
        }
    }

    fn word(&mut self) -> Result<Token, LoadError> {
        let open = self.here();
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                self.bump();
                Some(quote)
            }
            _ => None,
        };
        let mut text = Vec::new();
        let mut runs = vec![(0, self.line, self.column)];
        let run = |text: &Vec<u8>, cursor: &Self| {
            let offset = u32::try_from(text.len()).unwrap_or(u32::MAX);
            (offset, cursor.line, cursor.column)
        };
        loop {
            let continued = self.continuation();
            if continued > 0 {
                (0..continued).for_each(|_| self.bump());
                runs.push(run(&text, self));
                continue;
            }
            match (self.peek(), quote) {
                (None, Some(_)) => {
                    return Err(LoadError::new(open, LoadErrorKind::UnterminatedQuote));
                }
                (None | Some(b' ' | b'\t' | b'\r' | b'\n'), None) => break,
                (Some(byte), Some(quote)) if byte == quote => {
                    self.bump();
                    break;
                }
                (Some(b'\\'), Some(quote)) if self.text.get(self.at + 1) == Some(&quote) => {
                    self.bump();
                    runs.push(run(&text, self));
                    text.push(quote);
                    self.bump();
                }
                (Some(b'\\'), Some(_)) if self.text[self.at..].starts_with(br"\\\\") => {
                    // Apache halves backslashes, libmodsecurity does not. Published sets are read by both: where they write
                    // four they mean one escaped, where they write two they mean that too.
                    runs.push(run(&text, self));
                    text.extend_from_slice(br"\\");
                    (0..4).for_each(|_| self.bump());
                    runs.push(run(&text, self));
                }
                (Some(byte), _) => {
                    text.push(byte);
                    self.bump();
                    if byte == b'\n' {
                        runs.push(run(&text, self));
                    }
                }
            }
        }
        let text =
            String::from_utf8(text).map_err(|_| LoadError::new(open, LoadErrorKind::NotUtf8))?;
        Ok(Token {
            text,
            file: self.file.clone(),
            runs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let lines = lines(&Arc::from("f"), text.as_bytes()).unwrap();
        let words = |line: Line| {
            std::iter::once(line.name.text)
                .chain(line.arguments.into_iter().map(|token| token.text))
                .collect()
        };
        lines.into_iter().map(words).collect()
    }

    #[test]
    fn quotes_continuations_and_comments() {
        let text = "# \\\n # \n\nSecX a \"b \\\" c\" \\\n  d\\e\r\n  SecY 'f \"g'\n";
        assert_eq!(
            words(text),
            vec![vec!["SecX", "a", "b \" c", "d\\e"], vec!["SecY", "f \"g"]]
        );
        assert_eq!(
            words(r#"S "[\\\\]" "\\a""#),
            vec![vec!["S", r"[\\]", r"\\a"]]
        );
    }

    #[test]
    fn places_survive_continuations() {
        let line = lines(&Arc::from("f"), b"\n  SecX \"ab\\\ncd\\\"ef\"")
            .unwrap()
            .remove(0);
        let token = &line.arguments[0];
        assert_eq!(token.text, "abcd\"ef");
        let place = |offset| (token.location(offset).line, token.location(offset).column);
        assert_eq!((place(0), place(1)), ((2, 9), (2, 10)));
        assert_eq!((place(2), place(5)), ((3, 1), (3, 5)));
        assert_eq!(
            lines(&Arc::from("f"), b"SecX \"ab")
                .unwrap_err()
                .location
                .column,
            6
        );
    }
}
