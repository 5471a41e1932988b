//! Conditional requests (RFC 9110 section 13, RFC 9111 section 4.3): those that a cache answers from what it holds,
//! and those that it sends to validate it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::age::date_ms;
use crate::date::parse_http_date;
use crate::entity_tag::EntityTag;
use crate::fields::members;

/// The validators of a stored response. Times are in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified` as it stands, when it is a date.
    pub last_modified: Option<HeaderValue>,
    /// `Last-Modified`.
    pub last_modified_ms: Option<i64>,
    /// `Date`, or when the response came.
    pub date_ms: i64,
}

impl Validators {
    /// Takes down the validators of a response that came at `response_ms`.
    #[must_use]
    pub fn of(response: &HeaderMap, response_ms: i64) -> Self {
        let modified = response.get(header::LAST_MODIFIED);
        let last_modified_ms =
            modified.and_then(|value| parse_http_date(value.as_bytes(), response_ms));
        Self {
            etag: response
                .get(header::ETAG)
                .filter(|tag| !tag.is_empty())
                .cloned(),
            last_modified: modified.filter(|_| last_modified_ms.is_some()).cloned(),
            last_modified_ms,
            date_ms: date_ms(response, response_ms),
        }
    }

    /// Whether there is anything to validate with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The entity tag, when it is strong: the only validator that parts of a response may be combined by here
    /// (RFC 9110 section 15.3.7.3).
    #[must_use]
    pub fn strong_etag(&self) -> Option<&HeaderValue> {
        self.etag
            .as_ref()
            .filter(|tag| EntityTag::parse(tag.as_bytes()).is_some_and(|tag| !tag.is_weak()))
    }

    /// Whether a response with these fields is of the same representation, so that its bytes may be put together with
    /// stored ones: both have the same strong entity tag (RFC 9111 section 3.4).
    #[must_use]
    pub fn may_combine_with(&self, response: &HeaderMap) -> bool {
        let theirs = response
            .get(header::ETAG)
            .and_then(|tag| EntityTag::parse(tag.as_bytes()));
        let ours = self
            .strong_etag()
            .and_then(|tag| EntityTag::parse(tag.as_bytes()));
        matches!((ours, theirs), (Some(ours), Some(theirs)) if ours.matches_strongly(&theirs))
    }

    /// Puts the conditions that validate this response into a request in place of the client's own
    /// (RFC 9111 section 4.3.1).
    pub fn make_conditional(&self, request: &mut HeaderMap) {
        remove_conditions(request);
        if let Some(etag) = &self.etag {
            request.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(last_modified) = &self.last_modified {
            request.insert(header::IF_MODIFIED_SINCE, last_modified.clone());
        }
    }

    /// Whether `Last-Modified` is strong: `Date` is at least a second later (RFC 9110 section 8.8.2.2).
    fn has_strong_date(&self) -> bool {
        self.last_modified_ms
            .is_some_and(|modified_ms| self.date_ms >= modified_ms.saturating_add(1_000))
    }
}

/// Takes all conditions out of a request; `Range` stays.
pub fn remove_conditions(request: &mut HeaderMap) {
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
    ] {
        request.remove(name);
    }
}

/// What a request's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There are none, or they hold: answer as if without.
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    Failed,
}

/// Whether a request has any condition; a quick look for the hit path.
#[must_use]
pub fn has_conditions(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_NONE_MATCH)
        || request.contains_key(header::IF_MODIFIED_SINCE)
        || has_origin_conditions(request)
}

/// Whether a request has conditions that only an origin answers: `If-Match`, `If-Unmodified-Since`
/// (RFC 9111 section 4.3.2). A cache may ignore or forward them; [`evaluate`] treats them as the origin would.
#[must_use]
pub fn has_origin_conditions(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_MATCH) || request.contains_key(header::IF_UNMODIFIED_SINCE)
}

/// Evaluates the conditions of a request against a stored response, in the order of RFC 9110 section 13.2.2.
///
/// `now_ms` is only used to read two-digit years. Does not allocate.
#[must_use]
pub fn evaluate(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    validators: &Validators,
    now_ms: i64,
) -> Precondition {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    // Conditions matter only where the answer would be a success (section 13.2.1).
    if !status.is_success() || !has_conditions(request) {
        return Precondition::Proceed;
    }
    let stored = validators
        .etag
        .as_ref()
        .and_then(|tag| EntityTag::parse(tag.as_bytes()));
    if request.contains_key(header::IF_MATCH) {
        if !any_tag(request, &header::IF_MATCH, |tag| {
            stored.is_some_and(|stored| stored.matches_strongly(tag))
        }) {
            return Precondition::Failed;
        }
    } else if let Some(limit_ms) = date(request, &header::IF_UNMODIFIED_SINCE, now_ms)
        && validators
            .last_modified_ms
            .is_some_and(|modified_ms| modified_ms > limit_ms)
    {
        return Precondition::Failed;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        let is_known = any_tag(request, &header::IF_NONE_MATCH, |tag| {
            stored.is_some_and(|stored| stored.matches_weakly(tag))
        });
        return match (is_known, is_read) {
            (false, _) => Precondition::Proceed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Failed,
        };
    }
    if !is_read {
        return Precondition::Proceed;
    }
    match date(request, &header::IF_MODIFIED_SINCE, now_ms) {
        // Without Last-Modified, Date stands in (RFC 9111 section 4.3.2).
        Some(since_ms) if validators.last_modified_ms.unwrap_or(validators.date_ms) <= since_ms => {
            Precondition::NotModified
        }
        _ => Precondition::Proceed,
    }
}

/// Whether `Range` is to be heeded as far as `If-Range` goes: it is absent, or names this very representation
/// (RFC 9110 section 13.1.5).
#[must_use]
pub fn if_range_holds(request: &HeaderMap, validators: &Validators, now_ms: i64) -> bool {
    let Some(condition) = request.get(header::IF_RANGE) else {
        return true;
    };
    if let Some(since_ms) = parse_http_date(condition.as_bytes(), now_ms) {
        return validators.has_strong_date() && validators.last_modified_ms == Some(since_ms);
    }
    let wanted = EntityTag::parse(condition.as_bytes());
    let stored = validators
        .etag
        .as_ref()
        .and_then(|tag| EntityTag::parse(tag.as_bytes()));
    matches!((wanted, stored), (Some(wanted), Some(stored)) if wanted.matches_strongly(&stored))
}

/// Whether any member of the list is `*` or passes.
fn any_tag(
    request: &HeaderMap,
    name: &HeaderName,
    mut passes: impl FnMut(&EntityTag<'_>) -> bool,
) -> bool {
    members(request, name)
        .any(|member| member == b"*" || EntityTag::parse(member).is_some_and(|tag| passes(&tag)))
}

/// A date condition; one that is no date, or is there twice, is ignored (RFC 9110 section 13.1.3).
fn date(request: &HeaderMap, name: &HeaderName, now_ms: i64) -> Option<i64> {
    let mut values = request.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => parse_http_date(only.as_bytes(), now_ms),
        _ => None,
    }
}
