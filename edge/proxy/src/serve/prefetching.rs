//! Fetching ahead: what a player will ask for after what it is being sent, let in by the stages that would let in its own
//! request, and brought into the cache as for a viewer, when viewers leave room.
//!
//! Media: what the player says (CTA-5004 `nor`), else the segments that follow by number; and what an HLS playlist that
//! was fetched just now lists first. Plain routes: what the player says, else what the route's playlists list, where it leads
//! to the same route.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};
use mcsp_api::media_path::MediaPath;
use mcsp_edge_cache::engine::{Cache, Entity, FillTicket, Join, Key};
use mcsp_edge_policy::cmcd::Cmcd;
use mcsp_edge_prefetch::{
    NextObject, Outcome, PrefetchConfig, Work, beginning_of_media, next_of_media, next_of_plain,
};
use tokio::sync::{mpsc, oneshot};

use super::asking::{Asking, Selects, without_untold};
use super::errand::{self, Errand, Fetched};
use super::lately::Lately;
use super::prepared::{self, Prepared};
use super::underway::{Underway, UnderwayGuard};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::plain::PlainRequest;
use crate::route::{MediaRoute, Route};
use crate::stage;

/// How long what follows by number is not offered again for an object that is asked for often, ms.
const OFFER_AGAIN_MS: u64 = 1_000;
/// The largest playlist that is looked into, bytes.
const PLAYLIST_BYTES_MAX: u64 = 1 << 20;
/// What a player says is of the request that it is said with.
const OF_ONE_REQUEST: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];

/// Fetches objects into the cache.
#[derive(Debug)]
pub(crate) struct FetchAhead {
    cache: Cache,
    viewers: Underway,
    viewers_max: usize,
    /// Fetches ahead; those too that are not waited for any more, because they take too long.
    running: Underway,
    running_max: usize,
    /// After which objects what follows was offered. Not noted beside a response: one that is read from the disk for each who
    /// asks is another each time.
    offered: Lately,
}

/// An object to be fetched ahead. Two with one key are the same.
#[derive(Debug, Clone)]
pub(crate) struct Job(Arc<Object>);

#[derive(Debug)]
struct Object {
    errand: Errand,
    /// Of the moment when it was offered: a purge since then means that it is not wanted any more.
    ticket: FillTicket,
}

impl Job {
    fn key(&self) -> Key<'_> {
        Key::new(&self.0.errand.target_uri)
    }

    fn selects(&self) -> Selects<'_> {
        Selects::Fields(&self.0.errand.asked)
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.0.errand.target_uri == other.0.errand.target_uri
    }
}

impl Eq for Job {}

impl Hash for Job {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.errand.target_uri.hash(state);
    }
}

impl FetchAhead {
    /// Fetches into `cache` while fewer than the configured number of `viewers`' fetches are under way.
    pub(crate) fn new(cache: &Cache, viewers: &Underway, config: &PrefetchConfig) -> Self {
        Self {
            cache: cache.clone(),
            viewers: viewers.clone(),
            viewers_max: config.viewer_fetches_max,
            running: Underway::default(),
            running_max: config.running_max,
            offered: Lately::new(OFFER_AGAIN_MS),
        }
    }

    /// Counts a fetch that another node asks for ahead of its viewers.
    pub(super) fn enter(&self) -> UnderwayGuard {
        self.running.enter()
    }
}

impl Work for FetchAhead {
    type Job = Job;

    fn wants(&self, job: &Job) -> bool {
        self.cache.lacks(job.key(), &job.selects(), job.0.ticket)
    }

    fn may_run(&self) -> bool {
        self.viewers.count() < self.viewers_max && self.running.count() < self.running_max
    }

    async fn run(&self, job: Job) -> Outcome {
        let joined = self
            .cache
            .join(job.key(), &job.selects(), job.0.ticket, None);
        // Somebody came for it since the last look.
        let Join::Lead(lead) = joined else {
            return Outcome::NotStored;
        };
        let (tell, fetched) = oneshot::channel();
        let (interim, _nobody) = mpsc::channel(1);
        let running = self.running.enter();
        let errand = job.0.errand.clone();
        // A task of its own: viewers may read what it brings by the time that it is not waited for any more.
        let task = tokio::spawn(async move {
            let _running = running;
            errand.run(lead, tell, interim).await;
        });
        let entity = match fetched.await {
            Ok(Fetched {
                outcome: errand::Outcome::Stored(entity, _),
                ..
            }) => entity,
            Ok(Fetched {
                outcome: errand::Outcome::Failed(error),
                ..
            }) => {
                tracing::debug!(%error, "an origin failed ahead of viewers");
                return Outcome::Failed;
            }
            Ok(_) => return Outcome::NotStored,
            Err(_) => return Outcome::Failed,
        };
        if task.await.is_err() || !entity.is_complete() {
            return Outcome::Failed;
        }
        if entity.is_withdrawn() || !entity.head().status.is_success() {
            return Outcome::NotStored;
        }
        if let Some(prepared) = prepared::of(&entity, &entity.head()) {
            prepared.is_unused().store(true, Ordering::Relaxed);
        }
        Outcome::Stored(entity.total_len().unwrap_or(0))
    }
}

/// Looks at a response that is about to be sent: counts it if it was fetched ahead, and offers what comes next.
pub(super) fn see(
    edge: &Arc<Edge>,
    asking: &Asking<'_>,
    context: &RequestContext,
    entity: &Entity,
    prepared: &Prepared<'_>,
    now_ms: i64,
) {
    // A child knows its viewers.
    if asking.is_head || context.child.is_some() || !edge.prefetcher.config().enabled {
        return;
    }
    let is_unused = prepared.is_unused();
    if is_unused.load(Ordering::Relaxed) && is_unused.swap(false, Ordering::Relaxed) {
        edge.prefetcher.used();
    }
    let told = told(asking.request);
    let offered = &edge.prefetcher.work().offered;
    if told.is_empty() && !offered.is_due(entity.key().hash(), now_ms) {
        return;
    }
    match asking.route {
        Route::Media(media) => {
            let ahead_max = edge.prefetcher.config().ahead_max;
            let next = next_of_media(&path_of(media), &told, ahead_max);
            offer_media(edge, asking, context, media, &next);
        }
        Route::Plain(plain) => {
            let scope = &plain.route.path_prefix;
            let mut next = next_of_plain(plain.origin_path(), scope, &told);
            if next.is_empty() {
                let ahead_max = edge.prefetcher.config().ahead_max;
                next = plain.route.playlists.after(plain.origin_path(), ahead_max);
            }
            for next in next {
                offer_plain(edge, asking, context, plain, &next.path);
            }
        }
        Route::Web(_) | Route::Api(_) | Route::Storage(_) => {}
    }
}

/// Offers what a playlist lists first, once it was sent, in HLS; of a plain route's it is remembered what follows what.
pub(super) fn offer_listed(
    edge: &Arc<Edge>,
    asking: &Asking<'_>,
    context: &RequestContext,
    entity: &Arc<Entity>,
) {
    let config = edge.prefetcher.config();
    let is_playlist = match asking.route {
        Route::Media(media) => media.rest().ends_with(".m3u8"),
        Route::Plain(_) => asking.request.uri.path().ends_with(".m3u8"),
        Route::Web(_) | Route::Api(_) | Route::Storage(_) => false,
    };
    if !config.enabled || asking.is_head || !is_playlist || entity.head().status != StatusCode::OK {
        return;
    }
    let Some(body) = body_of(entity) else {
        return;
    };
    match asking.route {
        Route::Media(media) => {
            let next = beginning_of_media(&path_of(media), &body, config.ahead_max);
            offer_media(edge, asking, context, media, &next);
        }
        Route::Plain(plain) => {
            let (path, scope) = (plain.origin_path(), &plain.route.path_prefix);
            let playlists = &plain.route.playlists;
            for next in playlists.learn(path, scope, &body, config.ahead_max) {
                offer_plain(edge, asking, context, plain, &next.path);
            }
        }
        Route::Web(_) | Route::Api(_) | Route::Storage(_) => {}
    }
}

/// A playlist's body, if all of it is here; it may not be over yet for the cache.
fn body_of(entity: &Arc<Entity>) -> Option<Vec<u8>> {
    let bytes = entity
        .total_len()
        .filter(|len| *len <= PLAYLIST_BYTES_MAX)?;
    let bytes = usize::try_from(bytes).ok()?;
    let mut body = Vec::with_capacity(bytes);
    let mut reader = entity.reader(0..bytes as u64);
    while let Some(piece) = reader.try_next() {
        body.extend_from_slice(&piece);
    }
    (body.len() == bytes).then_some(body)
}

/// What the player says that it will ask for, in the header or in the query.
fn told(request: &Parts) -> Vec<String> {
    Cmcd::of_headers(&request.headers)
        .filter(|cmcd| !cmcd.next_objects.is_empty())
        .or_else(|| Cmcd::of_query(request.uri.query()?))
        .map(|cmcd| cmcd.next_objects)
        .unwrap_or_default()
}

fn path_of(media: &MediaRoute) -> MediaPath<'_> {
    MediaPath {
        residency: media.residency,
        content_id: media.content_id.clone(),
        rest: media.rest(),
    }
}

fn offer_media(
    edge: &Arc<Edge>,
    asking: &Asking<'_>,
    context: &RequestContext,
    media: &MediaRoute,
    next: &[NextObject],
) {
    for NextObject { path: rest, .. } in next {
        let key = media.origin_path_of(rest);
        let ticket = edge.cache.ticket();
        // Most often it is here, and nothing more need be done.
        if edge.cache.lacks(Key::new(&key), &Selects::Nothing, ticket) {
            let path = media.viewer_path_of(rest);
            let is_same = |route: &Route| matches!(route, Route::Media(_));
            offer(edge, asking.request, context, &path, ticket, is_same);
        } else {
            edge.prefetcher.unwanted();
        }
    }
}

fn offer_plain(
    edge: &Arc<Edge>,
    asking: &Asking<'_>,
    context: &RequestContext,
    plain: &PlainRequest,
    path: &str,
) {
    // Under one route's prefix there may be another route, with another origin.
    let is_same = |route: &Route| matches!(route, Route::Plain(other) if Arc::ptr_eq(&other.route, &plain.route));
    let ticket = edge.cache.ticket();
    offer(edge, asking.request, context, path, ticket, is_same);
}

/// Offers what the viewer would get for `path`, if the stages let it in and its route `is_same`.
fn offer(
    edge: &Arc<Edge>,
    asked: &Parts,
    context: &RequestContext,
    path: &str,
    ticket: FillTicket,
    is_same: impl Fn(&Route) -> bool,
) {
    if edge.limits.shedder.rests_prefetch() {
        return;
    }
    let Some(request) = request_for(asked, path) else {
        return;
    };
    let mut next = RequestContext::new(context.trace, Instant::now());
    next.peer = context.peer;
    next.is_tls = context.is_tls;
    next.visitor = context.visitor;
    next.is_ahead = true;
    if stage::run_all(edge, &request, &mut next).is_break() {
        return;
    }
    // Rules that would take long over it are not asked for what nobody waits for.
    let inspection = next.inspection.as_ref();
    if inspection.is_some_and(|inspection| inspection.awaits_request_end()) {
        return;
    }
    let Some(route) = next.route.clone().filter(|route| is_same(route)) else {
        return;
    };
    let stripped = without_untold(&route, &request);
    let fields = stripped.as_ref().unwrap_or(&request.headers);
    let errand = Asking::new(&route, &request, fields)
        .and_then(|asking| Errand::new(edge, &asking, &next, None));
    if let Some(errand) = errand.map(Errand::beside) {
        edge.prefetcher.offer(Job(Arc::new(Object {
            errand: errand.ahead(),
            ticket,
        })));
    }
}

/// The same viewer's request for another path.
fn request_for(asked: &Parts, path: &str) -> Option<Parts> {
    let mut uri = asked.uri.clone().into_parts();
    uri.path_and_query = Some(path.parse().ok()?);
    let mut headers: HeaderMap = asked.headers.clone();
    for name in OF_ONE_REQUEST {
        headers.remove(name);
    }
    let (mut request, ()) = http::Request::new(()).into_parts();
    request.method = Method::GET;
    request.uri = Uri::from_parts(uri).ok()?;
    request.version = asked.version;
    request.headers = headers;
    Some(request)
}
