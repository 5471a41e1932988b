//! What is kept of an origin's answer, and what is not.

use http::header::{CONTENT_RANGE, DATE};
use http::{HeaderMap, StatusCode};
use mcsp_edge_cache::engine::{BodyPlan, NewResponse, StoredHead, Variant, surrogate_keys};
use mcsp_edge_fetch::{BodyLength, Response};
use mcsp_edge_policy::cache_status::CACHE_STATUS;
use mcsp_edge_policy::date::http_date_value;
use mcsp_edge_policy::hop_by_hop::{is_hop_by_hop, strip_for_storing};
use mcsp_edge_policy::range::ContentRange;
use mcsp_edge_policy::store::{Candidate, Refusal, StorePlan};
use mcsp_edge_policy::targeted::ResponseControl;
use mcsp_edge_policy::vary::language;

use super::asking::Selects;
use super::life;
use super::prepared::is_public;
use crate::shield::told_by_parent;

/// The fields that are for the client that caused the fetch alone: those that its origin says must not be kept (RFC 9111
/// sections 5.2.2.4 and 5.2.2.7), and what the caches above say of this one exchange.
pub(super) fn own_fields(response: &Response) -> HeaderMap {
    let directives = ResponseControl::of(&response.head.headers).directives;
    let named = directives.no_cache.fields().iter();
    let named = named.chain(directives.private.fields());
    let mut own = HeaderMap::new();
    for name in named.filter(|name| is_public(name) && !is_hop_by_hop(name)) {
        if own.contains_key(name) {
            continue;
        }
        for value in response.head.headers.get_all(name) {
            own.append(name.clone(), value.clone());
        }
    }
    for value in told_by_parent(&response.head) {
        own.append(&CACHE_STATUS, value.clone());
    }
    own
}

/// What is to be kept of a response that may be.
pub(crate) fn new_response(
    plan: &StorePlan,
    candidate: &Candidate<'_>,
    body: BodyPlan,
) -> Result<NewResponse, &'static str> {
    let fields = candidate.response;
    let received_ms = candidate.exchange.response_ms;
    let tags = surrogate_keys(fields).ok_or("surrogate-keys")?;
    let mut kept = fields.clone();
    strip_for_storing(&mut kept, &plan.strip);
    // RFC 9110 section 6.6.1.
    if !kept.contains_key(DATE) {
        kept.insert(DATE, http_date_value(received_ms));
    }
    let mut status = candidate.status;
    if matches!(body, BodyPlan::Part { .. }) {
        // Of a part it is the cache's to say. Anywhere else it means nothing, and is kept like any other field
        // (RFC 9110 section 14.4, RFC 9111 section 3.1).
        kept.remove(CONTENT_RANGE);
        status = StatusCode::OK;
    }
    let language = language::of_response(&plan.vary, candidate.request, fields);
    let selects = match &language {
        Some(language) => Selects::InLanguage(candidate.request, language),
        None => Selects::Fields(candidate.request),
    };
    let lifetimes = life::lifetimes_of(&plan.freshness, received_ms);
    Ok(NewResponse {
        head: StoredHead::new(status, kept, lifetimes),
        body,
        variant: Variant::of(plan.vary.names().iter().cloned(), &selects),
        tags,
    })
}

/// A part is stored as it is. It is put together with others by a strong validator only (RFC 9110 section 15.3.7.3), which
/// whoever asks for those looks at.
pub(super) fn part_of(fields: &HeaderMap, response: &Response) -> Result<BodyPlan, &'static str> {
    let Some(ContentRange {
        range: Some(range),
        total: Some(total_len),
    }) = ContentRange::of(fields)
    else {
        return Err("content-range");
    };
    if let BodyLength::Known(bytes) = response.length()
        && bytes != range.length()
    {
        return Err("content-range");
    }
    Ok(BodyPlan::Part {
        range: range.first..range.last.saturating_add(1),
        total_len,
    })
}

/// For `Cache-Status` and logs.
pub(super) fn refusal_word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Method => "method",
        Refusal::Status => "status",
        Refusal::ContentRange => "content-range",
        Refusal::RequestNoStore => "request-no-store",
        Refusal::NoStore | Refusal::NoLifetime => "origin-says-no",
        Refusal::Private => "private",
        Refusal::Authorization => "authorization",
        Refusal::SetCookie => "set-cookie",
        Refusal::VaryStar | Refusal::VaryAbsurd => "vary",
    }
}
