//! Operators: what a rule asks of a value.

mod bytes;
mod injection;
mod phrases;
mod text;

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

pub(crate) use phrases::{Phrases, lines as phrase_lines, words as phrase_words};
pub(crate) use text::{Comparison, TextTest, leading_number};

use crate::bytemap::ByteSet;
use crate::pattern::{Groups, Pattern};

/// A compiled operator. Those with an argument that depends on the transaction get it when they run.
#[derive(Debug)]
pub(crate) enum Operator {
    /// `unconditionalMatch`
    Always,
    /// `noMatch`, and `rbl` (which would wait for a network; loading says so).
    Never,
    /// `rx`
    Pattern(Pattern),
    /// `rx` with a macro in it; compiled when it runs.
    PatternOfArgument,
    /// `pm`, `pmFromFile`
    Phrases(Box<Phrases>),
    /// `eq`, `ne`, `lt`, `le`, `gt`, `ge`
    Compare(Comparison),
    /// `streq`, `contains`, …
    Text(TextTest),
    /// `validateByteRange`: the bytes that are allowed.
    ByteRange(ByteSet),
    /// `validateUrlEncoding`
    UrlEncoding,
    /// `validateUtf8Encoding`
    Utf8Encoding,
    /// `ipMatch`, `ipMatchFromFile`
    Networks(Vec<IpNet>),
    /// `detectSQLi`
    SqlInjection,
    /// `detectXSS`
    Scripting,
    /// `geoLookup`: true if the country is known; the caller of the engine has looked it up.
    Country,
    /// `faultPanic`: a fault of the engine itself, where a value contains the argument.
    #[cfg(all(feature = "fault-injection", debug_assertions))]
    Fault,
    /// `faultHold`: an engine that takes long, as long as there is a file of the argument's name.
    #[cfg(all(feature = "fault-injection", debug_assertions))]
    Hold,
}

/// A match.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// Without a place.
    Whole,
    /// With groups, by ranges of the value.
    Groups(Groups),
    /// With a text for `TX.0`.
    Text(Vec<u8>),
}

impl Operator {
    /// Looks at a value. `argument` is the operator's argument with its macros resolved.
    pub(crate) fn test(&self, value: &[u8], argument: &[u8], capture: bool) -> Option<Hit> {
        let whole = |matched: bool| matched.then_some(Hit::Whole);
        match self {
            Self::Always => Some(Hit::Whole),
            Self::Never | Self::Country => None,
            Self::Pattern(pattern) => {
                if !pattern.is_match(value) {
                    return None;
                }
                match capture {
                    // It matches, also where the groups are more than it has steps for.
                    true => Some(pattern.captures(value).map_or(Hit::Whole, Hit::Groups)),
                    false => Some(Hit::Whole),
                }
            }
            Self::PatternOfArgument => {
                let source = std::str::from_utf8(argument).ok()?;
                whole(Pattern::compile(source).ok()?.is_match(value))
            }
            Self::Phrases(phrases) => phrases
                .find(value)
                .map(|range| Hit::Groups(vec![Some(range)])),
            Self::Compare(comparison) => {
                whole(comparison.holds(leading_number(value), leading_number(argument)))
            }
            Self::Text(test) => whole(test.holds(value, argument)),
            Self::ByteRange(allowed) => whole(!allowed.covers(&ByteSet::of(value))),
            Self::UrlEncoding => whole(bytes::has_broken_escape(value)),
            Self::Utf8Encoding => whole(std::str::from_utf8(value).is_err()),
            Self::Networks(networks) => {
                let address = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| IpAddr::from_str(text).ok())?;
                whole(
                    networks
                        .iter()
                        .any(|network| network.contains(&address.to_canonical())),
                )
            }
            Self::SqlInjection => injection::sql(value).map(Hit::Text),
            Self::Scripting => whole(injection::scripting(value)),
            #[cfg(all(feature = "fault-injection", debug_assertions))]
            Self::Fault => fault(value, argument),
            #[cfg(all(feature = "fault-injection", debug_assertions))]
            Self::Hold => hold(argument),
        }
    }
}

#[cfg(all(feature = "fault-injection", debug_assertions))]
fn hold(path: &[u8]) -> Option<Hit> {
    let path = String::from_utf8_lossy(path);
    let began = std::time::Instant::now();
    // Whoever waits for it can see that it has begun.
    let _ = std::fs::write(format!("{path}.begun"), "");
    // Also where whoever was to take it away has failed.
    while std::path::Path::new(&*path).exists() && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    None
}

#[cfg(all(feature = "fault-injection", debug_assertions))]
#[allow(clippy::panic)] // It is what it is for.
fn fault(value: &[u8], argument: &[u8]) -> Option<Hit> {
    if TextTest::Contains.holds(value, argument) {
        panic!("a fault that a rule asks for");
    }
    None
}

/// `1-255,10` to a set.
pub(crate) fn byte_ranges(text: &str) -> Option<ByteSet> {
    let mut set = ByteSet::EMPTY;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last {
            return None;
        }
        set = set.with_range(first, last);
    }
    Some(set)
}

/// Addresses and networks, separated by commas or line ends.
pub(crate) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let parts = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty() && !part.starts_with('#'));
    parts
        .map(|part| {
            IpNet::from_str(part)
                .ok()
                .or_else(|| IpAddr::from_str(part).ok().map(IpNet::from))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_networks_are_read() {
        let set = byte_ranges("1-3, 255").unwrap();
        assert!(set.contains(2) && set.contains(255) && !set.contains(4) && !set.contains(0));
        assert!(byte_ranges("3-1").is_none() && byte_ranges("256").is_none());
        assert!(networks("10.0.0.0/8,::1").is_some() && networks("x").is_none());
    }

    #[test]
    fn operators_look_at_bytes() {
        let yes = |operator: &Operator, value: &[u8], argument: &[u8]| {
            operator.test(value, argument, true).is_some()
        };
        assert!(yes(
            &Operator::Networks(networks("10.0.0.0/8").unwrap()),
            b"10.1.2.3",
            b""
        ));
        assert!(!yes(
            &Operator::Networks(networks("10.0.0.0/8").unwrap()),
            b"11.1.2.3",
            b""
        ));
        assert!(yes(
            &Operator::ByteRange(byte_ranges("32-126").unwrap()),
            b"a\0",
            b""
        ));
        assert!(!yes(
            &Operator::ByteRange(byte_ranges("32-126").unwrap()),
            b"",
            b""
        ));
        assert!(
            yes(&Operator::Utf8Encoding, b"\xc0\xaf", b"")
                && !yes(&Operator::Utf8Encoding, "é".as_bytes(), b"")
        );
        assert!(yes(
            &Operator::PatternOfArgument,
            b"utf-8",
            b"^(?:utf-8|x)$"
        ));
        assert!(!yes(&Operator::PatternOfArgument, b"utf-8", b"("));
        assert!(
            yes(&Operator::SqlInjection, b"1' or 1=1 --", b"")
                && !yes(&Operator::SqlInjection, b"hello", b"")
        );
        assert!(
            yes(&Operator::Scripting, b"<script>alert(1)</script>", b"")
                && !yes(&Operator::Scripting, b"a<b", b"")
        );
    }
}
