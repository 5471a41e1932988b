//! What a playlist of HLS lists (RFC 8216): where a player begins, and what follows what.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mcsp_api::media_path::MediaPath;
use parking_lot::Mutex;

use crate::next::{Found, NEXT_MAX, NextObject, Reason, rest_of};
use crate::reference::resolve;

/// The largest playlist that is looked at, bytes.
const PLAYLIST_BYTES_MAX: usize = 1 << 20;
/// The most segments of one that are remembered.
const SEGMENTS_MAX: usize = 8_192;
/// What a remembered segment costs beside its path, bytes, about.
const ENTRY_BYTES: usize = 96;

/// A media playlist, as far as it matters here. References are as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Playlist<'a> {
    init: Option<&'a str>,
    segments: Vec<&'a str>,
    /// No more will be added: a player begins at the beginning, not at the end.
    is_ended: bool,
}

impl<'a> Playlist<'a> {
    /// `None` for what is no media playlist, and for one whose segments are ranges of one file.
    fn parse(body: &'a [u8]) -> Option<Self> {
        if body.len() > PLAYLIST_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let mut lines = text.lines().map(str::trim);
        if lines.next()? != "#EXTM3U" {
            return None;
        }
        let mut playlist = Self::default();
        for line in lines {
            if line.is_empty() {
                continue;
            }
            let Some(tag) = line.strip_prefix('#') else {
                if playlist.segments.len() < SEGMENTS_MAX {
                    playlist.segments.push(line);
                }
                continue;
            };
            if tag.starts_with("EXT-X-BYTERANGE") || tag.starts_with("EXT-X-STREAM-INF") {
                return None;
            }
            if tag == "EXT-X-ENDLIST" {
                playlist.is_ended = true;
            }
            if let Some(attributes) = tag.strip_prefix("EXT-X-MAP:")
                && !attributes.contains("BYTERANGE")
            {
                playlist.init = playlist.init.or_else(|| uri_of(attributes));
            }
        }
        (!playlist.segments.is_empty()).then_some(playlist)
    }

    /// What a player asks for first.
    fn beginning(&self, ahead_max: usize) -> impl Iterator<Item = &'a str> {
        let skipped = if self.is_ended {
            0
        } else {
            self.segments.len().saturating_sub(ahead_max)
        };
        let segments = self.segments.iter().skip(skipped).take(ahead_max);
        self.init.into_iter().chain(segments.copied())
    }
}

fn uri_of(attributes: &str) -> Option<&str> {
    let (_, rest) = attributes.split_once("URI=\"")?;
    rest.split_once('"').map(|(uri, _)| uri)
}

/// What a player asks for once it has this playlist of one of our items: the init segment, and the first `ahead_max`
/// segments (of a playlist that still grows, the last).
#[must_use]
pub fn beginning_of_media(asked: &MediaPath<'_>, body: &[u8], ahead_max: usize) -> Vec<NextObject> {
    let base = format!("/{}", asked.object_name());
    let mut found = Found::besides(asked.rest);
    if let Some(playlist) = Playlist::parse(body) {
        for reference in playlist.beginning(ahead_max) {
            found.add(rest_of(asked, &base, reference), Reason::Listed);
        }
    }
    found.into_objects()
}

/// Which segment follows which, as the playlists say that were learned last. Bounded: the playlist that was learned
/// first is forgotten first.
#[derive(Debug)]
pub struct PlaylistIndex {
    bytes_max: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Segments of a playlist by its path.
    playlists: HashMap<Arc<str>, Arc<[Arc<str>]>>,
    /// Paths of playlists in the order of learning.
    order: VecDeque<Arc<str>>,
    /// Playlist and position of a segment.
    places: HashMap<Arc<str>, (Arc<str>, usize)>,
    bytes: usize,
}

impl PlaylistIndex {
    /// Remembers about `bytes_max` bytes of paths; 4 MiB holds some 25 000 segments.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            known: Mutex::default(),
        }
    }

    /// Learns a playlist of a plain route, found at `path`, in place of what was there before. Returns what a player
    /// asks for first: the init segment, and the first `ahead_max` segments (of a playlist that still grows, the last).
    /// References that lead out of `scope`, the route's path prefix, are left out.
    pub fn learn(&self, path: &str, scope: &str, body: &[u8], ahead_max: usize) -> Vec<NextObject> {
        let within = |reference: &str| resolve(path, reference).filter(|to| to.starts_with(scope));
        let Some(playlist) = Playlist::parse(body) else {
            self.known.lock().forget(path);
            return Vec::new();
        };
        let segments: Arc<[Arc<str>]> = playlist
            .segments
            .iter()
            .filter_map(|reference| within(reference))
            .map(Arc::from)
            .collect();
        self.known.lock().put(path, segments, self.bytes_max);
        let mut found = Found::besides(path);
        for reference in playlist.beginning(ahead_max) {
            found.add(within(reference), Reason::Listed);
        }
        found.into_objects()
    }

    /// The segments after the one at `path`, at most `ahead_max`; none when no playlist lists it.
    #[must_use]
    pub fn after(&self, path: &str, ahead_max: usize) -> Vec<NextObject> {
        let known = self.known.lock();
        let Some((playlist, at)) = known.places.get(path) else {
            return Vec::new();
        };
        let segments = known.playlists.get(playlist);
        segments
            .into_iter()
            .flat_map(|segments| segments.iter().skip(at + 1))
            .take(ahead_max.min(NEXT_MAX))
            .map(|path| NextObject {
                path: path.to_string(),
                reason: Reason::Listed,
            })
            .collect()
    }
}

impl Known {
    fn put(&mut self, path: &str, segments: Arc<[Arc<str>]>, bytes_max: usize) {
        self.forget(path);
        let bytes = cost(path, &segments);
        if bytes > bytes_max {
            return;
        }
        while self.bytes + bytes > bytes_max {
            let Some(oldest) = self.order.front().cloned() else {
                break;
            };
            self.forget(&oldest);
        }
        let path: Arc<str> = Arc::from(path);
        for (at, segment) in segments.iter().enumerate() {
            self.places
                .insert(Arc::clone(segment), (Arc::clone(&path), at));
        }
        self.bytes += bytes;
        self.order.push_back(Arc::clone(&path));
        self.playlists.insert(path, segments);
    }

    fn forget(&mut self, path: &str) {
        let Some(segments) = self.playlists.remove(path) else {
            return;
        };
        self.bytes -= cost(path, &segments);
        self.order.retain(|other| **other != *path);
        for segment in segments.iter() {
            // Another playlist may list it since.
            if self
                .places
                .get(segment)
                .is_some_and(|(playlist, _)| **playlist == *path)
            {
                self.places.remove(segment);
            }
        }
    }
}

fn cost(path: &str, segments: &[Arc<str>]) -> usize {
    let of_segments = segments.iter().map(|segment| segment.len() + ENTRY_BYTES);
    path.len() + ENTRY_BYTES + of_segments.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENDED: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI=\"v360/init.mp4\"\n#EXTINF:4,\nv360/1.m4s\n#EXTINF:4,\nv360/2.m4s\n#EXTINF:4,\nv360/3.m4s\n#EXT-X-ENDLIST\n";
    const GROWING: &str = "#EXTM3U\r\n#EXT-X-MEDIA-SEQUENCE:9\r\n#EXTINF:4,\r\na9.ts?k=1\r\n#EXTINF:4,\r\nb10.ts?k=1\r\n\r\n#EXTINF:4,\r\nc11.ts?k=1\r\n";

    fn paths(objects: Vec<NextObject>) -> Vec<String> {
        assert!(objects.iter().all(|object| object.reason == Reason::Listed));
        objects.into_iter().map(|object| object.path).collect()
    }

    fn item(rest: &str) -> String {
        format!("ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/{rest}")
    }

    #[test]
    fn a_player_begins_with_the_init_segment_and_the_first() {
        let name = item("v360.m3u8");
        let asked = MediaPath::parse_object_name(&name).unwrap();
        let beginning =
            |body: &str, ahead_max| paths(beginning_of_media(&asked, body.as_bytes(), ahead_max));
        assert_eq!(
            beginning(ENDED, 2),
            ["v360/init.mp4", "v360/1.m4s", "v360/2.m4s"]
        );
        assert_eq!(beginning(ENDED, 0), ["v360/init.mp4"]);
        let outside = ENDED.replace("v360/1.m4s", "../c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd/1.m4s");
        assert_eq!(beginning(&outside, 1), ["v360/init.mp4"]);
    }

    #[test]
    fn what_is_no_media_playlist_says_nothing() {
        let name = item("v360.m3u8");
        let asked = MediaPath::parse_object_name(&name).unwrap();
        for body in [
            "",
            "#EXTM3U\n",
            "<MPD/>",
            "#EXTINF:4,\n1.m4s\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv360.m3u8\n",
            "#EXTM3U\n#EXTINF:4,\n#EXT-X-BYTERANGE:9@0\nall.mp4\n",
        ] {
            assert_eq!(beginning_of_media(&asked, body.as_bytes(), 2), [], "{body}");
        }
        let large = format!("{ENDED}{}", "#\n".repeat(600_000));
        assert_eq!(beginning_of_media(&asked, large.as_bytes(), 2), []);
    }

    #[test]
    fn segments_follow_as_they_are_listed() {
        let index = PlaylistIndex::new(1 << 20);
        let first = index.learn("/live/x.m3u8", "/live/", GROWING.as_bytes(), 2);
        assert_eq!(paths(first), ["/live/b10.ts?k=1", "/live/c11.ts?k=1"]);
        assert_eq!(
            paths(index.after("/live/a9.ts?k=1", 8)),
            ["/live/b10.ts?k=1", "/live/c11.ts?k=1"]
        );
        assert_eq!(index.after("/live/c11.ts?k=1", 8), []);
        assert_eq!(index.after("/live/a9.ts", 8), []);
        // The list moves on.
        let later = GROWING.replace("a9.ts", "d12.ts");
        index.learn("/live/x.m3u8", "/live/", later.as_bytes(), 2);
        assert_eq!(index.after("/live/a9.ts?k=1", 8), []);
        assert_eq!(
            paths(index.after("/live/d12.ts?k=1", 1)),
            ["/live/b10.ts?k=1"]
        );
        // And is gone.
        index.learn("/live/x.m3u8", "/live/", b"", 2);
        assert_eq!(index.after("/live/d12.ts?k=1", 1), []);
        assert_eq!(index.known.lock().bytes, 0);
        assert!(index.known.lock().places.is_empty());
    }

    #[test]
    fn nothing_out_of_the_routes_prefix_is_listed() {
        let index = PlaylistIndex::new(1 << 20);
        let body = "#EXTM3U\n#EXTINF:4,\na.ts\n#EXTINF:4,\n/admin/b.ts\n#EXTINF:4,\nhttps://other.test/c.ts\n#EXTINF:4,\n../d.ts\n#EXTINF:4,\ne.ts\n";
        index.learn("/live/x.m3u8", "/live/", body.as_bytes(), 2);
        assert_eq!(paths(index.after("/live/a.ts", 8)), ["/live/e.ts"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_stays_within_its_bound_and_in_step(
            playlists in prop::collection::vec((0_u8..6, 0_usize..40, 0_u8..4), 1..40),
            bytes_max in 100_usize..6_000,
        ) {
            let index = PlaylistIndex::new(bytes_max);
            for (name, segments, series) in playlists {
                let body: String = (0..segments)
                    .map(|nth| format!("#EXTINF:4,\ns{series}-{nth}.ts\n"))
                    .collect();
                let path = format!("/{name}.m3u8");
                index.learn(&path, "/", format!("#EXTM3U\n{body}").as_bytes(), 2);
                let known = index.known.lock();
                prop_assert!(known.bytes <= bytes_max);
                let cost_of_all: usize = known
                    .playlists
                    .iter()
                    .map(|(path, segments)| cost(path, segments))
                    .sum();
                prop_assert_eq!(known.bytes, cost_of_all);
                prop_assert_eq!(known.order.len(), known.playlists.len());
                for (segment, (playlist, at)) in &known.places {
                    let listed = known.playlists.get(playlist).and_then(|list| list.get(*at));
                    prop_assert_eq!(listed, Some(segment));
                }
            }
        }

        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut playlist = b"#EXTM3U\n".to_vec();
            playlist.extend_from_slice(&body);
            let _ = PlaylistIndex::new(1_000).learn("/x", "/", &playlist, 2);
        }
    }
}
