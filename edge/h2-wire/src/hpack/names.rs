//! Names that the encoder knows, and what it does with their values.

/// What becomes of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Other answers will have it too: it goes into the table.
    Index,
    /// The next answer will have another: only the name goes into the table, unless it is in the static one.
    Vary,
    /// It is somebody's secret (RFC 7541 section 7.1.3): no table, here or on the way, may have it.
    Never,
}

use Policy::{Index, Never, Vary};

/// A known name.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Its place in the static table; 0 where it has none.
    pub(super) index: u8,
    pub(super) policy: Policy,
}

const fn known(name: &'static str, index: u8, policy: Policy) -> Known {
    Known {
        name,
        index,
        policy,
    }
}

/// How many names are known.
pub(super) const COUNT: usize = 59;

/// All of them.
pub(super) static KNOWN: [Known; COUNT] = ALL;

const ALL: [Known; COUNT] = [
    known("accept-charset", 15, Index),
    known("accept-encoding", 16, Index),
    known("accept-language", 17, Index),
    known("accept-ranges", 18, Index),
    known("accept", 19, Index),
    known("access-control-allow-origin", 20, Index),
    known("age", 21, Vary),
    known("allow", 22, Index),
    known("authorization", 23, Never),
    known("cache-control", 24, Index),
    known("content-disposition", 25, Vary),
    known("content-encoding", 26, Index),
    known("content-language", 27, Index),
    known("content-length", 28, Vary),
    known("content-location", 29, Vary),
    known("content-range", 30, Vary),
    known("content-type", 31, Index),
    known("cookie", 32, Never),
    known("date", 33, Vary),
    known("etag", 34, Vary),
    known("expect", 35, Index),
    known("expires", 36, Vary),
    known("from", 37, Index),
    known("host", 38, Index),
    known("if-match", 39, Index),
    known("if-modified-since", 40, Index),
    known("if-none-match", 41, Index),
    known("if-range", 42, Index),
    known("if-unmodified-since", 43, Index),
    known("last-modified", 44, Vary),
    known("link", 45, Index),
    known("location", 46, Vary),
    known("max-forwards", 47, Index),
    known("proxy-authenticate", 48, Never),
    known("proxy-authorization", 49, Never),
    known("range", 50, Index),
    known("referer", 51, Index),
    known("refresh", 52, Index),
    known("retry-after", 53, Vary),
    known("server", 54, Index),
    known("set-cookie", 55, Never),
    known("strict-transport-security", 56, Index),
    known("transfer-encoding", 57, Index),
    known("user-agent", 58, Index),
    known("vary", 59, Index),
    known("via", 60, Index),
    known("www-authenticate", 61, Never),
    known("cache-status", 0, Vary),
    known("traceparent", 0, Vary),
    known("tracestate", 0, Vary),
    known("server-timing", 0, Vary),
    known("cmsd-dynamic", 0, Vary),
    known("cmsd-static", 0, Vary),
    known("ratelimit", 0, Vary),
    known("x-request-id", 0, Vary),
    known("content-digest", 0, Vary),
    known("repr-digest", 0, Vary),
    known("digest", 0, Vary),
    known("x-cache", 0, Vary),
];

/// Places of a table without deletions; names that fall together stand one after the other.
const PLACES: usize = 256;
const NOBODY: u8 = u8::MAX;

static BY_HASH: [u8; PLACES] = by_hash();

const fn by_hash() -> [u8; PLACES] {
    let mut places = [NOBODY; PLACES];
    let mut at = 0;
    while at < COUNT {
        let mut place = place(ALL[at].name.as_bytes());
        while places[place] != NOBODY {
            place = (place + 1) % PLACES;
        }
        places[place] = at as u8;
        at += 1;
    }
    places
}

/// By four of its octets and its length, which is enough to tell most from each other.
const fn place(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let hash = length * 37
        + name[0] as usize * 5
        + name[length / 2] as usize * 29
        + name[length - 1] as usize * 3
        + name[length / 4] as usize * 17;
    hash % PLACES
}

/// Its number, if it is known.
pub(super) fn find(name: &str) -> Option<usize> {
    let mut at = place(name.as_bytes());
    // Ends at a free place: there are more of those than names.
    loop {
        let number = usize::from(*BY_HASH.get(at)?);
        let known = KNOWN.get(number)?;
        if known.name == name {
            return Some(number);
        }
        at = (at + 1) % PLACES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_and_others_are_not() {
        for (number, known) in KNOWN.iter().enumerate() {
            assert_eq!(find(known.name), Some(number), "{}", known.name);
        }
        for name in ["", "x", "datf", "x-unknown", "etah", "zzzzzzzzzzzz"] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
