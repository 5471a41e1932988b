//! What comes after an object.

use mcsp_api::media_path::{MediaPath, private};

use crate::reference::resolve;

/// The most objects that one request leads to.
pub const NEXT_MAX: usize = 8;

/// The name of a rendition's init segment, and of its first segment, in our own packaging.
const INIT_SEGMENT: &str = "init.mp4";
const FIRST_SEGMENT: u32 = 1;
const SEGMENT_SUFFIX: &str = ".m4s";

/// How it is known what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The player says so (CTA-5004 `nor`).
    Told,
    /// Our segments are numbered.
    Counted,
    /// A playlist says so.
    Listed,
}

/// An object that will be asked for, probably.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextObject {
    /// For media, what of the same item, as [`MediaPath::rest`]; for a plain route, its path and query.
    pub path: String,
    /// How that is known.
    pub reason: Reason,
}

/// What a player will ask for after `asked`: what it says itself (`told`, percent-decoded references, each relative to
/// its request), else the `ahead_max` segments that follow by number. Only ever objects of the same item: that is what
/// the request was let in for. Whether they exist is not known.
#[must_use]
pub fn next_of_media(asked: &MediaPath<'_>, told: &[String], ahead_max: usize) -> Vec<NextObject> {
    let base = format!("/{}", asked.object_name());
    let mut found = Found::besides(asked.rest);
    for reference in told {
        found.add(rest_of(asked, &base, reference), Reason::Told);
    }
    if found.objects.is_empty() {
        for rest in counted(asked.rest, ahead_max) {
            found.add(Some(rest), Reason::Counted);
        }
    }
    found.into_objects()
}

/// What a player says it will ask for after `path` on a plain route: only what lies under `scope`, the route's path
/// prefix.
#[must_use]
pub fn next_of_plain(path: &str, scope: &str, told: &[String]) -> Vec<NextObject> {
    let mut found = Found::besides(path);
    for reference in told {
        let next = resolve(path, reference).filter(|next| next.starts_with(scope));
        found.add(next, Reason::Told);
    }
    found.into_objects()
}

/// Objects in the order of finding, each once, [`NEXT_MAX`] at most.
pub(crate) struct Found<'a> {
    asked: &'a str,
    objects: Vec<NextObject>,
}

impl<'a> Found<'a> {
    pub(crate) fn besides(asked: &'a str) -> Self {
        Self {
            asked,
            objects: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, path: Option<String>, reason: Reason) {
        let Some(path) = path else {
            return;
        };
        let is_known = path == self.asked || self.objects.iter().any(|other| other.path == path);
        if !is_known && self.objects.len() < NEXT_MAX {
            self.objects.push(NextObject { path, reason });
        }
    }

    pub(crate) fn into_objects(self) -> Vec<NextObject> {
        self.objects
    }
}

/// The object of the same item that a reference leads to.
pub(crate) fn rest_of(asked: &MediaPath<'_>, base: &str, reference: &str) -> Option<String> {
    // From the root, a player names the object with its token: the path that it asks for itself.
    let is_from_root = reference.starts_with('/');
    let path = resolve(if is_from_root { "/" } else { base }, reference)?;
    let next = if is_from_root {
        MediaPath::parse_viewer(&path)?.1
    } else {
        MediaPath::parse_object_name(path.strip_prefix('/')?)?
    };
    let is_same_item = next.residency == asked.residency && next.content_id == asked.content_id;
    let is_private = private::PREFIXES
        .iter()
        .any(|prefix| next.rest.starts_with(prefix));
    (is_same_item && !is_private).then(|| next.rest.to_owned())
}

/// The segments after `{rendition}/{number}.m4s` or `{rendition}/init.mp4`.
fn counted(rest: &str, ahead_max: usize) -> Vec<String> {
    let Some((rendition, name)) = rest.split_once('/') else {
        return Vec::new();
    };
    let next = match name {
        INIT_SEGMENT => Some(FIRST_SEGMENT),
        _ => name
            .strip_suffix(SEGMENT_SUFFIX)
            .and_then(segment_number)
            .and_then(|number| number.checked_add(1)),
    };
    let Some(next) = next else {
        return Vec::new();
    };
    (next..=u32::MAX)
        .take(ahead_max.min(NEXT_MAX))
        .map(|number| format!("{rendition}/{number}{SEGMENT_SUFFIX}"))
        .collect()
}

/// A number as our packaging writes it: no sign, no zeros in front.
fn segment_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ITEM: &str = "ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";

    fn next(rest: &str, told: &[&str], ahead_max: usize) -> Vec<(String, Reason)> {
        let name = format!("{ITEM}/{rest}");
        let asked = MediaPath::parse_object_name(&name).unwrap();
        let told: Vec<String> = told.iter().map(|&text| text.to_owned()).collect();
        next_of_media(&asked, &told, ahead_max)
            .into_iter()
            .map(|object| (object.path, object.reason))
            .collect()
    }

    fn counted(paths: &[&str]) -> Vec<(String, Reason)> {
        paths
            .iter()
            .map(|&path| (path.to_owned(), Reason::Counted))
            .collect()
    }

    fn told(paths: &[&str]) -> Vec<(String, Reason)> {
        paths
            .iter()
            .map(|&path| (path.to_owned(), Reason::Told))
            .collect()
    }

    #[test]
    fn segments_are_counted_on() {
        assert_eq!(
            next("v360/3.m4s", &[], 2),
            counted(&["v360/4.m4s", "v360/5.m4s"])
        );
        assert_eq!(next("a128/init.mp4", &[], 1), counted(&["a128/1.m4s"]));
        assert_eq!(
            next("v360/4294967294.m4s", &[], 2),
            counted(&["v360/4294967295.m4s"])
        );
        assert_eq!(next("v360/3.m4s", &[], 100).len(), NEXT_MAX);
        for rest in [
            "v360/4294967295.m4s",
            "v360/03.m4s",
            "v360/3.mp4",
            "v360/x/3.m4s",
            "art/3.jpg",
            "manifest.mpd",
            "3.m4s",
        ] {
            assert_eq!(next(rest, &[], 2), [], "{rest}");
        }
        assert_eq!(next("v360/3.m4s", &[], 0), []);
    }

    #[test]
    fn the_player_knows_better() {
        assert_eq!(next("v360/3.m4s", &["4.m4s"], 2), told(&["v360/4.m4s"]));
        let switch = ["../v720/4.m4s", "../a128/4.m4s", "../v720/4.m4s", "3.m4s"];
        assert_eq!(
            next("v360/3.m4s", &switch, 2),
            told(&["v720/4.m4s", "a128/4.m4s"]),
            "each once, and not the one that was asked for"
        );
        let from_root = format!("/media/token/{ITEM}/v360/4.m4s");
        assert_eq!(next("v360/3.m4s", &[&from_root], 2), told(&["v360/4.m4s"]));
    }

    #[test]
    fn nothing_but_the_same_item_is_led_to() {
        let other = "../../c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd/v360/4.m4s";
        let abroad = "../../../global/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/4.m4s";
        let root = "/media/t/ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd/v360/4.m4s";
        for reference in [
            other,
            abroad,
            root,
            "../source/original",
            "../work/x",
            "../../../../../etc/passwd",
            "https://other.test/4.m4s",
            "//other.test/4.m4s",
            "4.m4s?x=1",
            "/api/v1/users/me",
            "",
        ] {
            assert_eq!(
                next("v360/3.m4s", &[reference], 1),
                counted(&["v360/4.m4s"]),
                "{reference}"
            );
        }
    }

    #[test]
    fn on_a_plain_route_what_lies_under_its_prefix_is() {
        let told = |reference: &str| {
            let told = [reference.to_owned()];
            let found = next_of_plain("/live/a/1.ts?x=1", "/live/", &told);
            found.into_iter().next().map(|object| object.path)
        };
        assert_eq!(told("2.ts?x=2").as_deref(), Some("/live/a/2.ts?x=2"));
        assert_eq!(told("../b/2.ts").as_deref(), Some("/live/b/2.ts"));
        assert_eq!(told("../../admin"), None);
        assert_eq!(told("/live/c").as_deref(), Some("/live/c"));
        assert_eq!(told("http://other.test/live/c"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_told_stays_within_the_item(
            rest in "[a-z0-9]{1,4}/[0-9]{1,4}\\.m4s",
            told in prop::collection::vec("(\\.\\./|/|[a-z0-9.]{1,6}|media|\\?|%2e|:|#){0,8}", 0..12),
            ahead_max in 0_usize..20,
        ) {
            let name = format!("{ITEM}/{rest}");
            let asked = MediaPath::parse_object_name(&name).unwrap();
            let found = next_of_media(&asked, &told, ahead_max);
            prop_assert!(found.len() <= NEXT_MAX);
            for object in found {
                let name = format!("{ITEM}/{}", object.path);
                let path = MediaPath::parse_object_name(&name);
                prop_assert!(path.is_some(), "{name}");
                prop_assert!(object.path != rest);
            }
        }
    }
}
