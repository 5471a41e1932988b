//! Comparing a part of a request with what a token says of it.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use regex::bytes::{Regex, RegexBuilder};

use crate::media::MediaTokenError;
use crate::memory::{TokenMemory, TokenName, name_of};

/// The longest pattern, bytes, and what it may grow to when compiled. Matching takes time linear in what is matched.
const PATTERN_BYTES_MAX: usize = 1024;
const COMPILED_BYTES_MAX: usize = 256 * 1024;
/// The longest text that is held against a pattern, bytes: a client can make its address long, and a pattern slow.
const TEXT_BYTES_MAX: usize = 4096;
/// Compiled patterns of a generation in each shard. One takes some 100 KiB once it is used, and more than a node has room for if
/// each of its tokens kept its own: 512 at most are kept, each for all tokens that have it.
const GENERATION_PATTERNS_MAX: usize = 16;

/// What was compiled, by its text, whoever's token it is in: what a pattern matches depends on nothing else.
static COMPILED: LazyLock<TokenMemory<Arc<Regex>, GENERATION_PATTERNS_MAX>> =
    LazyLock::new(TokenMemory::default);

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
    Pattern(Pattern, Vec<Option<String>>),
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
            Self::Pattern(..) if text.len() > TEXT_BYTES_MAX => false,
            Self::Pattern(pattern, groups) => pattern
                .compiled()
                .is_ok_and(|compiled| catches(&compiled, groups, text)),
        }
    }
}

fn catches(compiled: &Regex, groups: &[Option<String>], text: &str) -> bool {
    if groups.is_empty() {
        return compiled.is_match(text.as_bytes());
    }
    compiled.captures(text.as_bytes()).is_some_and(|caught| {
        groups.iter().enumerate().all(|(at, wanted)| {
            wanted.as_ref().is_none_or(|wanted| {
                caught
                    .get(at + 1)
                    .is_some_and(|group| group.as_bytes() == wanted.as_bytes())
            })
        })
    })
}

/// A pattern that can be compiled, and is when it is needed.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: Box<str>,
    name: TokenName,
}

impl Pattern {
    fn compiled(&self) -> Result<Arc<Regex>, MediaTokenError> {
        if let Some(compiled) = COMPILED.get(&self.name) {
            return Ok(compiled);
        }
        let compiled = Arc::new(compile(&format!("\\A(?:{})\\z", self.text))?);
        COMPILED.insert(self.name, Arc::clone(&compiled));
        Ok(compiled)
    }
}

fn compile(text: &str) -> Result<Regex, MediaTokenError> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|_| MediaTokenError::Unsupported)
}

/// A pattern that the whole text must match, byte by byte, as in the POSIX locale: one that is written to be
/// looked for anywhere allows less here than it could, never more.
///
/// # Errors
/// [`MediaTokenError::Unsupported`] for what is too large or not of this syntax.
pub(super) fn whole(pattern: &str) -> Result<Pattern, MediaTokenError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(MediaTokenError::Unsupported);
    }
    let known = Pattern {
        text: pattern.into(),
        name: name_of(pattern),
    };
    if COMPILED.get(&known.name).is_none() {
        // By itself first: `a)|(b` would break out of the brackets.
        compile(pattern)?;
        known.compiled()?;
    }
    Ok(known)
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
    fn compiled_patterns_are_bounded_and_shared() {
        let patterns: Vec<Pattern> = (0..2000)
            .map(|number| whole(&format!("/{number}/[a-z]*")).expect("a pattern"))
            .collect();
        assert!(COMPILED.len() <= 2 * 16 * GENERATION_PATTERNS_MAX);
        let first = Match::Pattern(patterns[0].clone(), vec![]);
        assert!(first.is_met_by("/0/a"), "it is compiled again");
        assert!(!first.is_met_by("/1/a"));
        let again = whole("/0/[a-z]*").expect("a pattern").compiled();
        let known = patterns[0].compiled();
        assert!(Arc::ptr_eq(
            &again.expect("compiled"),
            &known.expect("compiled")
        ));
    }

    #[test]
    fn a_client_cannot_make_a_pattern_slow() {
        let any = Match::Pattern(whole(".*").expect("a pattern"), vec![]);
        assert!(any.is_met_by(&"a".repeat(TEXT_BYTES_MAX)));
        assert!(!any.is_met_by(&"a".repeat(TEXT_BYTES_MAX + 1)));
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
