//! `CDN-Loop` (RFC 8586): the caches that a request has been through, so that it does not go round in a circle.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::{Members, members};

/// The field's name.
pub static CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The parameter that tells one run of a node from another, and from a node elsewhere that has the same name.
const RUN: &[u8] = b"run=";

/// A node's member of the list: its name and its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    id: String,
    run: String,
    value: HeaderValue,
}

impl Member {
    /// `id` is a host name or a pseudonym (section 2), `run` a token; nothing when they cannot stand in a field.
    #[must_use]
    pub fn new(id: &str, run: &str) -> Option<Self> {
        Some(Self {
            value: HeaderValue::try_from(format!("{id}; run={run}")).ok()?,
            id: id.to_owned(),
            run: run.to_owned(),
        })
    }

    /// What to append to the field.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Has a request with these fields been through here before? A member of the same name counts unless it is of another
    /// run: where two owners chose the same name for theirs, the request is on its way from one to the other.
    #[must_use]
    pub fn has_passed(&self, headers: &HeaderMap) -> bool {
        members(headers, &CDN_LOOP).any(|member| {
            let mut parts = Members::separated(member, b';');
            let is_named = parts
                .next()
                .is_some_and(|id| id.eq_ignore_ascii_case(self.id.as_bytes()));
            is_named
                && parts
                    .find_map(|parameter| parameter.strip_prefix(RUN))
                    .is_none_or(|run| run == self.run.as_bytes())
        })
    }
}
