//! Regular expressions of rules: PCRE's spelling on engines with bounded work.

pub(crate) mod require;
mod rewrite;

use std::borrow::Cow;
use std::cell::Cell;

/// Byte ranges of groups 0 to 9 of a match.
pub(crate) type Groups = Vec<Option<std::ops::Range<usize>>>;

/// Most groups that a rule can capture.
const GROUPS_MAX: usize = 10;
/// Compiled size of one pattern, bytes.
const PATTERN_BYTES_MAX: usize = 16 << 20;
/// Size of one pattern's lazily built automaton, bytes; beyond it the engine falls back to one that needs no cache.
const CACHE_BYTES_MAX: usize = 1 << 20;
/// Steps a backtracking pattern may take on one value; beyond it the value counts as not matching, and [`take_gave_up`] says so.
const STEPS_MAX: usize = 100_000;

thread_local! {
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether a pattern gave up on a value on this thread since this was asked last. A rule runs on one thread from its beginning to its
/// end: whoever runs it asks when it is over, and nothing that looks at a value has to pass it on.
pub(crate) fn take_gave_up() -> bool {
    GAVE_UP.try_with(Cell::take).unwrap_or(false)
}

/// What a backtracking pattern found, or nothing if it gave up, which is kept for who asks.
fn found<T>(outcome: Result<T, fancy_regex::Error>) -> Option<T> {
    if outcome.is_err() {
        let _ = GAVE_UP.try_with(|gave_up| gave_up.set(true));
    }
    outcome.ok()
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// Linear in the value's length.
    Linear(regex::bytes::Regex),
    /// Lookaround, back references or possessive quantifiers: bounded by [`STEPS_MAX`].
    Backtracking(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Compiles a pattern: bytes, no Unicode classes, `.` matches line ends, `$` only the end.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let rewritten = rewrite::rewrite(source);
        if !rewritten.possessive {
            let linear = regex::bytes::RegexBuilder::new(&rewritten.text)
                .unicode(false)
                .dot_matches_new_line(true)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(CACHE_BYTES_MAX)
                .build();
            match linear {
                Ok(regex) => return Ok(Self::Linear(regex)),
                Err(error) if !rewritten.backtracking => return Err(reason(&error)),
                Err(_) => {}
            }
        }
        fancy_regex::RegexBuilder::new(&format!("(?s){}", rewritten.text))
            .backtrack_limit(STEPS_MAX)
            .build()
            .map(|regex| Self::Backtracking(Box::new(regex)))
            .map_err(|error| reason(&error))
    }

    /// Whether the pattern occurs.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Linear(regex) => regex.is_match(value),
            Self::Backtracking(regex) => found(regex.is_match(&as_text(value))).unwrap_or(false),
        }
    }

    /// The groups of the first match.
    pub(crate) fn captures(&self, value: &[u8]) -> Option<Groups> {
        match self {
            Self::Linear(regex) => {
                let captures = regex.captures(value)?;
                Some(
                    captures
                        .iter()
                        .take(GROUPS_MAX)
                        .map(|group| group.map(|g| g.range()))
                        .collect(),
                )
            }
            Self::Backtracking(regex) => {
                let text = as_text(value);
                let captures = found(regex.captures(&text)).flatten()?;
                let byte_offset = |at: usize| text[..at].chars().count();
                let range = |group: fancy_regex::Match<'_>| {
                    byte_offset(group.start())..byte_offset(group.end())
                };
                Some(
                    captures
                        .iter()
                        .take(GROUPS_MAX)
                        .map(|group| group.map(range))
                        .collect(),
                )
            }
        }
    }

    /// What every match contains.
    pub(crate) fn requirement(source: &str) -> require::Requirement {
        require::of_pattern(&rewrite::rewrite(source).text)
    }
}

/// The last line of an engine's message: the ones before show the pattern.
fn reason(error: &dyn std::fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

/// Bytes above ASCII as private-use characters, one each: no letter, digit or blank is added.
fn as_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => {
            let private = |b: &u8| {
                if b.is_ascii() {
                    char::from(*b)
                } else {
                    char::from_u32(0xf700 + u32::from(*b)).unwrap_or('\u{f780}')
                }
            };
            Cow::Owned(value.iter().map(private).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_of_pcre_is_understood() {
        let table: [(&str, &[u8], bool); 14] = [
            (r"\x{5c}a", b"\\a", true),
            (r"^[[\]]+$", b"[]", true),
            (r"^[!--]$", b"%", true),
            (r"^[a&&b]+$", b"&b", true),
            (r"a.b", b"a\nb", true),
            (r"a$", b"a\n", false),
            (r"\w", "é".as_bytes(), false),
            (r"[\x80-\xff]", b"\xe9", true),
            (r"^${a{2}$", b"{aa", false),
            (r"^a{2}{$", b"aa{", true),
            ("^[é]+$", "é".as_bytes(), true),
            (r"a++b", b"aab", true),
            (r"^(?!x)a(?=b)", b"ab", true),
            (r"(a)\1", b"ab", false),
        ];
        for (source, value, expected) in table {
            assert_eq!(
                Pattern::compile(source).unwrap().is_match(value),
                expected,
                "{source}"
            );
        }
        assert!(Pattern::compile("(").is_err());
    }

    #[test]
    fn a_pattern_that_gives_up_says_so_once() {
        let pattern = Pattern::compile(r"^(?:(?=a)a+)+$").unwrap();
        assert!(pattern.is_match(b"aaaa") && !pattern.is_match(b"b") && !take_gave_up());
        let long = [[b'a'; 40].as_slice(), b"!"].concat();
        assert!(!pattern.is_match(&long));
        assert!(take_gave_up() && !take_gave_up());
        assert_eq!(pattern.captures(&long), None);
        assert!(take_gave_up());
    }

    #[test]
    fn groups_of_a_backtracking_match_are_bytes() {
        let groups = Pattern::compile(r"(?<=x)(b+)")
            .unwrap()
            .captures(b"\xff\xfexbb")
            .unwrap();
        assert_eq!(groups, vec![Some(3..5), Some(3..5)]);
    }
}
