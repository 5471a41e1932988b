//! Byte ranges (RFC 9110 section 14): reading `Range` within bounds, fitting it to a length, and `Content-Range`.

use http::{HeaderMap, HeaderValue, header};

use crate::fields::Members;

/// Most ranges one request may ask for.
pub const RANGES_MAX: usize = 16;

/// One member of `Range`, positions in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, both included.
    Span {
        /// First position.
        first: u64,
        /// Last position, not less than the first.
        last: u64,
    },
    /// `first-`: to the end.
    From(u64),
    /// `-length`: that many at the end.
    Suffix(u64),
}

/// A non-empty stretch of bytes, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    /// First position.
    pub first: u64,
    /// Last position, not less than the first.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes; never 0.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a request's `Range` comes to before the length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// There is none, or it is not of bytes, or is not well-formed: answer with the whole (section 14.2).
    Whole,
    /// One range.
    One(RangeSpec),
    /// Two to [`RANGES_MAX`] ranges, in the order asked for.
    Several(Vec<RangeSpec>),
    /// More than [`RANGES_MAX`] ranges: answer 416 (section 14.2 lets a server reject many small ranges).
    TooMany,
}

/// Ranges fitted to a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitted {
    /// The whole: 200.
    Whole,
    /// One stretch: 206 with `Content-Range`.
    One(ByteRange),
    /// Several that neither overlap nor touch: 206 as `multipart/byteranges`, in the order asked for.
    Many(Vec<ByteRange>),
    /// None lies within, or there are too many: 416 (section 15.5.17).
    None,
}

impl RangeRequest {
    /// Reads `Range`; allocates only for several. `If-Range` and the method are the caller's to look at.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let mut lines = request.get_all(header::RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Self::Whole;
        };
        let Some((unit, set)) = line.as_bytes().trim_ascii().split_at_checked(6) else {
            return Self::Whole;
        };
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return Self::Whole;
        }
        let mut members = Members::of(set).map(parse_spec);
        let (Some(Some(first)), second) = (members.next(), members.next()) else {
            return Self::Whole;
        };
        let Some(second) = second else {
            return Self::One(first);
        };
        let mut specs = vec![first];
        for spec in std::iter::once(second).chain(members) {
            let Some(spec) = spec else { return Self::Whole };
            if specs.len() == RANGES_MAX {
                return Self::TooMany;
            }
            specs.push(spec);
        }
        Self::Several(specs)
    }

    /// Fits it to a representation of `total` bytes. Ranges that overlap or touch become one (section 15.3.7.2).
    #[must_use]
    pub fn fit(&self, total: u64) -> Fitted {
        let specs = match self {
            Self::Whole => return Fitted::Whole,
            Self::TooMany => return Fitted::None,
            Self::One(spec) => return spec.fit(total).map_or(Fitted::None, Fitted::One),
            Self::Several(specs) => specs,
        };
        let mut fitted = Vec::with_capacity(specs.len());
        for range in specs.iter().filter_map(|spec| spec.fit(total)) {
            merge_into(&mut fitted, range);
        }
        match fitted.as_slice() {
            [] => Fitted::None,
            [only] => Fitted::One(*only),
            _ => Fitted::Many(fitted),
        }
    }
}

impl RangeSpec {
    /// Fits it to a representation of `total` bytes; `None` when no byte of it lies within.
    #[must_use]
    pub fn fit(self, total: u64) -> Option<ByteRange> {
        let end = total.checked_sub(1)?;
        match self {
            Self::Span { first, last } if first <= end => Some(ByteRange {
                first,
                last: last.min(end),
            }),
            Self::From(first) if first <= end => Some(ByteRange { first, last: end }),
            Self::Suffix(length) if length > 0 => Some(ByteRange {
                first: total.saturating_sub(length),
                last: end,
            }),
            _ => None,
        }
    }
}

/// Joins a range with those it overlaps or touches; what results stands where the first of them stood.
fn merge_into(ranges: &mut Vec<ByteRange>, mut range: ByteRange) {
    let mut place = None;
    let mut index = 0;
    while let Some(&other) = ranges.get(index) {
        let is_apart = range.first > other.last.saturating_add(1)
            || other.first > range.last.saturating_add(1);
        if is_apart {
            index += 1;
            continue;
        }
        range = ByteRange {
            first: range.first.min(other.first),
            last: range.last.max(other.last),
        };
        ranges.remove(index);
        place.get_or_insert(index);
        // What was apart before may touch the longer range: look again.
        index = 0;
    }
    ranges.insert(place.unwrap_or(ranges.len()).min(ranges.len()), range);
}

fn parse_spec(member: &[u8]) -> Option<RangeSpec> {
    let dash = member.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(RangeSpec::Suffix(position(last)?)),
        (false, true) => Some(RangeSpec::From(position(first)?)),
        (false, false) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(RangeSpec::Span { first, last })
        }
    }
}

/// Digits only; what does not fit in 64 bits lies beyond every end.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

/// `Content-Range` (section 14.4) in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The stretch; `None` in a 416.
    pub range: Option<ByteRange>,
    /// Length of the whole; `None` when the sender did not know.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads it from a response; `None` when it is absent, there twice, not of bytes or invalid.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Option<Self> {
        let mut lines = response.get_all(header::CONTENT_RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        let (unit, rest) = line.as_bytes().trim_ascii().split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let (range, total) = (rest[..slash].trim_ascii(), rest[slash + 1..].trim_ascii());
        let total = if total == b"*" {
            None
        } else {
            Some(position(total)?)
        };
        if range == b"*" {
            return total.map(|total| Self {
                range: None,
                total: Some(total),
            });
        }
        let RangeSpec::Span { first, last } = parse_spec(range)? else {
            return None;
        };
        // At or beyond the end, or so great that it was not kept exactly: invalid.
        if last == u64::MAX || total.is_some_and(|total| last >= total) {
            return None;
        }
        Some(Self {
            range: Some(ByteRange { first, last }),
            total,
        })
    }

    /// Whether a body of `length` bytes is what this says. One that is not must be neither stored nor combined.
    #[must_use]
    pub fn agrees_with(&self, length: u64) -> bool {
        self.range.is_some_and(|range| range.length() == length)
    }

    /// As a field value: `bytes 0-499/1234`, `bytes 0-499/*`, `bytes */1234`.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let range = self.range.map_or_else(
            || "*".to_owned(),
            |range| format!("{}-{}", range.first, range.last),
        );
        let total = self
            .total
            .map_or_else(|| "*".to_owned(), |total| total.to_string());
        // Digits and punctuation: always a valid value.
        HeaderValue::try_from(format!("bytes {range}/{total}"))
            .unwrap_or(HeaderValue::from_static("bytes */*"))
    }
}

/// The value of `Range` that asks an origin for one stretch; `last` is `None` for all to the end.
#[must_use]
pub fn range_value(first: u64, last: Option<u64>) -> HeaderValue {
    let last = last.map_or_else(String::new, |last| last.to_string());
    HeaderValue::try_from(format!("bytes={first}-{last}"))
        .unwrap_or(HeaderValue::from_static("bytes=0-"))
}
