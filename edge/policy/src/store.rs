//! Whether a response may be stored by this shared cache, and for how long it is then good (RFC 9111 sections 3
//! and 4.2).

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::age::{Exchange, date_ms, initial_age_ms};
use crate::cache_control::{RequestDirectives, ResponseDirectives};
use crate::date::parse_http_date;
use crate::freshness::{Basis, Freshness};
use crate::invalidation::same_resource;
use crate::range::ContentRange;
use crate::targeted::ResponseControl;
use crate::vary::{Vary, VaryFault};

/// What a route does with `Set-Cookie` in a response that may be stored otherwise (RFC 9111 section 7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// Store it where the origin gives a lifetime. Where the lifetime would be guessed it said nothing of caches, and one
    /// client's session would be everybody's.
    #[default]
    IfExplicit,
    /// Store it: the origin's cache directives are to be believed.
    Store,
    /// Do not store the response.
    Refuse,
    /// Store the response without it.
    Strip,
}

/// How a route stores. The default is a plain route, which goes by what the origin says and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRules {
    /// Whether requests' own directives count: `no-store` here, the others in [`Freshness::judge`]. Default true.
    pub honours_request: bool,
    /// Share of the time since `Last-Modified` that counts as lifetime, percent, 0 to 100. Default 10 (section 4.2.2).
    pub heuristic_percent: u8,
    /// Longest heuristic lifetime, seconds. Default 86 400.
    pub heuristic_max_s: u32,
    /// Lifetime of a 200 or 206 that says nothing of caching, seconds. Default none: the heuristic decides.
    pub default_lifetime_s: Option<u32>,
    /// Lifetime of an error that says nothing and whose status may be cached by heuristics, seconds. Default 0.
    pub negative_lifetime_s: u32,
    /// Longest lifetime of any response with a status of 400 or more, seconds. Default none.
    pub negative_max_s: Option<u32>,
    /// Longest lifetime of any response, seconds. Default none.
    pub lifetime_max_s: Option<u32>,
    /// `stale-while-revalidate` where the origin gave none, seconds. Default 0.
    pub stale_while_revalidate_s: u32,
    /// `stale-if-error` where the origin gave none, seconds (section 4.2.4 permits it by configuration). Default 0.
    pub stale_if_error_s: u32,
    /// What happens to `Set-Cookie`. Default [`SetCookie::IfExplicit`].
    pub set_cookie: SetCookie,
}

impl Default for StoreRules {
    fn default() -> Self {
        Self {
            honours_request: true,
            heuristic_percent: 10,
            heuristic_max_s: 86_400,
            default_lifetime_s: None,
            negative_lifetime_s: 0,
            negative_max_s: None,
            lifetime_max_s: None,
            stale_while_revalidate_s: 0,
            stale_if_error_s: 0,
            set_cookie: SetCookie::IfExplicit,
        }
    }
}

/// A response and the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's target URI, absolute; looked at for `POST` only.
    pub target_uri: &'a str,
    /// The request's fields, as the client sent them.
    pub request: &'a HeaderMap,
    /// The response's status, which is final.
    pub status: StatusCode,
    /// The response's fields, as the origin sent them.
    pub response: &'a HeaderMap,
    /// When the two passed.
    pub exchange: Exchange,
}

/// What is to be kept with a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// How long it is good for.
    pub freshness: Freshness,
    /// The request fields that selected it.
    pub vary: Vary,
    /// Fields that must not be kept: named by `no-cache` or `private`, or `Set-Cookie` where the route strips it.
    /// Hop-by-hop fields are [`crate::hop_by_hop`]'s matter.
    pub strip: Vec<HeaderName>,
    /// What the origin said.
    pub control: ResponseControl,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The method is neither GET nor a POST that says what its answer is a copy of (RFC 9110 section 9.3.3).
    #[error("method")]
    Method,
    /// An interim response, a 304, or a status that `must-understand` is said of and that is not understood.
    #[error("status")]
    Status,
    /// A 206 whose `Content-Range` is missing, broken or of several parts.
    #[error("content-range")]
    ContentRange,
    /// The request says `no-store`.
    #[error("request-no-store")]
    RequestNoStore,
    /// The response says `no-store`.
    #[error("no-store")]
    NoStore,
    /// The response says `private`.
    #[error("private")]
    Private,
    /// The request has `Authorization` and nothing in the response allows sharing the answer (section 3.5).
    #[error("authorization")]
    Authorization,
    /// `Set-Cookie`, where the route refuses it, or where it is not said to be for all.
    #[error("set-cookie")]
    SetCookie,
    /// `Vary: *`: no later request is known to match (section 4.1).
    #[error("vary-star")]
    VaryStar,
    /// `Vary` names too many fields, or something that is no field name.
    #[error("vary-absurd")]
    VaryAbsurd,
    /// Neither a lifetime nor a validator: it could not be reused.
    #[error("no-lifetime")]
    NoLifetime,
}

/// Decides about one response.
///
/// # Errors
/// The [`Refusal`] says why it must not or need not be stored; its text is a token fit for logs and `Cache-Status`.
pub fn decide(candidate: &Candidate<'_>, rules: &StoreRules) -> Result<StorePlan, Refusal> {
    let control = ResponseControl::of(candidate.response);
    let directives = &control.directives;
    check_status(candidate, directives)?;
    if rules.honours_request && RequestDirectives::parse(candidate.request).no_store {
        return Err(Refusal::RequestNoStore);
    }
    // A cache that understands the status ignores the no-store that goes with must-understand (section 5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if directives.private.is_whole() {
        return Err(Refusal::Private);
    }
    if candidate.request.contains_key(header::AUTHORIZATION) && !is_shareable(directives) {
        return Err(Refusal::Authorization);
    }
    let vary = Vary::of(candidate.response).map_err(|fault| match fault {
        VaryFault::Star => Refusal::VaryStar,
        VaryFault::Absurd => Refusal::VaryAbsurd,
    })?;
    let mut strip: Vec<HeaderName> = directives
        .no_cache
        .fields()
        .iter()
        .chain(directives.private.fields())
        .cloned()
        .collect();
    if candidate.response.contains_key(header::SET_COOKIE) {
        match rules.set_cookie {
            SetCookie::IfExplicit | SetCookie::Store => {}
            SetCookie::Refuse => return Err(Refusal::SetCookie),
            SetCookie::Strip => strip.push(header::SET_COOKIE),
        }
    }
    let freshness = freshness(candidate, &control, rules);
    if rules.set_cookie == SetCookie::IfExplicit
        && candidate.response.contains_key(header::SET_COOKIE)
        && !strip.contains(&header::SET_COOKIE)
        && !freshness.basis.is_explicit()
    {
        return Err(Refusal::SetCookie);
    }
    check_method(candidate, freshness.basis)?;
    if !is_reusable(candidate.response, directives, &freshness) {
        return Err(Refusal::NoLifetime);
    }
    Ok(StorePlan {
        freshness,
        vary,
        strip,
        control,
    })
}

/// Statuses whose definition this cache follows (RFC 9110 section 15); others are stored as opaque, unless the origin
/// asks for understanding.
#[must_use]
pub fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 307 | 308 | 400..=411 | 413..=417 | 421 | 422 | 426 | 429 | 431 | 451 | 500..=505
    )
}

/// Statuses that may be stored without the origin saying so (RFC 9110 section 15.1).
#[must_use]
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

fn check_status(candidate: &Candidate<'_>, directives: &ResponseDirectives) -> Result<(), Refusal> {
    let status = candidate.status;
    if status.is_informational() || status == StatusCode::NOT_MODIFIED {
        return Err(Refusal::Status);
    }
    if directives.must_understand && !is_understood(status) {
        return Err(Refusal::Status);
    }
    // What a 412 or a 416 says depends on fields that are not in the key.
    if matches!(
        status,
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE
    ) {
        return Err(Refusal::Status);
    }
    let is_partial = status == StatusCode::PARTIAL_CONTENT;
    if is_partial
        && ContentRange::of(candidate.response)
            .and_then(|range| range.range)
            .is_none()
    {
        return Err(Refusal::ContentRange);
    }
    Ok(())
}

fn check_method(candidate: &Candidate<'_>, basis: Basis) -> Result<(), Refusal> {
    match *candidate.method {
        Method::GET => Ok(()),
        Method::POST if candidate.status == StatusCode::OK && basis.is_explicit() => {
            let location = candidate
                .response
                .get(header::CONTENT_LOCATION)
                .and_then(|value| value.to_str().ok());
            match location {
                Some(location) if same_resource(candidate.target_uri, location) => Ok(()),
                _ => Err(Refusal::Method),
            }
        }
        _ => Err(Refusal::Method),
    }
}

/// Section 3.5.
fn is_shareable(directives: &ResponseDirectives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage_s.is_some()
}

/// Whether a later request could have any use of it. What only the route allows, such as covering failures, is no
/// reason to keep each response that was not meant to be cached.
fn is_reusable(
    response: &HeaderMap,
    directives: &ResponseDirectives,
    freshness: &Freshness,
) -> bool {
    if response.contains_key(header::ETAG) || response.contains_key(header::LAST_MODIFIED) {
        return true;
    }
    let has_grace = !freshness.never_stale
        && directives
            .stale_while_revalidate_s
            .max(directives.stale_if_error_s)
            .is_some_and(|seconds| seconds > 0);
    !freshness.always_validate && (freshness.lifetime_ms > 0 || has_grace)
}

/// The lifetimes of a response, whether it is stored or not.
#[must_use]
pub fn freshness(
    candidate: &Candidate<'_>,
    control: &ResponseControl,
    rules: &StoreRules,
) -> Freshness {
    let directives = &control.directives;
    let (basis, lifetime_ms) = lifetime(candidate, control, rules);
    let mut max_s = rules.lifetime_max_s;
    let is_error = candidate.status.as_u16() >= 400;
    // What the route adds is for what is worth having: an error that is over is not.
    let grace_s = |route_s: u32| if is_error { 0 } else { route_s };
    if is_error {
        max_s = match (max_s, rules.negative_max_s) {
            (Some(all), Some(negative)) => Some(all.min(negative)),
            (all, negative) => all.or(negative),
        };
    }
    let to_ms = |seconds: u32| i64::from(seconds) * 1_000;
    Freshness {
        born_ms: candidate
            .exchange
            .response_ms
            .saturating_sub(initial_age_ms(candidate.response, candidate.exchange)),
        lifetime_ms: max_s.map_or(lifetime_ms, |max_s| lifetime_ms.min(to_ms(max_s))),
        basis,
        stale_while_revalidate_ms: to_ms(
            directives
                .stale_while_revalidate_s
                .unwrap_or(grace_s(rules.stale_while_revalidate_s)),
        ),
        stale_if_error_ms: to_ms(
            directives
                .stale_if_error_s
                .unwrap_or(grace_s(rules.stale_if_error_s)),
        ),
        always_validate: directives.no_cache.is_whole(),
        never_stale: directives.must_revalidate
            || directives.proxy_revalidate
            || directives.s_maxage_s.is_some(),
    }
}

/// Section 4.2.1: the first that applies.
fn lifetime(
    candidate: &Candidate<'_>,
    control: &ResponseControl,
    rules: &StoreRules,
) -> (Basis, i64) {
    let directives = &control.directives;
    let to_ms = |seconds: u32| i64::from(seconds) * 1_000;
    if let Some(seconds) = directives.s_maxage_s {
        return (Basis::SMaxAge, to_ms(seconds));
    }
    if let Some(seconds) = directives.max_age_s {
        return (Basis::MaxAge, to_ms(seconds));
    }
    let date_ms = date_ms(candidate.response, candidate.exchange.response_ms);
    // A targeted field takes the place of Expires too (RFC 9213 section 2.2).
    if let (None, Some(expires)) = (control.targeted_by, candidate.response.get(header::EXPIRES)) {
        // What is no date means "already expired" (section 5.3).
        let expires_ms =
            parse_http_date(expires.as_bytes(), candidate.exchange.response_ms).unwrap_or(i64::MIN);
        return (Basis::Expires, expires_ms.saturating_sub(date_ms).max(0));
    }
    let may_guess = is_heuristically_cacheable(candidate.status) || directives.public;
    if !may_guess {
        return (Basis::None, 0);
    }
    if candidate.status.is_success()
        && let Some(seconds) = rules.default_lifetime_s
    {
        return (Basis::Route, to_ms(seconds));
    }
    let modified_ms = candidate
        .response
        .get(header::LAST_MODIFIED)
        .and_then(|value| parse_http_date(value.as_bytes(), candidate.exchange.response_ms));
    if let Some(modified_ms) = modified_ms.filter(|&modified_ms| modified_ms < date_ms) {
        let share_ms = (date_ms - modified_ms) / 100 * i64::from(rules.heuristic_percent.min(100));
        return (Basis::Heuristic, share_ms.min(to_ms(rules.heuristic_max_s)));
    }
    if candidate.status.as_u16() >= 400 && rules.negative_lifetime_s > 0 {
        return (Basis::Negative, to_ms(rules.negative_lifetime_s));
    }
    (Basis::None, 0)
}
