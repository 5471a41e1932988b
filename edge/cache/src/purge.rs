//! What a purge names and what it did.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::entity::Subject;

/// What a purge is aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeSelector {
    /// One cache key with all its variants, such as `/media/global/c_ng_…/manifest.m3u8`.
    Key(Arc<str>),
    /// Every key that begins with this.
    Prefix(Arc<str>),
    /// Every response that named this surrogate key.
    SurrogateKey(Arc<str>),
    /// Every response about this content: by its surrogate key, or by its place in a media key
    /// (`/media/{residency}/{content_id}/…`).
    ContentId(Arc<str>),
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
            Self::ContentId(_) => "content_id",
            Self::Everything => "everything",
        }
    }

    pub(crate) fn matches(&self, subject: &Subject) -> bool {
        let text = subject.key.text();
        match self {
            Self::Key(key) => key == text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::SurrogateKey(tag) => subject.tags.contains(tag),
            Self::ContentId(id) => subject.tags.contains(id) || content_of(text) == Some(&**id),
            Self::Everything => true,
        }
    }
}

/// The content id of a media key.
pub(crate) fn content_of(text: &str) -> Option<&str> {
    let mut parts = text.strip_prefix("/media/")?.splitn(3, '/');
    let _residency = parts.next()?;
    let id = parts.next()?;
    parts.next().map(|_| id)
}

/// A purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// What it is aimed at.
    pub selector: PurgeSelector,
    /// True makes responses stale (they may be revalidated), false removes them.
    pub soft: bool,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeReport {
    /// The generation that it opened.
    pub generation: u64,
    /// Stored responses removed from memory or made stale. What the disk alone has is found out when it is asked for.
    pub objects: usize,
    /// Fills in flight that will not be stored.
    pub fills: usize,
}
