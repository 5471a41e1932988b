//! Fields that belong to one connection (RFC 9110 section 7.6.1, RFC 9111 section 3.1): neither stored nor forwarded.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fields::members;

/// Always of one hop, listed in `Connection` or not.
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Not stored besides those (RFC 9111 section 3.1): they speak of the proxy that sent them.
static OF_A_PROXY: [HeaderName; 3] = [
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
];

/// Names that a `Connection` field cannot make hop-by-hop: to drop them would change what the message is.
static NEVER_LISTED: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
];

/// Whether a field is of one hop whatever `Connection` says.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Whether `Connection` takes fields out of this message that would be forwarded otherwise.
#[must_use]
pub fn connection_takes_fields(headers: &HeaderMap) -> bool {
    listed(headers).any(|name| !is_hop_by_hop(&name) && headers.contains_key(name))
}

fn listed(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + use<'_> {
    members(headers, &header::CONNECTION)
        .filter_map(|member| HeaderName::from_bytes(member).ok())
        .filter(|name| !NEVER_LISTED.contains(name))
}

/// Takes out of a message what must not be forwarded.
pub fn strip_for_forwarding(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = listed(headers).collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Takes out of a message what must not be forwarded, where another layer frames it and sees to upgrades:
/// `Transfer-Encoding` stays, `Connection` and `Upgrade` stay for one that `is_upgrade`.
pub fn strip_around_framing(headers: &mut HeaderMap, is_upgrade: bool) {
    let stays = |name: &HeaderName| {
        *name == header::TRANSFER_ENCODING
            || is_upgrade && (*name == header::CONNECTION || *name == header::UPGRADE)
    };
    let listed: Vec<HeaderName> = listed(headers).collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        if !stays(name) {
            headers.remove(name);
        }
    }
    if is_upgrade {
        let upgrade = HeaderValue::from_static("upgrade");
        headers.insert(header::CONNECTION, upgrade);
    }
}

/// Takes out of a response what must not be stored; `also` are the names of
/// [`StorePlan::strip`](crate::store::StorePlan::strip).
pub fn strip_for_storing(headers: &mut HeaderMap, also: &[HeaderName]) {
    strip_for_forwarding(headers);
    for name in also.iter().chain(&OF_A_PROXY) {
        headers.remove(name);
    }
}
