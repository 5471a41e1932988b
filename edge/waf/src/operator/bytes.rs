//! Encodings.

use crate::transform::hex_pair;

/// Whether a `%` is not followed by two hexadecimal digits.
pub(super) fn has_broken_escape(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).any(|at| hex_pair(value, at + 1).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_are_seen() {
        for (value, broken) in [
            (&b"a%20b"[..], false),
            (b"%", true),
            (b"%2", true),
            (b"%zz", true),
            (b"", false),
        ] {
            assert_eq!(has_broken_escape(value), broken, "{value:?}");
        }
    }
}
