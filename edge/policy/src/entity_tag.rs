//! Entity tags (RFC 9110 section 8.8.3).
//!
//! Tags without quotes are taken for weak ones: origins and clients exist that forget them, and what so breaks the syntax
//! is not to be trusted to tell bytes apart.

/// One entity tag, as it stands in a field.
#[derive(Clone, Copy, Debug)]
pub struct EntityTag<'a> {
    raw: &'a [u8],
    opaque: &'a [u8],
    is_weak: bool,
}

impl<'a> EntityTag<'a> {
    /// Reads the value of `ETag`, or one member of `If-None-Match`. `None` when there is nothing in it.
    #[must_use]
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let raw = raw.trim_ascii();
        let (is_marked, tag) = match raw {
            [b'W' | b'w', b'/', rest @ ..] => (true, rest),
            _ => (false, raw),
        };
        let (is_quoted, opaque) = match tag {
            [b'"', inner @ .., b'"'] => (true, inner),
            _ => (false, tag),
        };
        let is_weak = is_marked || !is_quoted;
        (!raw.is_empty()).then_some(Self {
            raw,
            opaque,
            is_weak,
        })
    }

    /// Whether it is marked weak, or has no quotes.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }

    /// Strong comparison (section 8.8.3.2): neither is weak.
    #[must_use]
    pub fn matches_strongly(&self, other: &EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Weak comparison (section 8.8.3.2).
    #[must_use]
    pub fn matches_weakly(&self, other: &EntityTag<'_>) -> bool {
        self.raw == other.raw || self.opaque == other.opaque
    }
}
