//! Token grammars of injected SQL and HTML, by `libinjectionrs`.

use std::collections::HashSet;
use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
use libinjectionrs::{SqliFlags, SqliState};

use crate::bytemap::ByteSet;

/// Longest part of a value that is read, bytes: the grammars decide within the first tokens.
const READ_BYTES_MAX: usize = 64 << 10;

/// The fingerprint of injected SQL.
pub(super) fn sql(value: &[u8]) -> Option<Vec<u8>> {
    let value = &value[..value.len().min(READ_BYTES_MAX)];
    let seen = Seen::of(value);
    if is_plain_text(value, &seen) || begins_as_product(value, &seen) {
        return None;
    }
    // `detect_sqli` reads the value once more for its fingerprint, found or not.
    let mut state = SqliState::new(value, SqliFlags::FLAG_NONE);
    if !state.detect() {
        return None;
    }
    Some(state.get_fingerprint().as_str().as_bytes().to_vec())
}

/// Whether HTML that runs script is there.
pub(super) fn scripting(value: &[u8]) -> bool {
    libinjectionrs::detect_xss(&value[..value.len().min(READ_BYTES_MAX)]).is_injection()
}

/// What a value has in it.
struct Seen {
    bytes: ByteSet,
    /// Whether a comment of two characters begins in it, in any dialect.
    has_comment: bool,
}

impl Seen {
    fn of(value: &[u8]) -> Self {
        let bytes = ByteSet::of(value);
        let begins = |pair: &[u8]| matches!(pair, b"--" | b"/*");
        Self {
            has_comment: bytes.meets(&OF_COMMENTS) && value.windows(2).any(begins),
            bytes,
        }
    }
}

/// One of these is in whatever begins a comment of two characters.
const OF_COMMENTS: ByteSet = ByteSet::literal(b"-*");

/// Bytes that begin tokens of other kinds than names, numbers, operators and separators: strings, groups, variables,
/// comments, escapes, logic.
const OTHER_TOKENS: ByteSet = ByteSet::literal(b"'\"`()@#$\\&|{}");
/// What ends a word; all that ends one for the grammar does, and a dot, before which it looks for keywords too.
const WORD_ENDS: ByteSet =
    ByteSet::literal(b" .[]{}<>:\\?=@!#~+-*/&|^%(),';`\"\xa0").with_range(0, 0x1f);
/// Longest word that the grammar knows, bytes.
const WORD_BYTES_MAX: usize = 32;

/// Whether no fingerprint of injected SQL can come of a value, by what it lacks: none consists of names, numbers, operators
/// and separators alone, and no other token can be in it. It saves the grammar most of what people write.
fn is_plain_text(value: &[u8], seen: &Seen) -> bool {
    if seen.has_comment || OTHER_TOKENS.meets(&seen.bytes) {
        return false;
    }
    !value
        .split(|byte| WORD_ENDS.contains(*byte))
        .any(|word| match word.first() {
            // A number ends where its digits do, and a word may begin there.
            Some(first) if first.is_ascii_digit() => {
                (1..word.len()).any(|from| is_active(&word[from..]))
            }
            Some(_) => is_active(word),
            None => false,
        })
}

/// Whether a word means something to the grammar, by itself or with those after it.
fn is_active(word: &[u8]) -> bool {
    ACTIVE.has(word)
}

/// Whether a value begins as browsers and players name themselves, `Mozilla/5.0 (X11;` or `Mozilla/5.0 (Windows NT 10.0;`. The
/// grammar folds the first three tokens into a name and decides by five: name, group, name, and then the semicolon or a name.
/// No fingerprint of injected SQL begins like that, whatever follows; of what follows, quotes and comments could have the
/// value read in other ways, and a brace before an empty name is injected SQL wherever the grammar comes upon it.
fn begins_as_product(value: &[u8], seen: &Seen) -> bool {
    let named = || -> Option<()> {
        let rest = ordinary_word(value)?.strip_prefix(b"/")?;
        let rest = number(rest)?.strip_prefix(b" (")?;
        let rest = ordinary_word(rest)?;
        if rest.first() == Some(&b';') {
            return Some(());
        }
        let rest = ordinary_word(rest.strip_prefix(b" ")?)?.strip_prefix(b" ")?;
        number(rest)?.strip_prefix(b";").map(drop)
    };
    !seen.has_comment && !OTHER_READINGS.meets(&seen.bytes) && named().is_some()
}

/// What has the grammar read a value a second time: as the end of a string, or with comments of another dialect. And braces.
const OTHER_READINGS: ByteSet = ByteSet::literal(b"'\"#{");

/// What follows a word that means nothing to the grammar.
fn ordinary_word(text: &[u8]) -> Option<&[u8]> {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric();
    let length = text.iter().take_while(is_letter).count();
    let (word, rest) = text.split_at(length);
    let is_ordinary = word.first()?.is_ascii_alphabetic() && length <= WORD_BYTES_MAX;
    (is_ordinary && !KNOWN.has(word)).then_some(rest)
}

/// What follows a decimal number.
fn number(text: &[u8]) -> Option<&[u8]> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() {
        return None;
    }
    let Some(rest) = rest.strip_prefix(b".") else {
        return Some(rest);
    };
    let (part, rest) = rest.split_at(digits(rest));
    (!part.is_empty()).then_some(rest)
}

/// Words of the grammar.
struct Words {
    words: HashSet<&'static [u8]>,
    /// By the first two letters: the lengths of the words that begin with them, as bits.
    lengths: Vec<u32>,
}

impl Words {
    /// The first words of the grammar's keywords, but for whole ones of these kinds.
    fn but(kinds: &[u8]) -> Self {
        let mut words = HashSet::new();
        let mut lengths = vec![0; BUCKETS];
        for keyword in SQL_KEYWORDS {
            let text = keyword.word.as_bytes();
            let end = text.iter().position(|byte| WORD_ENDS.contains(*byte));
            let is_whole = end.is_none();
            if keyword.token_type == b'F' || is_whole && kinds.contains(&keyword.token_type) {
                continue;
            }
            let word = &text[..end.unwrap_or(text.len())];
            if !word.is_empty() && word.len() <= WORD_BYTES_MAX {
                lengths[bucket(word)] |= 1 << (word.len() - 1);
                words.insert(word);
            }
        }
        Self { words, lengths }
    }

    fn has(&self, word: &[u8]) -> bool {
        if word.len() > WORD_BYTES_MAX || !word[0].is_ascii_alphabetic() && word[0] != b'_' {
            return false;
        }
        let mut upper = [0; WORD_BYTES_MAX];
        let upper = &mut upper[..word.len()];
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        let bucket = bucket(upper);
        self.lengths[bucket] & (1 << (word.len() - 1)) != 0 && self.words.contains(&*upper)
    }
}

/// Words that are keywords of any kind but names, numbers and operators, and the first words of phrases.
static ACTIVE: LazyLock<Words> = LazyLock::new(|| Words::but(b"no1"));
/// Words that are keywords of any kind, and the first words of phrases.
static KNOWN: LazyLock<Words> = LazyLock::new(|| Words::but(b""));

const BUCKETS: usize = 1024;

fn bucket(upper: &[u8]) -> usize {
    let second = upper.get(1).copied().unwrap_or_default();
    usize::from(upper[0] & 31) << 5 | usize::from(second & 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_plain(value: &[u8]) -> bool {
        is_plain_text(value, &Seen::of(value))
    }

    fn is_product(value: &[u8]) -> bool {
        begins_as_product(value, &Seen::of(value))
    }

    #[test]
    fn no_fingerprint_consists_of_plain_tokens() {
        let plain = |word: &str| word[1..].bytes().all(|kind| b"N1O,.;:?".contains(&kind));
        let fingerprints = SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.token_type == b'F');
        assert!(fingerprints.clone().count() > 8000);
        assert!(fingerprints.into_iter().all(|keyword| !plain(keyword.word)));
    }

    #[test]
    fn keywords_without_a_first_word_need_a_byte_that_is_refused() {
        for keyword in SQL_KEYWORDS {
            let text = keyword.word.as_bytes();
            if WORD_ENDS.contains(text[0]) && !b"Fo".contains(&keyword.token_type) {
                assert!(OTHER_TOKENS.meets(&ByteSet::of(text)), "{:?}", keyword.word);
            }
        }
    }

    #[test]
    fn what_people_write_is_plain() {
        for text in [
            "Market day in Ibadan",
            "json.title",
            "01J9ZQ6W5T3K8",
            "2026-03-04T10:00:00Z",
            "thumb-720.jpg",
        ] {
            let expected = !text.contains(" in ");
            assert_eq!(is_plain(text.as_bytes()), expected, "{text}");
        }
        assert!(!is_plain(b"1union select 2"));
    }

    #[test]
    fn no_fingerprint_begins_as_a_product_does() {
        let begins = |start: &str| {
            let mut all = SQL_KEYWORDS.iter();
            all.any(|keyword| keyword.token_type == b'F' && keyword.word.starts_with(start))
        };
        assert!(!begins("0N(N;") && !begins("0N(NN") && begins("0N)O"));
        // Names that are functions before a group (as the grammar has it beside its table) are in the table.
        for word in [
            "USER",
            "USER_ID",
            "DATABASE",
            "PASSWORD",
            "CURRENT_USER",
            "LOCALTIME",
        ] {
            assert!(KNOWN.has(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn browsers_and_players_name_themselves_like_that() {
        for value in [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
            "Viewer/1.4 (Linux;Android 15) ExoPlayerLib/2.19.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)",
        ] {
            assert!(is_product(value.as_bytes()), "{value}");
        }
        for value in [
            "Mozilla/5.0 (X11; ' or 1=1",
            "Mozilla/5.0 (X11; -- ",
            "Mozilla/5.0 (X11; #",
            "Mozilla/5.0 (X11; {`",
            "Mozilla/5.0 (select;",
            "select/1 (a;",
            "user/1 (a;",
            "Mozilla/5.0(X11;",
            "Mozilla (X11;",
        ] {
            assert!(!is_product(value.as_bytes()), "{value}");
        }
    }

    /// A brace before an empty name, which some dialects take for their own; the shortcut for products once passed it over.
    #[test]
    fn a_brace_before_an_empty_name_is_injected_sql() {
        for value in ["a/0 (A;{`", "Mozilla/5.0 (X11;{``.``"] {
            assert!(sql(value.as_bytes()).is_some(), "{value}");
        }
    }

    fn words() -> impl Strategy<Value = Vec<u8>> {
        let keyword = prop::sample::select(
            SQL_KEYWORDS
                .iter()
                .filter(|keyword| keyword.token_type != b'F')
                .map(|keyword| keyword.word.to_ascii_lowercase())
                .collect::<Vec<_>>(),
        );
        let other = prop::sample::select(vec![
            "a", "user", "1", "2e", "0x1", "1.", ".5", "1d", "_x", "ọjà", "\u{a0}", "x.y", "1e5f",
        ]);
        let joint = prop::sample::select(vec![
            " ", " ", ",", ".", ";", ":", "=", "-", "/", "*", "+", "!", "<", "?", "[", "]", "",
            "~", "%",
        ]);
        let piece = prop_oneof![
            keyword.prop_map(String::into_bytes),
            other.prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec((piece, joint), 0..8).prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(mut piece, joint)| {
                    piece.extend_from_slice(joint.as_bytes());
                    piece
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_begins_as_a_product_is_never_an_injection(
            first in "[A-Za-z]{1,9}", version in "[0-9]{1,2}(\\.[0-9]{1,2})?",
            platform in "[A-Za-z][A-Za-z0-9]{0,8}( [A-Z]{1,2} [0-9]{1,2}(\\.[0-9])?)?;",
            joint in "[ ;)(,@`${}=|&/*0-9a-z-]{0,4}", rest in words(), more in "[ -~]{0,8}",
            raw in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let mut value = format!("{first}/{version} ({platform}{joint}").into_bytes();
            value.extend_from_slice(&rest);
            value.extend_from_slice(more.as_bytes());
            value.extend_from_slice(&raw);
            if is_product(&value) {
                let found = libinjectionrs::detect_sqli(&value);
                prop_assert!(!found.is_injection(), "{:?}", String::from_utf8_lossy(&value));
            }
        }

        #[test]
        fn plain_text_is_never_an_injection(
            value in words(), raw in prop::collection::vec(any::<u8>(), 0..6), more in words(),
        ) {
            let value = [value, raw, more].concat();
            if is_plain(&value) {
                let found = libinjectionrs::detect_sqli(&value);
                prop_assert!(!found.is_injection(), "{:?}", String::from_utf8_lossy(&value));
            }
        }
    }
}
