//! The shape of media paths and object names.
//!
//! Viewers ask an edge for `/media/{token}/{residency}/{content_id}/{rest}`; the edge takes the token out and asks the
//! origin, and names its cache entries, `/media/{residency}/{content_id}/{rest}`. The object's name in storage is
//! `{residency}/{content_id}/{rest}`. The token rides in the path so that relative URLs in manifests keep it.

use crate::{ContentId, Residency};

/// What begins every media path.
pub const MEDIA_PREFIX: &str = "/media/";

/// A media path without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPath<'a> {
    /// Decides which PoPs may hold the bytes.
    pub residency: Residency,
    /// The item.
    pub content_id: ContentId,
    /// What of the item: `manifest.m3u8`, `manifest.mpd`, `{rendition}/{segment}.{ext}`, `art/{name}.jpg`. Never
    /// empty, no empty, `.` or `..` step, only `A-Z a-z 0-9 . _ -` and `/`.
    pub rest: &'a str,
}

impl<'a> MediaPath<'a> {
    /// Parses `{residency}/{content_id}/{rest}`; the grammar is closed, so what parses needs no further escaping.
    #[must_use]
    pub fn parse_object_name(name: &'a str) -> Option<Self> {
        let (residency, tail) = name.split_once('/')?;
        let (content_id, rest) = tail.split_once('/')?;
        let valid_step = |step: &str| {
            !step.is_empty()
                && step != "."
                && step != ".."
                && step
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if rest.len() > 256 || !rest.split('/').all(valid_step) {
            return None;
        }
        Some(Self {
            residency: Residency::from_prefix(residency).ok()?,
            content_id: content_id.parse().ok()?,
            rest,
        })
    }

    /// Parses `/media/{residency}/{content_id}/{rest}`: the form between edge and origin.
    #[must_use]
    pub fn parse_origin(path: &'a str) -> Option<Self> {
        Self::parse_object_name(path.strip_prefix(MEDIA_PREFIX)?)
    }

    /// Parses `/media/{token}/{residency}/{content_id}/{rest}`: the form between viewer and edge. Returns the token,
    /// not yet verified, beside the path.
    #[must_use]
    pub fn parse_viewer(path: &'a str) -> Option<(&'a str, Self)> {
        let (token, name) = path.strip_prefix(MEDIA_PREFIX)?.split_once('/')?;
        Some((token, Self::parse_object_name(name)?))
    }

    /// `{residency}/{content_id}/{rest}`.
    #[must_use]
    pub fn object_name(&self) -> String {
        format!(
            "{}/{}/{}",
            self.residency.prefix(),
            self.content_id,
            self.rest
        )
    }

    /// Is this a manifest (short life at the edge) rather than a segment?
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.rest.ends_with(".m3u8") || self.rest.ends_with(".mpd")
    }
}

/// Names inside an item that must never be served to viewers.
pub mod private {
    /// What begins the name of the creator's original, and of intermediate files, inside `{residency}/{content_id}/`.
    pub const PREFIXES: [&str; 2] = ["source/", "work/"];
    /// The creator's original.
    pub const SOURCE: &str = "source/original";
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/12.m4s";

    #[test]
    fn the_three_forms_agree() {
        let path = MediaPath::parse_object_name(NAME).expect("an object name");
        assert_eq!(path.object_name(), NAME);
        assert_eq!(
            MediaPath::parse_origin(&format!("/media/{NAME}")),
            Some(path.clone())
        );
        assert_eq!(
            MediaPath::parse_viewer(&format!("/media/tok/{NAME}")),
            Some(("tok", path))
        );
    }

    #[test]
    fn steps_out_and_escapes_are_no_paths() {
        for rest in [
            "../x",
            "a//b",
            "",
            ".",
            "a/%2e%2e/b",
            "a b",
            "a\\b",
            "a/../b",
            "é",
        ] {
            let name = format!("global/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/{rest}");
            assert_eq!(MediaPath::parse_object_name(&name), None, "{rest:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = MediaPath::parse_viewer(&text);
            let _ = MediaPath::parse_origin(&text);
        }
    }
}
