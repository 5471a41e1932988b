//! Freshening a stored response with a newer header (RFC 9111 sections 3.2, 4.3.4 and 4.3.5).

use http::{HeaderMap, HeaderName, header};

use crate::conditional::Validators;
use crate::date::{http_date_value, parse_http_date};
use crate::entity_tag::EntityTag;
use crate::hop_by_hop::strip_for_storing;

/// Whether a 304 speaks of the stored response its request was made for (section 4.3.4). If not, neither may the
/// stored response be served for it nor be updated: ask again without conditions.
#[must_use]
pub fn selects(stored: &Validators, not_modified: &HeaderMap, now_ms: i64) -> bool {
    let ours = stored
        .etag
        .as_ref()
        .and_then(|tag| EntityTag::parse(tag.as_bytes()));
    let theirs = not_modified
        .get(header::ETAG)
        .and_then(|tag| EntityTag::parse(tag.as_bytes()));
    if let Some(theirs) = theirs {
        return ours.is_some_and(|ours| {
            if theirs.is_weak() {
                ours.matches_weakly(&theirs)
            } else {
                ours.matches_strongly(&theirs)
            }
        });
    }
    let modified = not_modified.get(header::LAST_MODIFIED);
    match (
        stored.last_modified_ms,
        modified.and_then(|value| parse_http_date(value.as_bytes(), now_ms)),
    ) {
        (Some(ours), Some(theirs)) => ours == theirs,
        // A 304 without validators answers the conditions it was sent, which were this response's.
        _ => true,
    }
}

/// Fields that a stored body depends on (section 3.2), beside its `Content-Type`, which origins do correct.
static OF_THE_BODY: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
];

/// The stored header with the fields of a newer one in place of its own (section 3.2); the newer one is a 304, or a
/// 200 to HEAD. `also` are the names of [`StorePlan::strip`](crate::store::StorePlan::strip) for the newer one.
///
/// All fields change but hop-by-hop ones and those that the stored body depends on. An `Age` that the newer one does not repeat, and a
/// `Date` that it lacks, must not make the updated response old: the first goes, the second becomes `response_ms`.
#[must_use]
pub fn merge(
    stored: &HeaderMap,
    newer: &HeaderMap,
    also: &[HeaderName],
    response_ms: i64,
) -> HeaderMap {
    let mut update = newer.clone();
    strip_for_storing(&mut update, also);
    for name in &OF_THE_BODY {
        update.remove(name);
    }
    // A body that had no tag may get one.
    if stored.contains_key(header::ETAG) {
        update.remove(header::ETAG);
    }
    let mut merged = stored.clone();
    merged.remove(header::AGE);
    merged.insert(header::DATE, http_date_value(response_ms));
    for name in update.keys() {
        merged.remove(name);
    }
    for (name, value) in &update {
        merged.append(name.clone(), value.clone());
    }
    merged
}

/// What a 200 to HEAD means for a stored response to GET (section 4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// It is the same: [`merge`] the newer header in.
    Update,
    /// It has changed: the stored response is stale from now on.
    Expire,
}

/// Compares a 200 to HEAD with a stored response: validators and length, where the newer one has them.
#[must_use]
pub fn head_effect(stored: &HeaderMap, head: &HeaderMap) -> HeadEffect {
    let agrees = |name: HeaderName| {
        head.get(&name)
            .is_none_or(|newer| stored.get(&name) == Some(newer))
    };
    if agrees(header::ETAG) && agrees(header::LAST_MODIFIED) && agrees(header::CONTENT_LENGTH) {
        HeadEffect::Update
    } else {
        HeadEffect::Expire
    }
}
