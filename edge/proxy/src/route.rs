//! What kind of request it is.

use mcsp_api::media_path::{MEDIA_PREFIX, MediaPath};
use mcsp_api::{ContentId, Residency};

use crate::plain::PlainRequest;
use crate::public_calls::TokenUse;

/// A request, classified.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// `/media/{token}/…`: cached.
    Media(MediaRoute),
    /// `/api/v1/…`: routed, never cached.
    Api(ApiRoute),
    /// `/storage/{bucket}/{key}`: streamed through, never cached.
    Storage(StorageRoute),
    /// The viewer's page: cached as the origin says.
    Web(String),
    /// A plain origin: cached as the origin says.
    Plain(PlainRequest),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRoute {
    pub(crate) token: String,
    pub(crate) residency: Residency,
    pub(crate) content_id: ContentId,
    /// The path without its token: the cache key, and what the origin is asked.
    pub(crate) origin_path: String,
    /// Where `rest` begins in it.
    pub(crate) rest_at: usize,
    pub(crate) kind: MediaKind,
}

impl MediaRoute {
    /// A request for `path`, with the token that came with it.
    pub(crate) fn new(token: &str, path: MediaPath<'_>) -> Self {
        let kind = MediaKind::of(&path);
        let rest = path.rest;
        let steps = [path.residency.prefix(), path.content_id.as_str()];
        let bytes = steps.iter().map(|step| step.len() + 1).sum::<usize>();
        let mut origin_path = String::with_capacity(MEDIA_PREFIX.len() + bytes + rest.len());
        origin_path.push_str(MEDIA_PREFIX);
        for step in steps {
            origin_path.push_str(step);
            origin_path.push('/');
        }
        origin_path.push_str(rest);
        Self {
            token: token.to_owned(),
            residency: path.residency,
            rest_at: origin_path.len() - rest.len(),
            origin_path,
            content_id: path.content_id,
            kind,
        }
    }

    /// The origin's path of another part of the same item.
    pub(crate) fn origin_path_of(&self, rest: &str) -> String {
        let item = self.origin_path.get(..self.rest_at).unwrap_or_default();
        format!("{item}{rest}")
    }

    /// The path by which the same viewer would ask for another part of the same item.
    pub(crate) fn viewer_path_of(&self, rest: &str) -> String {
        let (residency, item) = (self.residency.prefix(), &self.content_id);
        format!("{MEDIA_PREFIX}{}/{residency}/{item}/{rest}", self.token)
    }

    /// Of the viewer's path that it was made of: what stands before the residency, with the slash.
    pub(crate) fn first_steps<'p>(&self, path: &'p str) -> &'p str {
        let rest_bytes = self.origin_path.len() - MEDIA_PREFIX.len();
        let end = path.len().saturating_sub(rest_bytes);
        path.get(..end).unwrap_or_default()
    }

    /// What of the item.
    pub(crate) fn rest(&self) -> &str {
        self.origin_path.get(self.rest_at..).unwrap_or_default()
    }
}

/// Decides a media object's life where its origin does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Manifest,
    Segment,
    Art,
}

impl MediaKind {
    pub(crate) fn of(path: &MediaPath<'_>) -> Self {
        if path.is_manifest() {
            Self::Manifest
        } else if path.rest.starts_with("art/") {
            Self::Art
        } else {
            Self::Segment
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiRoute {
    pub(crate) path: String,
    pub(crate) token_use: TokenUse,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageRoute {
    pub(crate) residency: Residency,
    pub(crate) content_id: ContentId,
    /// Path and query without `/storage`, byte for byte as the client sent them: they are signed.
    pub(crate) signed_path_and_query: String,
    pub(crate) is_presigned: bool,
}

impl Route {
    /// The route's label in metrics and logs.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Media(media) => match media.kind {
                MediaKind::Manifest => "media-manifest",
                MediaKind::Segment => "media-segment",
                MediaKind::Art => "media-art",
            },
            Self::Api(_) => "api",
            Self::Storage(_) => "storage",
            Self::Web(_) => "web",
            Self::Plain(plain) => &plain.route.name,
        }
    }

    /// May pages of other origins read the answer?
    pub(crate) fn is_cross_origin(&self) -> bool {
        matches!(self, Self::Media(_) | Self::Storage(_))
    }

    pub(crate) fn is_media(&self) -> bool {
        matches!(self, Self::Media(_))
    }
}

#[cfg(test)]
mod fuzz;
