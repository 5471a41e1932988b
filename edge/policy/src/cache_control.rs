//! `Cache-Control` (RFC 9111 section 5.2), as lenient as a cache may be and no more.
//!
//! A directive that appears twice counts as it stood first; a lifetime that is not a number makes the response stale
//! (section 4.2.1); a restriction is honoured even when it is badly written.

use http::{HeaderMap, HeaderName, header};

use crate::fields::{Members, delta_seconds, members, unquote, unquoted_position};

/// What a restriction applies to (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is absent.
    #[default]
    Absent,
    /// The whole response.
    Whole,
    /// Only these fields of it.
    Fields(Vec<HeaderName>),
}

impl Scope {
    /// Whether the whole response is meant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields meant, when it is not the whole response.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }

    /// Reads the argument of a directive. One that names no field, or something that is no field name, restricts all.
    pub(crate) fn widen(&mut self, argument: Option<&[u8]>) {
        if self.is_whole() {
            return;
        }
        let mut names = Vec::new();
        for member in argument
            .into_iter()
            .flat_map(|argument| Members::of(unquote(argument)))
        {
            let Ok(name) = HeaderName::from_bytes(member) else {
                *self = Self::Whole;
                return;
            };
            names.push(name);
        }
        match self {
            _ if names.is_empty() => *self = Self::Whole,
            Self::Fields(known) => known.extend(names),
            _ => *self = Self::Fields(names),
        }
    }
}

/// The directives of a response that a shared cache acts on. Lifetimes are in seconds, at most 2^31; one that could
/// not be read is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store` (5.2.2.5).
    pub no_store: bool,
    /// `no-cache` (5.2.2.4).
    pub no_cache: Scope,
    /// `private` (5.2.2.7).
    pub private: Scope,
    /// `public` (5.2.2.9).
    pub public: bool,
    /// `must-revalidate` (5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (5.2.2.8).
    pub proxy_revalidate: bool,
    /// `must-understand` (5.2.2.3).
    pub must_understand: bool,
    /// `no-transform` (5.2.2.6).
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `max-age` (5.2.2.1).
    pub max_age_s: Option<u32>,
    /// `s-maxage` (5.2.2.10).
    pub s_maxage_s: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861 section 3); one that could not be read is absent.
    pub stale_while_revalidate_s: Option<u32>,
    /// `stale-if-error` (RFC 5861 section 4); one that could not be read is absent.
    pub stale_if_error_s: Option<u32>,
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` lines of a response.
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for member in members(headers, &header::CACHE_CONTROL) {
            directives.add(&Directive::split(member));
        }
        directives
    }

    fn add(&mut self, directive: &Directive<'_>) {
        let name = directive.name;
        if name.eq_ignore_ascii_case(b"max-age") {
            self.max_age_s
                .get_or_insert(directive.seconds().unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"s-maxage") {
            self.s_maxage_s
                .get_or_insert(directive.seconds().unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"stale-while-revalidate") {
            self.stale_while_revalidate_s = self.stale_while_revalidate_s.or(directive.seconds());
        } else if name.eq_ignore_ascii_case(b"stale-if-error") {
            self.stale_if_error_s = self.stale_if_error_s.or(directive.seconds());
        } else if name.eq_ignore_ascii_case(b"no-cache") {
            self.no_cache.widen(directive.argument);
        } else if name.eq_ignore_ascii_case(b"private") {
            self.private.widen(directive.argument);
        } else if let Some(flag) = self.flag(name) {
            *flag = true;
        }
    }

    /// The directive without an argument of that name.
    pub(crate) fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        let flags: [(&[u8], &mut bool); 7] = [
            (b"no-store", &mut self.no_store),
            (b"public", &mut self.public),
            (b"must-revalidate", &mut self.must_revalidate),
            (b"proxy-revalidate", &mut self.proxy_revalidate),
            (b"must-understand", &mut self.must_understand),
            (b"no-transform", &mut self.no_transform),
            (b"immutable", &mut self.immutable),
        ];
        flags
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, flag)| flag)
    }
}

/// The directives of a request (RFC 9111 section 5.2.1). They are advice: a route says whether it takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-store` (5.2.1.5).
    pub no_store: bool,
    /// `no-cache` (5.2.1.4).
    pub no_cache: bool,
    /// `only-if-cached` (5.2.1.7): answer 504 rather than ask the origin.
    pub only_if_cached: bool,
    /// `no-transform` (5.2.1.6).
    pub no_transform: bool,
    /// `max-age` (5.2.1.1), seconds.
    pub max_age_s: Option<u32>,
    /// `min-fresh` (5.2.1.3), seconds.
    pub min_fresh_s: Option<u32>,
    /// `max-stale` (5.2.1.2), seconds; without an argument [`u32::MAX`]: however stale.
    pub max_stale_s: Option<u32>,
}

impl RequestDirectives {
    /// Reads all `Cache-Control` lines of a request; does not allocate. `Pragma` is not looked at (section 5.4).
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for member in members(headers, &header::CACHE_CONTROL) {
            let directive = Directive::split(member);
            let name = directive.name;
            if name.eq_ignore_ascii_case(b"max-age") {
                directives.max_age_s = directives.max_age_s.or(directive.seconds());
            } else if name.eq_ignore_ascii_case(b"min-fresh") {
                directives.min_fresh_s = directives.min_fresh_s.or(directive.seconds());
            } else if name.eq_ignore_ascii_case(b"max-stale") {
                let limit = if directive.argument.is_none() {
                    Some(u32::MAX)
                } else {
                    directive.seconds()
                };
                directives.max_stale_s = directives.max_stale_s.or(limit);
            } else if name.eq_ignore_ascii_case(b"no-store") {
                directives.no_store = true;
            } else if name.eq_ignore_ascii_case(b"no-cache") {
                directives.no_cache = true;
            } else if name.eq_ignore_ascii_case(b"only-if-cached") {
                directives.only_if_cached = true;
            } else if name.eq_ignore_ascii_case(b"no-transform") {
                directives.no_transform = true;
            }
        }
        directives
    }
}

/// One `name[=argument]`.
struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
    /// White space around `=` is not in the grammar: a number there is not believed, a restriction is.
    spaced: bool,
}

impl<'a> Directive<'a> {
    fn split(member: &'a [u8]) -> Self {
        let Some(equals) = unquoted_position(member, b'=') else {
            return Self {
                name: member,
                argument: None,
                spaced: false,
            };
        };
        let (name, argument) = (&member[..equals], &member[equals + 1..]);
        let spaced =
            name.trim_ascii().len() != name.len() || argument.trim_ascii().len() != argument.len();
        Self {
            name: name.trim_ascii(),
            argument: Some(argument.trim_ascii()),
            spaced,
        }
    }

    fn seconds(&self) -> Option<u32> {
        if self.spaced {
            None
        } else {
            delta_seconds(unquote(self.argument?))
        }
    }
}
