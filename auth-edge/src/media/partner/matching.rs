//! Comparing a part of a request with what a token says of it.

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use regex::bytes::{Regex, RegexBuilder};

use crate::media::MediaTokenError;

/// The longest pattern, bytes, and what it may grow to when compiled. Matching takes time linear in what is matched.
const PATTERN_BYTES_MAX: usize = 1024;
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// One demand on a text.
#[derive(Debug, Clone)]
pub(super) enum Match {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Sha256(Vec<u8>),
    Sha512Truncated(Vec<u8>),
    /// The pattern, and what its groups must have caught; `None` for anything.
    Pattern(Regex, Vec<Option<String>>),
}

impl Match {
    /// Does the text meet the demand?
    pub(super) fn is_met_by(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => text == wanted,
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::Suffix(wanted) => text.ends_with(wanted),
            Self::Contains(wanted) => text.contains(wanted),
            Self::Sha256(wanted) => digest(&SHA256, text.as_bytes()).as_ref() == wanted,
            Self::Sha512Truncated(wanted) => {
                digest(&SHA512_256, text.as_bytes()).as_ref() == wanted
            }
            Self::Pattern(pattern, groups) if groups.is_empty() => {
                pattern.is_match(text.as_bytes())
            }
            Self::Pattern(pattern, groups) => {
                pattern.captures(text.as_bytes()).is_some_and(|caught| {
                    groups.iter().enumerate().all(|(at, wanted)| {
                        wanted.as_ref().is_none_or(|wanted| {
                            caught
                                .get(at + 1)
                                .is_some_and(|group| group.as_bytes() == wanted.as_bytes())
                        })
                    })
                })
            }
        }
    }
}

/// Compiles a pattern that the whole text must match, byte by byte, as in the POSIX locale: one that is written to be
/// looked for anywhere allows less here than it could, never more.
///
/// # Errors
/// [`MediaTokenError::Unsupported`] for what is too large or not of this syntax.
pub(super) fn whole(pattern: &str) -> Result<Regex, MediaTokenError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(MediaTokenError::Unsupported);
    }
    let compile = |text: &str| {
        RegexBuilder::new(text)
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|_| MediaTokenError::Unsupported)
    };
    // By itself first: `a)|(b` would break out of the brackets.
    compile(pattern)?;
    compile(&format!("\\A(?:{pattern})\\z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_the_whole_text() {
        let is_match = |pattern: &str, text: &str| {
            let pattern = whole(pattern).expect(pattern);
            Match::Pattern(pattern, vec![]).is_met_by(text)
        };
        assert!(is_match("/a/[0-9]{3}\\.png", "/a/123.png"));
        assert!(!is_match("/a/[0-9]{3}\\.png", "/a/123.png?x"));
        assert!(!is_match(
            "/a/[0-9]{3}\\.png",
            "http://evil.example/a/123.png"
        ));
        assert!(!is_match("a|b", "ab"));
        assert!(!is_match("a", "a\n"));
        assert!(is_match("[[:digit:]]+", "42"));
        for pattern in [
            "a)|(b",
            "(",
            "(?=a)",
            "\\1",
            &"a".repeat(PATTERN_BYTES_MAX + 1),
            "((a{99}){99}){99}",
        ] {
            assert!(whole(pattern).is_err(), "{pattern}");
        }
        let caught = |groups: Vec<Option<&str>>| {
            let groups = groups
                .into_iter()
                .map(|group| group.map(str::to_owned))
                .collect();
            Match::Pattern(whole("/(a|b)/(c)?(d)?").expect("a pattern"), groups).is_met_by("/a/d")
        };
        assert!(caught(vec![Some("a"), None, Some("d")]));
        assert!(!caught(vec![Some("b")]));
        assert!(!caught(vec![None, Some("c")]));
        assert!(
            !caught(vec![None, None, None, Some("")]),
            "there is no such group"
        );
    }

    #[test]
    fn hashes_are_of_the_text() {
        let of = |text: &str| digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        assert!(Match::Sha256(of("/a")).is_met_by("/a"));
        assert!(!Match::Sha256(of("/a")).is_met_by("/b"));
        assert!(!Match::Sha256(of("/a")[..31].to_vec()).is_met_by("/a"));
        assert!(!Match::Sha512Truncated(of("/a")).is_met_by("/a"));
    }
}
