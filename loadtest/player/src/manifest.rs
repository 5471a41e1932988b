//! What HLS and DASH manifests say, in one form. Names are relative to the master's folder, so that a renewed path keeps them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use url::Url;

use crate::dash;
use crate::hls;

/// Segments of one rendition; more are a manifest that cannot be used.
pub(crate) const SEGMENTS_MAX: usize = 50_000;
/// Bytes of a manifest that are kept.
pub(crate) const MANIFEST_BYTES_MAX: usize = 8 << 20;

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(pub(crate) String);

/// What a rendition carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// Pictures, perhaps with sound.
    Video,
    /// Sound.
    Audio,
}

/// One quality of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Its name: of DASH, its id; of HLS, its playlist.
    pub name: String,
    /// What it needs at its most demanding, bits per second; of HLS with the sound that goes with it. 0: it does not say.
    pub peak_bps: u64,
    /// Lines of the picture; 0: it does not say, or has none.
    pub height: u32,
    /// Columns; likewise.
    pub width: u32,
    /// Of HLS: the name of the sound that goes with it.
    pub audio_group: Option<String>,
    /// Its segments, when they are known.
    pub segments: Option<Arc<SegmentList>>,
}

/// The segments of a rendition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentList {
    /// The initialisation segment.
    pub init: Option<String>,
    /// Names, and durations in µs.
    pub segments: Vec<(String, u64)>,
    /// The longest of these.
    pub longest_us: u64,
}

impl SegmentList {
    pub(crate) fn new(init: Option<String>, segments: Vec<(String, u64)>) -> Self {
        let longest_us = segments.iter().map(|segment| segment.1).max().unwrap_or(0);
        Self {
            init,
            segments,
            longest_us,
        }
    }
}

/// What can be played; renditions from the lowest to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presentation {
    /// Those with pictures; of an item without any, those with sound.
    pub main: Vec<Rendition>,
    /// Sound that plays beside pictures.
    pub audio: Vec<Rendition>,
    /// What `main` is.
    pub has_pictures: bool,
}

impl Presentation {
    pub(crate) fn sorted(mut self) -> Self {
        self.main
            .sort_by_key(|rendition| (rendition.height, rendition.peak_bps));
        self.audio.sort_by_key(|rendition| rendition.peak_bps);
        self
    }
}

/// A relative reference from `base` (itself relative to the master's folder), made relative to that folder; absolute ones stay.
pub(crate) fn resolve(base: &str, reference: &str) -> Result<String, ManifestError> {
    let bad = |error: url::ParseError| ManifestError(format!("{reference}: {error}"));
    let root = Url::parse("http://root.invalid/").map_err(bad)?;
    let joined = root
        .join(base)
        .and_then(|base| base.join(reference))
        .map_err(bad)?;
    match joined.as_str().strip_prefix("http://root.invalid/") {
        Some(relative) => Ok(relative.to_owned()),
        None => Ok(joined.into()),
    }
}

/// Manifests that many players hold, once each.
#[derive(Debug, Default)]
pub struct Shelf {
    lists: Mutex<HashMap<u128, Weak<SegmentList>>>,
    presentations: Mutex<HashMap<u128, Weak<Presentation>>>,
}

/// Above this, entries that nobody holds are forgotten.
const ENTRIES_MAX: usize = 4_096;

fn shelved<T>(
    shelf: &Mutex<HashMap<u128, Weak<T>>>,
    key: u128,
    parse: impl FnOnce() -> Result<T, ManifestError>,
) -> Result<Arc<T>, ManifestError> {
    let mut shelf = shelf.lock();
    if let Some(held) = shelf.get(&key).and_then(Weak::upgrade) {
        return Ok(held);
    }
    let parsed = Arc::new(parse()?);
    if shelf.len() >= ENTRIES_MAX {
        shelf.retain(|_, held| held.strong_count() > 0);
    }
    shelf.insert(key, Arc::downgrade(&parsed));
    Ok(parsed)
}

impl Shelf {
    /// A DASH MPD or an HLS multivariant playlist, told apart by how they begin.
    ///
    /// # Errors
    /// When it is neither, or cannot be used.
    pub fn presentation(
        &self,
        key: u128,
        bytes: &[u8],
    ) -> Result<Arc<Presentation>, ManifestError> {
        shelved(&self.presentations, key, || {
            if bytes.trim_ascii_start().starts_with(b"#EXTM3U") {
                hls::master(bytes)
            } else {
                dash::parse(bytes)
            }
        })
    }

    /// An HLS media playlist, which lies at `name`.
    ///
    /// # Errors
    /// When it is none, or cannot be used.
    pub fn list(
        &self,
        key: u128,
        name: &str,
        bytes: &[u8],
    ) -> Result<Arc<SegmentList>, ManifestError> {
        let own = twox_hash::XxHash3_128::oneshot(name.as_bytes());
        shelved(&self.lists, key ^ own, || hls::media(name, bytes))
    }
}
