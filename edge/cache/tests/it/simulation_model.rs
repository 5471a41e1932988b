//! What the simulation knows of each response, and small helpers of it.

use std::task::Poll;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use mcsp_edge_cache::engine::{Entity, Variant};

use crate::support::headers;

/// Which content of a key: the number of purges that reach the key when it was asked for.
pub(crate) type Version = u64;

/// Keys below this are of media, and only the feed takes them away; those from here on are of a plain route, and clients
/// invalidate them too.
pub(crate) const PLAIN_FROM: usize = 3;
pub(crate) const KEYS: usize = 5;

/// One request's key. The last of media and the last of the plain route vary by language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) key: usize,
    pub(crate) french: bool,
}

impl Target {
    pub(crate) fn text(self) -> String {
        format!("{}seg", self.prefix())
    }

    pub(crate) fn prefix(self) -> String {
        if self.is_plain() {
            format!("http://a.example/p{}/", self.key)
        } else {
            format!("/media/ng/c{}/", self.key)
        }
    }

    pub(crate) fn is_plain(self) -> bool {
        self.key >= PLAIN_FROM
    }

    fn varies(self) -> bool {
        self.key + 1 == PLAIN_FROM || self.key + 1 == KEYS
    }

    pub(crate) fn request(self) -> HeaderMap {
        headers(&[("accept-language", if self.french { "fr" } else { "en" })])
    }

    pub(crate) fn variant(self) -> Variant {
        if self.varies() {
            Variant::of([ACCEPT_LANGUAGE], &self.request())
        } else {
            Variant::default()
        }
    }

    /// Every byte tells key, language and version.
    pub(crate) fn byte(self, version: Version) -> u8 {
        let french = u64::from(self.french && self.varies());
        ((version * 10 + self.key as u64 * 2 + french) % 251) as u8
    }
}

pub(crate) fn version_header(entity: &Entity) -> String {
    let head = entity.head();
    head.headers["x-version"].to_str().unwrap().to_owned()
}

/// Is every byte this one? By one comparison, since it is asked often.
pub(crate) fn is_all(bytes: &[u8], byte: u8) -> bool {
    bytes
        .split_last()
        .is_none_or(|(last, rest)| *last == byte && rest == &bytes[1..])
}

/// Lets a future go on as far as it gets without anybody else.
pub(crate) async fn advance<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..8 {
        if let Poll::Ready(done) = futures::poll!(&mut future) {
            return Some(done);
        }
    }
    None
}
