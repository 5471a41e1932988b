//! Whom a node asks for what its cache lacks.

use std::sync::Arc;

use http::HeaderValue;
use http::response::Parts;
use mcsp_api::Residency;
use mcsp_api::headers::PRIVATE_PREFIX;
use mcsp_edge_fetch::{
    FEED_POSITION, FETCHED_AHEAD, FetchError, FetchErrorKind, FetchRequest, OnInterim,
    ParentRequest, ParentTry, ParentWord, PeerIdentity, Response, Target, shard_hash,
};
use mcsp_edge_policy::cache_status::CACHE_STATUS;

use super::parents::RegionParents;
use crate::edge::Edge;

/// The way to an object: by the parents of its region, where there are any, else to an origin.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    origin: Target,
    by: Option<ByParents>,
}

#[derive(Debug, Clone)]
struct ByParents {
    known: Arc<RegionParents>,
    identity: Arc<PeerIdentity>,
    /// What its home among the parents is told by.
    object: u64,
    residency: Residency,
    is_ahead: bool,
}

/// By which way an answer came, noted in its extensions.
#[derive(Debug, Clone)]
enum Came {
    FromParent {
        word: ParentWord,
        /// What the caches above this one said of it.
        cache_status: Vec<HeaderValue>,
    },
    PastParents,
}

impl Way {
    /// To the origin, past nobody.
    pub(crate) fn to_origin(origin: Target) -> Self {
        Self { origin, by: None }
    }

    /// By parents, to whom this node is `identity`, for the object of a cache key.
    pub(crate) fn by_parents(
        origin: Target,
        known: Arc<RegionParents>,
        identity: Arc<PeerIdentity>,
        key: &str,
        residency: Residency,
    ) -> Self {
        Self {
            origin,
            by: Some(ByParents {
                known,
                identity,
                object: shard_hash(key.as_bytes()),
                residency,
                is_ahead: false,
            }),
        }
    }

    /// For what no viewer waits for: parents fetch it only where they have room.
    pub(crate) fn ahead(mut self) -> Self {
        if let Some(by) = &mut self.by {
            by.is_ahead = true;
        }
        self
    }

    /// The answer, once its head is here; see [`mcsp_edge_fetch::Fetcher::fetch`].
    pub(crate) async fn fetch(
        &self,
        edge: &Edge,
        request: &FetchRequest,
        on_interim: OnInterim<'_>,
    ) -> Result<Response, FetchError> {
        let Some(by) = &self.by else {
            return edge.fetcher.fetch(request, &self.origin, on_interim).await;
        };
        let why = match Box::pin(by.ask(edge, request, on_interim)).await {
            Ok(response) => return Ok(response),
            Err(why) => why,
        };
        if why == ParentWord::Later.as_str() {
            return Err(FetchErrorKind::Overloaded.into());
        }
        edge.metrics.shield.fell_back(&by.known.region, why);
        let mut response = edge
            .fetcher
            .fetch(request, &self.origin, on_interim)
            .await?;
        response.head.extensions.insert(Came::PastParents);
        Ok(response)
    }
}

impl ByParents {
    /// A parent's answer, or why there is none.
    async fn ask(
        &self,
        edge: &Edge,
        request: &FetchRequest,
        on_interim: OnInterim<'_>,
    ) -> Result<Response, &'static str> {
        // Read after the cache's generation was taken: what the parent may have of older purges is not stored here.
        let position = edge.feed.progress().demanded().ok_or("unknown")?;
        let position = HeaderValue::try_from(position.to_string()).map_err(|_| "unknown")?;
        let mut request = request.clone();
        request.headers.insert(&FEED_POSITION, position);
        if self.is_ahead {
            let mark = HeaderValue::from_static("1");
            request.headers.insert(&FETCHED_AHEAD, mark);
        }
        let asked = ParentRequest {
            request: &request,
            object: self.object,
            may_ask: &|id| self.known.may_carry(id, self.residency),
        };
        let parents = &self.known.parents;
        let found = edge
            .fetcher
            .fetch_from_parents(asked, parents, &self.identity, on_interim)
            .await;
        let region = &self.known.region;
        edge.metrics.shield.tried(region, &found.tries);
        match (found.answer, found.tries.last()) {
            (Some(mut response), Some(ParentTry::Said(word))) => {
                note(&mut response.head, *word);
                Ok(response)
            }
            (_, Some(last)) => Err(last.label()),
            (_, None) => Err("none"),
        }
    }
}

/// Takes out of an answer what is said between nodes, and what speaks of this one exchange.
fn note(head: &mut Parts, word: ParentWord) {
    let cache_status = head
        .headers
        .get_all(&CACHE_STATUS)
        .iter()
        .cloned()
        .collect();
    head.headers.remove(&CACHE_STATUS);
    let private: Vec<_> = head
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with(PRIVATE_PREFIX))
        .cloned()
        .collect();
    for name in private {
        head.headers.remove(name);
    }
    head.extensions
        .insert(Came::FromParent { word, cache_status });
}

/// Does a parent's answer only stand in for what its origin should have said?
pub(crate) fn is_stand_in(head: &Parts) -> bool {
    let came = head.extensions.get::<Came>();
    matches!(
        came,
        Some(Came::FromParent {
            word: ParentWord::Stale,
            ..
        })
    )
}

/// What the caches above this one said of an answer (RFC 9211 section 2): for whoever caused it, and not kept with it.
pub(crate) fn told_by_parent(head: &Parts) -> &[HeaderValue] {
    match head.extensions.get::<Came>() {
        Some(Came::FromParent { cache_status, .. }) => cache_status,
        _ => &[],
    }
}

/// A word for `Cache-Status`, where an answer did not come as it should have.
pub(crate) fn detail_of(head: &Parts) -> Option<&'static str> {
    match head.extensions.get::<Came>() {
        Some(Came::PastParents) => Some("past-parents"),
        _ => None,
    }
}
