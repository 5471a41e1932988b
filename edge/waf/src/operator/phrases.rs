//! Many phrases at once, without case.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

/// A set of phrases.
#[derive(Debug)]
pub(crate) struct Phrases {
    automaton: AhoCorasick,
}

impl Phrases {
    /// Compiles a set; an empty one matches nothing.
    pub(crate) fn compile(phrases: &[Vec<u8>]) -> Result<Self, String> {
        AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(phrases.iter().filter(|phrase| !phrase.is_empty()))
            .map(|automaton| Self { automaton })
            .map_err(|error| error.to_string())
    }

    /// The first phrase that occurs.
    pub(crate) fn find(&self, value: &[u8]) -> Option<Range<usize>> {
        self.automaton.find(value).map(|found| found.range())
    }
}

/// The phrases of `pm`: words.
pub(crate) fn words(argument: &str) -> Vec<Vec<u8>> {
    argument
        .split_ascii_whitespace()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// The phrases of a data file: one a line, without comments and empty lines.
pub(crate) fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_without_case() {
        let phrases = Phrases::compile(&words("sqlmap Nikto")).unwrap();
        assert_eq!(phrases.find(b"the NIKTO scanner"), Some(4..9));
        assert_eq!(phrases.find(b"nik"), None);
        assert_eq!(Phrases::compile(&[]).unwrap().find(b"x"), None);
        assert_eq!(
            lines(b"# c\n a b \r\n\nc"),
            vec![b"a b".to_vec(), b"c".to_vec()]
        );
    }
}
