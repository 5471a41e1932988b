//! Text with `%{name}` in it.

use crate::lang::variables::Variable;

/// A piece of such text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(Vec<u8>),
    /// The value of a variable, with the key after the point or the colon.
    Value(Variable, Option<String>),
}

/// Text in which variables are replaced when a rule runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// In order; neighbouring text is one piece.
    pub pieces: Vec<Piece>,
}

impl Template {
    /// Splits text at its macros. A macro that names no variable stays text, as in the dialect's first engine.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(start) = rest.find("%{") {
            let Some(length) = rest[start..].find('}') else {
                break;
            };
            let name = &rest[start + 2..start + length];
            match parse_name(name) {
                Some((variable, key)) => {
                    plain.push_str(&rest[..start]);
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes()));
                    }
                    pieces.push(Piece::Value(variable, key));
                }
                None => plain.push_str(&rest[..=start + length]),
            }
            rest = &rest[start + length + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into_bytes()));
        }
        Self { pieces }
    }

    /// The text, if nothing in it depends on the transaction.
    #[must_use]
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn parse_name(name: &str) -> Option<(Variable, Option<String>)> {
    let (head, key) = match name.find(['.', ':']) {
        Some(at) => (&name[..at], Some(name[at + 1..].to_owned())),
        None => (name, None),
    };
    Variable::by_name(head).map(|variable| (variable, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_among_text() {
        let template = Template::parse("a %{tx.0} b%{MATCHED_VAR}");
        assert_eq!(
            template.pieces,
            vec![
                Piece::Text(b"a ".to_vec()),
                Piece::Value(Variable::Tx, Some("0".into())),
                Piece::Text(b" b".to_vec()),
                Piece::Value(Variable::MatchedVar, None),
            ]
        );
        assert_eq!(template.fixed(), None);
    }

    #[test]
    fn what_is_no_macro_stays_text() {
        for text in ["%{", "%{nothing}", "100%", "a%{no.such}b", ""] {
            assert_eq!(
                Template::parse(text).fixed(),
                Some(text.as_bytes()),
                "{text}"
            );
        }
    }
}
