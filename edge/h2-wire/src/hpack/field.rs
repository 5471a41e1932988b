//! What a block is decoded to.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// Fields that are none of HTTP's (RFC 9113 section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pseudo {
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
}

/// A field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// One that begins with a colon.
    Pseudo(Pseudo),
    /// Any other, in lower case.
    Plain(HeaderName),
    /// None that a field may have (RFC 9113 section 8.2.1), or an unknown one that begins with a colon.
    Malformed,
}

impl Name {
    pub(super) fn of(text: &[u8]) -> Self {
        if text.first() == Some(&b':') {
            return match text {
                b":authority" => Self::Pseudo(Pseudo::Authority),
                b":method" => Self::Pseudo(Pseudo::Method),
                b":path" => Self::Pseudo(Pseudo::Path),
                b":protocol" => Self::Pseudo(Pseudo::Protocol),
                b":scheme" => Self::Pseudo(Pseudo::Scheme),
                b":status" => Self::Pseudo(Pseudo::Status),
                _ => Self::Malformed,
            };
        }
        HeaderName::from_lowercase(text).map_or(Self::Malformed, Self::Plain)
    }
}

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a pseudo field: any octets.
    Pseudo(Bytes),
    /// Of any other: octets that a field's value may have. Marked as sensitive where no table may have it, here or further
    /// on (RFC 7541 section 6.2.3).
    Plain(HeaderValue),
    /// It has octets that no field's value may have, or blanks at its ends (RFC 9113 section 8.2.1).
    Malformed,
}

impl Value {
    pub(super) fn of(name: &Name, text: Bytes) -> Self {
        match name {
            Name::Pseudo(_) => Self::Pseudo(text),
            Name::Malformed => Self::Malformed,
            Name::Plain(_) if has_blank_ends(&text) => Self::Malformed,
            Name::Plain(_) => {
                HeaderValue::from_maybe_shared(text).map_or(Self::Malformed, Self::Plain)
            }
        }
    }

    pub(super) fn never_index(&mut self) {
        if let Self::Plain(value) = self {
            value.set_sensitive(true);
        }
    }
}

fn has_blank_ends(text: &[u8]) -> bool {
    let is_blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    is_blank(text.first()) || is_blank(text.last())
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
}
