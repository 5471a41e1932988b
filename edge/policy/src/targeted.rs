//! Targeted cache control (RFC 9213): fields that speak to a kind of cache and take the place of `Cache-Control` and
//! `Expires` for it.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, ListEntry, Parser};

use crate::cache_control::{ResponseDirectives, Scope};
use crate::fields::DELTA_SECONDS_MAX;
use crate::surrogate;

/// `MCSP-Cache-Control`: this project's edges.
pub static MCSP_CACHE_CONTROL: HeaderName = HeaderName::from_static("mcsp-cache-control");
/// `CDN-Cache-Control`: any content delivery network (RFC 9213 section 3.1).
pub static CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The fields an edge listens to, the most specific first (RFC 9213 section 2.2).
pub fn target_list() -> [&'static HeaderName; 2] {
    [&MCSP_CACHE_CONTROL, &CDN_CACHE_CONTROL]
}

/// The directives that hold for this cache, and where they were said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseControl {
    /// What was said.
    pub directives: ResponseDirectives,
    /// The targeted field it was said in; `None`: in `Cache-Control`, and `Expires` counts too.
    pub targeted_by: Option<&'static HeaderName>,
}

impl ResponseControl {
    /// Reads the first field of [`target_list`] that is there, is a structured dictionary and is not empty; else
    /// [`Surrogate-Control`](crate::surrogate), else `Cache-Control`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        for name in target_list() {
            if let Some(directives) = targeted(headers, name) {
                return Self {
                    directives,
                    targeted_by: Some(name),
                };
            }
        }
        if let Some(directives) = surrogate::parse(headers) {
            return Self {
                directives,
                targeted_by: Some(&surrogate::SURROGATE_CONTROL),
            };
        }
        Self {
            directives: ResponseDirectives::parse(headers),
            targeted_by: None,
        }
    }
}

/// The directives of one targeted field (RFC 9213 section 2.1). A field that does not parse, or is empty, is as if it
/// were absent; a directive whose value has another type than it should is as if it were absent, unless it restricts.
fn targeted(headers: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    if !headers.contains_key(name) {
        return None;
    }
    let mut text = Vec::new();
    for line in headers.get_all(name) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(line.as_bytes());
    }
    let dictionary = Parser::parse_dictionary(&text)
        .ok()
        .filter(|dictionary| !dictionary.is_empty())?;
    let mut directives = ResponseDirectives::default();
    for (key, entry) in &dictionary {
        let seconds = || match entry {
            ListEntry::Item(item) => item.bare_item.as_int().map(clamp),
            ListEntry::InnerList(_) => None,
        };
        match key.as_str() {
            "max-age" => directives.max_age_s = seconds(),
            "s-maxage" => directives.s_maxage_s = seconds(),
            "stale-while-revalidate" => directives.stale_while_revalidate_s = seconds(),
            "stale-if-error" => directives.stale_if_error_s = seconds(),
            "no-cache" => restrict(&mut directives.no_cache, entry),
            "private" => restrict(&mut directives.private, entry),
            other => {
                if let (Some(flag), false) = (directives.flag(other.as_bytes()), is_false(entry)) {
                    *flag = true;
                }
            }
        }
    }
    Some(directives)
}

/// A negative lifetime is no lifetime.
fn clamp(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0))
        .unwrap_or(DELTA_SECONDS_MAX)
        .min(DELTA_SECONDS_MAX)
}

fn is_false(entry: &ListEntry) -> bool {
    matches!(entry, ListEntry::Item(item) if item.bare_item == BareItem::Boolean(false))
}

/// Field names come as one string or as an inner list of strings or tokens; `?1` means all of it.
fn restrict(scope: &mut Scope, entry: &ListEntry) {
    let text = |item: &BareItem| {
        item.as_str()
            .or(item.as_token())
            .map(str::as_bytes)
            .map(<[u8]>::to_vec)
    };
    match entry {
        _ if is_false(entry) => {}
        ListEntry::Item(item) => scope.widen(text(&item.bare_item).as_deref()),
        ListEntry::InnerList(list) if list.items.is_empty() => scope.widen(None),
        ListEntry::InnerList(list) => {
            for item in &list.items {
                scope.widen(text(&item.bare_item).as_deref());
            }
        }
    }
}
