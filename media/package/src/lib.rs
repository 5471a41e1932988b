//! CMAF segments (ISO/IEC 23000-19), HLS (RFC 8216) and DASH (ISO/IEC 23009-1) manifests over one segment set.
//!
//! An encoder's samples go into a [`TrackWriter`], which writes a mezzanine: one fragmented MP4 file a track whose
//! fragments are the segments that viewers will ask for. [`split_mezzanine`] cuts it into `init.mp4` and `{n}.m4s`
//! without touching a byte. The manifests are composed of whatever set of [`RenditionInfo`] is ready, so that renditions
//! join the same presentation as they finish.
//!
//! Both kinds of track begin at presentation time 0. A video sample is decoded at the presentation time of the same rank
//! in its group of pictures, so a segment's decode time is its presentation time; what reordering adds to the
//! composition offsets is constant and taken off by one edit list entry, the form that every player knows from FFmpeg.
//! Sound has no edit list: the encoder's AAC priming frame is left out by whoever feeds the writer.

mod aac;
mod boxes;
mod dash;
mod error;
mod fragment;
mod h264;
mod hls;
mod init;
mod mezzanine;
mod rendition;
mod timeline;
mod writer;

pub use dash::compose_dash;
pub use error::PackageError;
pub use hls::{compose_hls_master, compose_hls_media};
pub use mezzanine::{SegmentPart, mezzanine_parts, split_mezzanine};
pub use rendition::{FrameRate, RenditionInfo, SegmentInfo, TrackKind};
pub use timeline::{KeyGrid, SEGMENT_GRID_MS};
pub use writer::{EncodedSample, TrackConfig, TrackWriter};

/// The name of the HLS master playlist inside an item.
pub const HLS_MASTER: &str = "manifest.m3u8";
/// The name of the DASH manifest inside an item.
pub const DASH_MANIFEST: &str = "manifest.mpd";
/// The name of a rendition's HLS media playlist inside its folder.
pub const HLS_MEDIA: &str = "index.m3u8";
/// The name of a rendition's init segment inside its folder.
pub const INIT_SEGMENT: &str = "init.mp4";

/// The name of the segment with this number (from 1) inside its rendition's folder.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number}.m4s")
}
