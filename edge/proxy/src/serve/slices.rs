//! Slices: what is brought of a large object when its beginning is not what is asked for, and what a stored response
//! lacks.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{IF_RANGE, RANGE};
use mcsp_edge_cache::engine::{
    Claim, Entity, FillError, Filling, ReadError, Reader, Refused, Slice,
};
use mcsp_edge_fetch::{BodyLength, FetchError, FetchErrorKind, FetchRequest, Response};
use mcsp_edge_policy::range::{ContentRange, RangeRequest, RangeSpec, range_value};

use super::errand::validators_of;
use super::pump::Source;
use crate::edge::Edge;
use crate::shield::Way;

/// Slices begin and end at multiples of this, bytes.
const SLICE_BYTES: u64 = 256 << 10;
/// What is asked for at once of what a stored response lacks, bytes.
const BRING_BYTES_MAX: u64 = 8 << 20;

/// What to ask the origin for, of an object of which nothing is held, when a client asks for `range`: nothing when the
/// whole is to be asked for, since what the client wants comes soon.
pub(crate) fn first_slice(range: &RangeRequest) -> Option<http::HeaderValue> {
    let RangeRequest::One(spec) = range else {
        return None;
    };
    match *spec {
        RangeSpec::Span { first, last } if first >= SLICE_BYTES => {
            let last = last / SLICE_BYTES * SLICE_BYTES;
            Some(range_value(
                first / SLICE_BYTES * SLICE_BYTES,
                Some(last.saturating_add(SLICE_BYTES - 1)),
            ))
        }
        RangeSpec::From(first) if first >= SLICE_BYTES => {
            Some(range_value(first / SLICE_BYTES * SLICE_BYTES, None))
        }
        RangeSpec::Suffix(length) if length > 0 => {
            http::HeaderValue::try_from(format!("bytes=-{length}")).ok()
        }
        _ => None,
    }
}

/// Is each byte of `range` here, or on its way, or could it be had? Only the origin's word that it still has the same bytes
/// allows to ask for what is missing, and that somebody fills another part of the body says nothing of this one.
pub(crate) fn can_be_had(entity: &Entity, range: &Range<u64>) -> bool {
    entity.is_on_disk() || entity.is_coming(range) || validators_of(entity).strong_etag().is_some()
}

/// Did its origin break it off?
pub(crate) fn was_cut(entity: &Entity) -> bool {
    let failure = entity.failure();
    matches!(failure, Some(FillError::Aborted | FillError::Length { .. }))
}

/// Did its origin break it off before its first byte?
pub(crate) fn broke_off(entity: &Entity) -> bool {
    was_cut(entity) && entity.held_bytes() == 0
}

/// A byte before which a fill brings more than this is asked for by itself.
pub(super) const FAR_BYTES: u64 = SLICE_BYTES;
/// How long it is waited for before: most origins send that much in less.
const FAR_PATIENCE: Duration = Duration::from_millis(25);

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nobody brings it.
    Hole,
    /// A fill brings it, after much else.
    Far,
}

/// What a reader finds next; nothing when that is far ahead of the fill that brings it, and can be asked for by itself.
pub(crate) async fn next_soon(reader: &mut Reader) -> Option<Result<Option<Bytes>, ReadError>> {
    if is_far(reader) {
        match tokio::time::timeout(FAR_PATIENCE, reader.next()).await {
            Ok(next) => return Some(next),
            Err(_) if is_far(reader) => return None,
            Err(_) => {}
        }
    }
    Some(reader.next().await)
}

/// Only a strong validator tells that what is asked for belongs to the rest.
fn is_far(reader: &Reader) -> bool {
    let entity = reader.entity();
    reader.is_far(FAR_BYTES)
        && !entity.is_whole_only()
        && validators_of(entity).strong_etag().is_some()
}

/// What was done for what is missing.
pub(crate) enum Brought {
    /// It comes, for all who read the entity.
    Comes,
    /// There is no memory for it: its origin's answer, which begins at this byte, is for this client alone.
    Past(Box<Response>, u64),
    /// It does not come.
    Not,
}

/// Sees to it that what is missing at the beginning of `range` comes.
pub(crate) async fn bring(
    edge: &Arc<Edge>,
    request: FetchRequest,
    way: Way,
    entity: &Arc<Entity>,
    range: Range<u64>,
    missing: Missing,
) -> Brought {
    let end = range.end.min(range.start.saturating_add(BRING_BYTES_MAX));
    let ticket = edge.cache.ticket();
    let range = range.start..end;
    let key = entity.key().hash();
    let is_at_rest = edge.setbacks.are_many(key, edge.clock.now_ms());
    let claim = match missing {
        Missing::Hole => edge.cache.claim(entity, range, ticket),
        Missing::Far => edge.cache.claim_far(entity, range, FAR_BYTES, ticket),
    };
    match claim {
        Claim::Held | Claim::Follow => Brought::Comes,
        Claim::Alone => Brought::Not,
        Claim::Lead(_) if is_at_rest => {
            edge.metrics.left_alone("rest");
            Brought::Not
        }
        Claim::Lead(slice) => {
            let from = slice.range().start;
            let (filling, response) = match ask(edge, &request, &way, entity, slice).await {
                Answer::Part(Ok(filling), response) => (filling, response),
                Answer::Part(Err(Refused::NoRoom), response) => {
                    return Brought::Past(response, from);
                }
                Answer::Whole(response) if missing == Missing::Hole => {
                    // It cannot be put into a hole. Whoever comes next has it stored as a whole.
                    edge.cache.withdraw(entity);
                    return Brought::Past(response, 0);
                }
                Answer::Whole(_) => {
                    // What is being filled comes no later than that.
                    entity.note_whole_only();
                    return Brought::Not;
                }
                Answer::Part(Err(_), _) | Answer::Other => return Brought::Not,
            };
            let edge = Arc::clone(edge);
            let underway = edge.viewer_fetches.enter();
            tokio::spawn(async move {
                let _underway = underway;
                let source = Source {
                    edge: &edge,
                    request: &request,
                    way: &way,
                };
                let end = filling.position().saturating_add(response_bytes(&response));
                source.fill(filling, *response, Some(end)).await;
            });
            Brought::Comes
        }
    }
}

fn response_bytes(response: &Response) -> u64 {
    ContentRange::of(&response.head.headers)
        .and_then(|range| range.range)
        .map_or(0, |range| range.length())
}

/// What an origin says that is asked for a part of what is held.
enum Answer {
    /// That part.
    Part(Result<Filling, Refused>, Box<Response>),
    /// All of it: it does not know ranges.
    Whole(Box<Response>),
    /// Something else, or nothing.
    Other,
}

async fn ask(
    edge: &Edge,
    request: &FetchRequest,
    way: &Way,
    entity: &Arc<Entity>,
    slice: Slice,
) -> Answer {
    let wanted = slice.range();
    let validators = validators_of(entity);
    let Some(etag) = validators.strong_etag().cloned() else {
        return Answer::Other;
    };
    let mut request = request.clone();
    let range = range_value(wanted.start, wanted.end.checked_sub(1));
    request.headers.insert(RANGE, range);
    request.headers.insert(IF_RANGE, etag);
    let response = match way.fetch(edge, &request, &mut |_| {}).await {
        Ok(response) => response,
        Err(error) => {
            // All who wait for this part find a hole now, and might each ask for himself.
            note_failure(edge, entity, &error);
            return Answer::Other;
        }
    };
    if is_same_whole(entity, &response) {
        return Answer::Whole(Box::new(response));
    }
    let found = ContentRange::of(&response.head.headers);
    let total = match found {
        Some(ContentRange {
            range: Some(range),
            total: Some(total),
        }) if response.head.status == StatusCode::PARTIAL_CONTENT
            && range.first == wanted.start
            && range.last.saturating_add(1) == wanted.end
            && validators.may_combine_with(&response.head.headers) =>
        {
            total
        }
        _ => {
            if response.head.status.is_success() {
                slice.changed();
            }
            return Answer::Other;
        }
    };
    Answer::Part(slice.begin(total), Box::new(response))
}

/// Counts a part that an origin failed to give, unless that says nothing of the origin.
fn note_failure(edge: &Edge, entity: &Entity, error: &FetchError) {
    use FetchErrorKind::{Overloaded, Request};
    tracing::debug!(%error, "an origin failed to give what a body lacks");
    if !matches!(error.kind, Overloaded | Request) {
        let key = entity.key().hash();
        edge.setbacks.note(key, edge.clock.now_ms());
    }
}

/// Is it all of the representation that is held: the same strong entity tag, the same length?
pub(super) fn is_same_whole(entity: &Entity, response: &Response) -> bool {
    let BodyLength::Known(bytes) = response.length() else {
        return false;
    };
    response.head.status == StatusCode::OK
        && entity.total_len() == Some(bytes)
        && validators_of(entity).may_combine_with(&response.head.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_from_the_beginning_is_asked_for_by_itself() {
        let slice = |range: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(RANGE, range.parse().unwrap());
            first_slice(&RangeRequest::of(&headers)).map(|value| value.to_str().unwrap().to_owned())
        };
        for (range, wanted) in [
            ("bytes=0-9", None),
            ("bytes=1000-", None),
            ("bytes=1000000-1000001", Some("bytes=786432-1048575")),
            ("bytes=262144-262144", Some("bytes=262144-524287")),
            ("bytes=1000000-", Some("bytes=786432-")),
            ("bytes=-5", Some("bytes=-5")),
            ("bytes=0-1,1000000-1000001", None),
            (
                "bytes=1000000-18446744073709551615",
                Some("bytes=786432-18446744073709551615"),
            ),
        ] {
            assert_eq!(slice(range).as_deref(), wanted, "{range}");
        }
    }
}
