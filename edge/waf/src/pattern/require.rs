//! What every match of a pattern contains: the prefilter's raw material.
//!
//! Works on ASCII-folded text, so that one scan serves patterns with and without case.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::bytemap::ByteSet;

/// Most literals in one alternative set.
const LITERALS_MAX: usize = 300;
/// Longest literal kept, bytes; longer ones are cut, which only asks for less.
const LITERAL_BYTES_MAX: usize = 8;
/// Largest class that is spelt out as single letters.
const CLASS_MAX: usize = 6;

/// What a value must contain for a pattern to match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// At least one of these, lower case; `None`: nothing is known.
    pub(crate) literals: Option<Vec<Vec<u8>>>,
    /// At least one of these bytes, both cases; `None`: nothing is known.
    pub(crate) bytes: Option<ByteSet>,
}

/// The requirement of a pattern in the linear engine's spelling; of one it cannot read, nothing is known.
pub(super) fn of_pattern(text: &str) -> Requirement {
    let parsed = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .build()
        .parse(text);
    parsed.map(|hir| finish(analyse(&hir))).unwrap_or_default()
}

/// The requirement of text that occurs as it is.
pub(crate) fn of_literals(literals: &[Vec<u8>]) -> Requirement {
    let exact = literals
        .iter()
        .map(|literal| literal.to_ascii_lowercase())
        .collect();
    finish(Info {
        bytes: None,
        ..Info::exact(exact)
    })
}

#[derive(Debug, Clone, Default)]
struct Info {
    /// The whole language, if it is small.
    exact: Option<Vec<Vec<u8>>>,
    /// One of these occurs in every match.
    literals: Option<Vec<Vec<u8>>>,
    /// One of these bytes occurs in every match.
    bytes: Option<ByteSet>,
}

impl Info {
    fn exact(language: Vec<Vec<u8>>) -> Self {
        let bytes = rarest(&language);
        Self {
            exact: Some(language),
            literals: None,
            bytes,
        }
    }

    fn required(&self) -> Option<&Vec<Vec<u8>>> {
        match &self.exact {
            Some(language) if language.iter().all(|text| !text.is_empty()) => Some(language),
            Some(_) => None,
            None => self.literals.as_ref(),
        }
    }
}

fn finish(info: Info) -> Requirement {
    let literals = info.required().map(|literals| {
        let mut cut: Vec<Vec<u8>> = literals
            .iter()
            .map(|text| text[..text.len().min(LITERAL_BYTES_MAX)].to_vec())
            .collect();
        cut.sort_by_key(Vec::len);
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for text in cut {
            if !kept
                .iter()
                .any(|short| memchr::memmem::find(&text, short).is_some())
            {
                kept.push(text);
            }
        }
        kept
    });
    // Single letters are better asked of the byte map.
    let literals = literals.filter(|literals| literals.iter().all(|text| text.len() >= 2));
    Requirement {
        literals,
        bytes: info.bytes.map(with_upper),
    }
}

fn with_upper(mut set: ByteSet) -> ByteSet {
    for byte in b'a'..=b'z' {
        if set.contains(byte) {
            set.insert(byte.to_ascii_uppercase());
        }
    }
    set
}

/// How often bytes of a set occur in ordinary traffic, roughly; less is better.
fn commonness(set: &ByteSet) -> u32 {
    (0..=255u8)
        .filter(|byte| set.contains(*byte))
        .map(|byte| match byte {
            b'a'..=b'z' | b' ' => 200,
            b'0'..=b'9' => 100,
            b'.' | b'/' | b'-' | b'_' | b',' | b':' | b';' => 90,
            b'=' | b'&' | b'"' | b'(' | b')' | b'+' | b'*' => 40,
            0..=0x1f | 0x7f => 1,
            _ => 10,
        })
        .sum()
}

fn rarest(language: &[Vec<u8>]) -> Option<ByteSet> {
    let mut set = ByteSet::EMPTY;
    for text in language {
        let byte = text
            .iter()
            .copied()
            .min_by_key(|byte| commonness(&ByteSet::of(&[*byte])))?;
        set.insert(byte);
    }
    (!set.is_empty()).then_some(set)
}

fn better_bytes(mine: Option<ByteSet>, other: Option<ByteSet>) -> Option<ByteSet> {
    match (mine, other) {
        (Some(a), Some(b)) => Some(if commonness(&b) < commonness(&a) {
            b
        } else {
            a
        }),
        (a, b) => a.or(b),
    }
}

/// Longer is better, then fewer.
fn worth(literals: &[Vec<u8>]) -> (usize, usize) {
    let shortest = literals.iter().map(Vec::len).min().unwrap_or(0);
    (shortest.min(4), usize::MAX - literals.len())
}

fn better_literals(
    mine: Option<Vec<Vec<u8>>>,
    other: Option<Vec<Vec<u8>>>,
) -> Option<Vec<Vec<u8>>> {
    match (mine, other) {
        (Some(a), Some(b)) => Some(if worth(&b) > worth(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn analyse(hir: &Hir) -> Info {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Info {
            exact: Some(vec![Vec::new()]),
            ..Info::default()
        },
        HirKind::Literal(literal) => Info::exact(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(group) => analyse(&group.sub),
        HirKind::Repetition(repetition) => {
            let sub = analyse(&repetition.sub);
            match (repetition.min, repetition.max) {
                (0, Some(1)) => match sub.exact {
                    Some(mut language) if language.len() < LITERALS_MAX => {
                        language.push(Vec::new());
                        Info {
                            exact: Some(language),
                            ..Info::default()
                        }
                    }
                    _ => Info::default(),
                },
                (0, _) => Info::default(),
                (1, Some(1)) => sub,
                (min, max) => repeated(sub, min, max),
            }
        }
        HirKind::Concat(parts) => concat(parts.iter().map(analyse)),
        HirKind::Alternation(parts) => alternation(parts),
    }
}

fn repeated(sub: Info, min: u32, max: Option<u32>) -> Info {
    let copies = concat(std::iter::repeat_n(sub, min.min(8) as usize));
    if max == Some(min) && min <= 8 {
        return copies;
    }
    Info {
        literals: copies.required().cloned(),
        exact: None,
        bytes: copies.bytes,
    }
}

fn of_class(class: &Class) -> Info {
    let mut set = ByteSet::EMPTY;
    match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .for_each(|range| set = set.with_range(range.start(), range.end())),
        Class::Unicode(class) => match class.to_byte_class() {
            Some(class) => class
                .ranges()
                .iter()
                .for_each(|range| set = set.with_range(range.start(), range.end())),
            None => return Info::default(),
        },
    }
    let mut folded: Vec<u8> = (0..=255u8)
        .filter(|byte| set.contains(*byte))
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    folded.sort_unstable();
    folded.dedup();
    if folded.len() <= CLASS_MAX {
        return Info::exact(folded.into_iter().map(|byte| vec![byte]).collect());
    }
    Info {
        exact: None,
        literals: None,
        bytes: Some(set),
    }
}

fn concat(parts: impl Iterator<Item = Info>) -> Info {
    let mut all_exact = true;
    let mut run: Vec<Vec<u8>> = vec![Vec::new()];
    let mut literals = None;
    let mut bytes = None;
    for part in parts {
        bytes = better_bytes(bytes, part.bytes);
        match part.exact {
            Some(language) if language.len() * run.len() <= LITERALS_MAX => {
                let mut crossed = Vec::with_capacity(language.len() * run.len());
                for head in &run {
                    for tail in &language {
                        crossed.push([head.as_slice(), tail].concat());
                    }
                }
                run = crossed;
            }
            exact => {
                all_exact = false;
                literals = better_literals(literals, nonempty(run));
                match exact {
                    Some(language) => run = language,
                    None => {
                        literals = better_literals(literals, part.literals);
                        run = vec![Vec::new()];
                    }
                }
            }
        }
    }
    if all_exact {
        return Info {
            exact: Some(run),
            literals: None,
            bytes,
        };
    }
    Info {
        exact: None,
        literals: better_literals(literals, nonempty(run)),
        bytes,
    }
}

fn nonempty(language: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    (!language.is_empty() && language.iter().all(|text| !text.is_empty())).then_some(language)
}

fn alternation(parts: &[Hir]) -> Info {
    let infos: Vec<Info> = parts.iter().map(analyse).collect();
    let mut bytes = Some(ByteSet::EMPTY);
    for info in &infos {
        bytes = bytes.zip(info.bytes).map(|(mut set, more)| {
            set.extend(&more);
            set
        });
    }
    let total: usize = infos
        .iter()
        .map(|info| info.exact.as_ref().map_or(LITERALS_MAX + 1, Vec::len))
        .sum();
    if total <= LITERALS_MAX {
        let language = infos
            .into_iter()
            .filter_map(|info| info.exact)
            .flatten()
            .collect();
        return Info {
            exact: Some(language),
            literals: None,
            bytes,
        };
    }
    let mut literals = Some(Vec::new());
    for info in &infos {
        literals = literals
            .zip(info.required())
            .map(|(mut all, more): (Vec<Vec<u8>>, _)| {
                all.extend(more.iter().cloned());
                all
            });
    }
    Info {
        exact: None,
        literals: literals.filter(|all| all.len() <= 4 * LITERALS_MAX),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(pattern: &str) -> Option<Vec<String>> {
        let found = of_pattern(pattern).literals?;
        Some(
            found
                .into_iter()
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .collect(),
        )
    }

    #[test]
    fn required_literals_are_found() {
        let table: [(&str, Option<&[&str]>); 8] = [
            ("(?i)union\\s+select", Some(&["union"])),
            ("a(?:bc|de)f", Some(&["abcf", "adef"])),
            ("x*", None),
            ("[a-z]+", None),
            ("(?:foo|bar)+", Some(&["foo", "bar"])),
            ("fo?o", Some(&["fo"])),
            ("(?:foo|[a-z])", None),
            ("\\bfoo\\b", Some(&["foo"])),
        ];
        for (pattern, expected) in table {
            let expected: Option<Vec<String>> =
                expected.map(|all| all.iter().map(|text| (*text).to_owned()).collect());
            assert_eq!(literals(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn required_bytes_are_found() {
        let set = of_pattern("[a-z]+\\(").bytes.unwrap();
        assert!(set.contains(b'(') && set.len() == 1);
        assert!(of_pattern("x*").bytes.is_none());
        assert!(of_pattern("(?i)<").bytes.unwrap().contains(b'<'));
    }
}
