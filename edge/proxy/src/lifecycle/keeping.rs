//! What an unsafe request means for the cache: what it makes stale (RFC 9111 section 4.4), and an answer to `POST` that says
//! that it is a copy of its own URI (RFC 9110 section 9.3.3), which is kept.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use mcsp_edge_cache::engine::{BodyPlan, FillTicket, Filling, Join, Key};
use mcsp_edge_policy::age::Exchange;
use mcsp_edge_policy::encoding::Accepted;
use mcsp_edge_policy::hop_by_hop::connection_takes_fields;
use mcsp_edge_policy::invalidation::invalidated;
use mcsp_edge_policy::store::{Candidate, StoreRules, decide};
use pingora_http::ResponseHeader;

use crate::context::RequestContext;
use crate::edge::Edge;
use crate::plain::PlainRequest;
use crate::route::Route;
use crate::serve::{Selects, new_response};

/// How long an answer waits for the log of what it invalidated.
const DURABLE_MAX: Duration = Duration::from_secs(1);

/// Before the request goes out: what reaches the cache from here on came after what the origin answers was made.
pub(super) fn note_time(edge: &Edge, context: &mut RequestContext) {
    // What was asked in an odd way is answered for whoever asked so.
    let is_plain = matches!(context.route.as_deref(), Some(Route::Plain(_)));
    if is_plain && context.oddity().is_none() {
        context.asked_of = Some(edge.cache.ticket());
    }
}

/// Looks at an answer's head on a plain route. Did it invalidate anything?
pub(super) fn see_head(
    edge: &Edge,
    request: &Parts,
    response: &ResponseHeader,
    context: &mut RequestContext,
) -> bool {
    let Some(route) = context.route.clone() else {
        return false;
    };
    let Route::Plain(plain) = &*route else {
        return false;
    };
    let headers = &response.headers;
    let uris = invalidated(&request.method, response.status, &plain.key, headers);
    if uris.is_empty() {
        return false;
    }
    // Gone, not stale: it must not stand in for anything any more. The target goes first.
    let key = Key::new(&plain.key);
    let asked = context.asked_of.unwrap_or_else(|| edge.cache.ticket());
    let ticket = edge.cache.supersede(key, asked);
    let named = uris.iter().filter_map(|uri| edge.routes.key_of(uri));
    for key in named.filter(|key| *key != plain.key) {
        edge.cache.invalidate(Key::new(&key));
    }
    if request.method == Method::POST && context.asked_of.is_some() {
        let lead = ticket.and_then(|ticket| begin(edge, plain, request, response, context, ticket));
        context.keeping = lead;
    }
    true
}

/// Waits until what was invalidated stays so over a restart: the client may rely on it once it has its answer. Where the
/// disk is slow or refuses, the answer does not wait for it.
pub(super) async fn make_durable(edge: &Edge) {
    let flushed = tokio::time::timeout(DURABLE_MAX, edge.cache.flush_invalidations()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::debug!("an invalidation may not outlive a restart");
    }
}

fn begin(
    edge: &Edge,
    plain: &PlainRequest,
    request: &Parts,
    response: &ResponseHeader,
    context: &RequestContext,
    ticket: FillTicket,
) -> Option<Filling> {
    // What the origin was asked with is not what the client said, which would select the answer.
    if connection_takes_fields(&request.headers) {
        return None;
    }
    // It was asked in the client's own words, and others select by fewer.
    let codings = Accepted::of(&request.headers);
    if codings.is_some_and(|codings| !codings.takes(&response.headers)) {
        return None;
    }
    let now_ms = edge.clock.now_ms();
    let waited_ms = i64::try_from(context.started.elapsed().as_millis()).unwrap_or(0);
    let candidate = Candidate {
        method: &Method::POST,
        target_uri: &plain.key,
        request: &request.headers,
        status: response.status,
        response: &response.headers,
        exchange: Exchange {
            request_ms: now_ms.saturating_sub(waited_ms),
            response_ms: now_ms,
        },
    };
    let rules = StoreRules {
        honours_request: plain.route.client_directives,
        ..StoreRules::default()
    };
    let plan = decide(&candidate, &rules).ok()?;
    // Of a known length, so that it never has to wait for a reader.
    let total_len = Some(length_of(&response.headers)?);
    let new = new_response(&plan, &candidate, BodyPlan::Whole { total_len }).ok()?;
    let selects = Selects::Fields(&request.headers);
    match edge
        .cache
        .join(Key::new(&plain.key), &selects, ticket, None)
    {
        Join::Lead(lead) => lead.begin(new).ok(),
        Join::Follow(_) => None,
    }
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)
        .map(HeaderValue::to_str)?
        .ok()?
        .parse()
        .ok()
}

/// Takes the next bytes of the answer.
pub(super) fn see_body(context: &mut RequestContext, piece: Option<&Bytes>, is_end: bool) {
    let Some(mut filling) = context.keeping.take() else {
        return;
    };
    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
        // One that would have to wait is not kept.
        let Some(Ok(())) = filling.write(piece.clone()).now_or_never() else {
            return;
        };
    }
    if !is_end {
        context.keeping = Some(filling);
    } else if let Err(error) = filling.complete() {
        tracing::debug!(%error, "an answer to POST is not what it said");
    }
}
