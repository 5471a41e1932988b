//! What a purge names and what it did.

use std::sync::Arc;

use pingora_cache::key::HashBinary;

use crate::legacy::object::Subject;

/// What a purge is aimed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeSelector {
    /// One cache key, such as `/media/global/c_ng_…/manifest.m3u8`.
    Key(Arc<str>),
    /// Every key that begins with this.
    Prefix(Arc<str>),
    /// Every object whose response named this surrogate key.
    SurrogateKey(Arc<str>),
    /// All there is.
    Everything,
}

impl PurgeSelector {
    /// The selector's kind, for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Prefix(_) => "prefix",
            Self::SurrogateKey(_) => "surrogate_key",
            Self::Everything => "everything",
        }
    }
}

/// A purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// What it is aimed at.
    pub selector: PurgeSelector,
    /// True makes objects stale (they may be revalidated), false removes them.
    pub soft: bool,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeReport {
    /// The generation that it opened.
    pub generation: u64,
    /// Objects removed or made stale.
    pub objects: usize,
    /// Fills in flight that will not be admitted.
    pub fills: usize,
}

/// [`PurgeSelector`], and the form by hash that pingora uses.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Named(PurgeSelector),
    Hash(HashBinary),
}

impl Target {
    pub(crate) fn matches(&self, subject: &Subject) -> bool {
        match self {
            Self::Hash(hash) => *hash == subject.hash,
            Self::Named(PurgeSelector::Key(key)) => *key == subject.path,
            Self::Named(PurgeSelector::Prefix(prefix)) => subject.path.starts_with(&**prefix),
            Self::Named(PurgeSelector::SurrogateKey(tag)) => subject.tags.contains(tag),
            Self::Named(PurgeSelector::Everything) => true,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Named(selector) => selector.kind(),
            Self::Hash(_) => "key",
        }
    }
}
