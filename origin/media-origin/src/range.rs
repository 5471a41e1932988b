//! The `Range` header (RFC 9110 section 14.2).

use std::ops::Range;

/// Which bytes are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All: no range, one that is malformed or of another unit, or more than one (section 14.2 allows both).
    Whole,
    /// These.
    Part(Range<u64>),
    /// The range begins behind the end.
    Unsatisfiable,
}

/// Reads a `Range` value for an object of `size_bytes`.
pub(crate) fn select(value: &str, size_bytes: u64) -> Selection {
    let Some((first, last)) = value
        .strip_prefix("bytes=")
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Selection::Whole;
    };
    let number = |text: &str| {
        let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (first, last, number(first), number(last)) {
        ("", _, _, Some(0)) => Selection::Unsatisfiable,
        ("", _, _, Some(_)) if size_bytes == 0 => Selection::Unsatisfiable,
        ("", _, _, Some(suffix)) => Selection::Part(size_bytes.saturating_sub(suffix)..size_bytes),
        (_, "", Some(first), _) if first >= size_bytes => Selection::Unsatisfiable,
        (_, "", Some(first), _) => Selection::Part(first..size_bytes),
        (_, _, Some(first), Some(last)) if first > last => Selection::Whole,
        (_, _, Some(first), Some(_)) if first >= size_bytes => Selection::Unsatisfiable,
        (_, _, Some(first), Some(last)) => {
            Selection::Part(first..last.saturating_add(1).min(size_bytes))
        }
        _ => Selection::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_cut_to_the_object() {
        assert_eq!(select("bytes=0-9", 100), Selection::Part(0..10));
        assert_eq!(select("bytes=90-", 100), Selection::Part(90..100));
        assert_eq!(select("bytes=90-500", 100), Selection::Part(90..100));
        assert_eq!(select("bytes=-10", 100), Selection::Part(90..100));
        assert_eq!(select("bytes=-500", 100), Selection::Part(0..100));
        assert_eq!(
            select("bytes=0-18446744073709551615", 100),
            Selection::Part(0..100)
        );
    }

    #[test]
    fn a_range_behind_the_end_cannot_be_had() {
        for (value, size) in [
            ("bytes=100-", 100),
            ("bytes=100-200", 100),
            ("bytes=-0", 100),
            ("bytes=-5", 0),
            ("bytes=0-", 0),
        ] {
            assert_eq!(
                select(value, size),
                Selection::Unsatisfiable,
                "{value} of {size}"
            );
        }
    }

    #[test]
    fn what_is_no_single_range_is_the_whole() {
        for value in [
            "bytes=0-1,5-6",
            "bytes=9-5",
            "bytes=a-b",
            "bytes=-",
            "bytes=+1-2",
            "items=0-1",
            "",
            "0-1",
        ] {
            assert_eq!(select(value, 100), Selection::Whole, "{value}");
        }
    }
}
