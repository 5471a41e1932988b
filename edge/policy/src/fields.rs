//! Pieces of field syntax that several fields share (RFC 9110 section 5.6).

use http::{HeaderMap, HeaderName};

/// The greatest delta-seconds kept; greater ones count as this (RFC 9111 section 1.2.2).
pub const DELTA_SECONDS_MAX: u32 = 1 << 31;

/// The members of a comma-separated list, trimmed, empty ones left out; commas inside quoted strings do not split.
/// A quoted string that is not closed runs to the end.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Members<'a> {
    /// Splits one field line at commas.
    #[must_use]
    pub fn of(line: &'a [u8]) -> Self {
        Self::separated(line, b',')
    }

    /// Splits one field line at `separator`.
    #[must_use]
    pub fn separated(line: &'a [u8], separator: u8) -> Self {
        Self {
            rest: line,
            separator,
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = unquoted_position(self.rest, self.separator).unwrap_or(self.rest.len());
            let (member, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// The members of all lines of a list field, in order (RFC 9110 section 5.3).
pub fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| Members::of(line.as_bytes()))
}

/// Where `wanted` first stands outside quoted strings.
pub(crate) fn unquoted_position(value: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, &byte) in value.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == wanted {
            return Some(index);
        } else if byte == b'"' {
            quoted = true;
        }
    }
    None
}

/// The content of a quoted string with no escapes in it, or the value itself when it is not quoted.
///
/// Directive arguments and entity tags never need an escape; one that has any is returned with its quotes and so is
/// not understood.
pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => inner,
        _ => value,
    }
}

/// A non-negative whole number of seconds, at most [`DELTA_SECONDS_MAX`]; `None` for anything else.
#[must_use]
pub fn delta_seconds(value: &[u8]) -> Option<u32> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u32, |total, digit| {
        digit.is_ascii_digit().then(|| {
            total
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
                .min(DELTA_SECONDS_MAX)
        })
    })
}
