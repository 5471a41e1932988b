//! `Cache-Status` (RFC 9211): what this cache did with a request.

use std::fmt::{self, Display, Formatter, Write as _};

/// The field's name.
pub static CACHE_STATUS: http::HeaderName = http::HeaderName::from_static("cache-status");

/// Why a request went forward (section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache is set up not to handle it.
    Bypass,
    /// Its method goes to the origin.
    Method,
    /// Nothing is stored for its URI.
    UriMiss,
    /// There is something for its URI, but no variant for its fields.
    VaryMiss,
    /// Nothing is stored, and which of the two it is, is not known.
    Miss,
    /// There is a fresh response, and the request asks for validation.
    Request,
    /// The stored response is stale.
    Stale,
    /// The stored response lacks bytes that were asked for.
    Partial,
}

impl Forward {
    /// The token of section 2.2.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// One cache's member of the list. It displays as the field's value, with no allocation but the writer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The cache's name; written as a token when it is one, else as a string.
    pub cache: &'a str,
    /// Served without going forward (section 2.1).
    pub hit: bool,
    /// Why it went forward; not together with `hit`.
    pub forward: Option<Forward>,
    /// Status the next hop answered with (section 2.3).
    pub forward_status: Option<u16>,
    /// Remaining freshness in seconds, negative when stale (section 2.4).
    pub ttl_s: Option<i64>,
    /// The response was stored (section 2.5).
    pub stored: bool,
    /// The request waited for another's (section 2.6).
    pub collapsed: bool,
    /// The cache key (section 2.7); leave it out where it could tell of other users.
    pub key: Option<&'a str>,
    /// Our own words (section 2.8).
    pub detail: Option<&'a str>,
}

impl Display for CacheStatus<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        token_or_string(out, self.cache)?;
        if self.hit {
            out.write_str("; hit")?;
        }
        if let Some(forward) = self.forward {
            write!(out, "; fwd={}", forward.token())?;
        }
        if let Some(status) = self.forward_status {
            write!(out, "; fwd-status={status}")?;
        }
        if let Some(ttl_s) = self.ttl_s {
            write!(out, "; ttl={ttl_s}")?;
        }
        if self.stored {
            out.write_str("; stored")?;
        }
        if self.collapsed {
            out.write_str("; collapsed")?;
        }
        if let Some(key) = self.key {
            out.write_str("; key=")?;
            string(out, key)?;
        }
        if let Some(detail) = self.detail {
            out.write_str("; detail=")?;
            token_or_string(out, detail)?;
        }
        Ok(())
    }
}

/// RFC 8941 sections 3.3.3 and 3.3.4.
pub(crate) fn token_or_string(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let is_token = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
    if is_token {
        out.write_str(text)
    } else {
        string(out, text)
    }
}

/// A string; what cannot stand in one is written as a question mark.
pub(crate) fn string(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.write_char('\\')?;
                out.write_char(character)?;
            }
            ' '..='~' => out.write_char(character)?,
            _ => out.write_char('?')?,
        }
    }
    out.write_char('"')
}
