//! What the manifests need to know of one packaged rendition.

use serde::{Deserialize, Serialize};

use crate::PackageError;

/// Frames a second as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Frames.
    pub num: u32,
    /// In this many seconds; not 0.
    pub den: u32,
}

impl FrameRate {
    /// Frames a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }
}

/// What a track carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TrackKind {
    /// H.264.
    Video {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
        /// The rung of the ladder, such as 720: the height of the box that a landscape picture was fitted into.
        rung: u32,
        /// Average over the track.
        frame_rate: FrameRate,
        /// The audio rendition that belongs beside it, when there is one, such as `a128`.
        audio_id: Option<String>,
    },
    /// AAC-LC.
    Audio {
        /// Hertz.
        rate_hz: u32,
        /// 1 or 2.
        channels: u16,
        /// The bitrate that the encoder was asked for, bits a second. What it reached is measured.
        bitrate_bps: u32,
    },
}

/// One segment, in order, from number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// In the track's timescale.
    pub duration_ticks: u64,
    /// Of the whole segment file.
    pub size_bytes: u64,
}

/// One rendition: a track, its codec and its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenditionInfo {
    /// The name of its folder, such as `v360` or `a64`: `a-z 0-9`, 1 to 16 characters.
    pub id: String,
    /// What it carries.
    pub track: TrackKind,
    /// The `codecs` parameter (RFC 6381), such as `avc1.64001f`.
    pub codec: String,
    /// Ticks a second.
    pub timescale: u32,
    /// Of the init segment.
    pub init_bytes: u64,
    /// In order; never empty.
    pub segments: Vec<SegmentInfo>,
}

impl RenditionInfo {
    /// Is this a picture?
    #[must_use]
    pub fn is_video(&self) -> bool {
        matches!(self.track, TrackKind::Video { .. })
    }

    /// The sum of its segments, in the track's timescale.
    #[must_use]
    pub fn duration_ticks(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.duration_ticks)
            .sum()
    }

    /// The sum of its segments, milliseconds, rounded up.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        ticks_to_ms_ceil(self.duration_ticks(), self.timescale)
    }

    /// Bits a second of its most demanding segment (RFC 8216 section 4.3.4.2). A last segment shorter than half of
    /// the longest counts with its neighbour, as a burst of milliseconds is no demand on a network.
    #[must_use]
    pub fn peak_bps(&self) -> u64 {
        let longest = self
            .segments
            .iter()
            .map(|s| s.duration_ticks)
            .max()
            .unwrap_or(0);
        let mut peak = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            let alone = at == 0 || segment.duration_ticks * 2 >= longest;
            let (mut bytes, mut ticks) = (segment.size_bytes, segment.duration_ticks);
            if !alone && let Some(before) = self.segments.get(at - 1) {
                bytes += before.size_bytes;
                ticks += before.duration_ticks;
            }
            peak = peak.max(bits_per_second(bytes, ticks, self.timescale));
        }
        peak
    }

    /// Bits a second over all segments.
    #[must_use]
    pub fn average_bps(&self) -> u64 {
        let bytes = self.segments.iter().map(|segment| segment.size_bytes).sum();
        bits_per_second(bytes, self.duration_ticks(), self.timescale)
    }

    /// Is it fit for manifests?
    ///
    /// # Errors
    /// [`PackageError::Compose`] when the id cannot be a path step, there is no segment, or a number that must not be 0 is.
    pub fn validate(&self) -> Result<(), PackageError> {
        let id_is_a_step = (1..=16).contains(&self.id.len())
            && self
                .id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let wrong = if !id_is_a_step {
            "an id that cannot be a folder's name"
        } else if self.timescale == 0 {
            "timescale 0"
        } else if self.segments.is_empty() {
            "no segment"
        } else if self.segments.iter().any(|s| s.duration_ticks == 0) {
            "a segment without duration"
        } else if !self
            .codec
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.')
        {
            "a codec that is none"
        } else {
            return Ok(());
        };
        Err(PackageError::Compose(format!("{:?} has {wrong}", self.id)))
    }
}

fn bits_per_second(bytes: u64, ticks: u64, timescale: u32) -> u64 {
    if ticks == 0 {
        return 0;
    }
    let bits = u128::from(bytes) * 8 * u128::from(timescale);
    u64::try_from(bits.div_ceil(u128::from(ticks))).unwrap_or(u64::MAX)
}

/// Milliseconds, rounded up.
pub(crate) fn ticks_to_ms_ceil(ticks: u64, timescale: u32) -> u64 {
    let ms = (u128::from(ticks) * 1000).div_ceil(u128::from(timescale.max(1)));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendition(segments: &[(u64, u64)]) -> RenditionInfo {
        RenditionInfo {
            id: "a64".into(),
            track: TrackKind::Audio {
                rate_hz: 48_000,
                channels: 2,
                bitrate_bps: 64_000,
            },
            codec: "mp4a.40.2".into(),
            timescale: 1000,
            init_bytes: 600,
            segments: segments
                .iter()
                .map(|&(duration_ticks, size_bytes)| SegmentInfo {
                    duration_ticks,
                    size_bytes,
                })
                .collect(),
        }
    }

    #[test]
    fn bandwidth_is_measured() {
        let info = rendition(&[(4000, 1000), (4000, 3000), (10, 500)]);
        assert_eq!(
            info.peak_bps(),
            (3500_u64 * 8 * 1000).div_ceil(4010).max(6000)
        );
        assert_eq!(info.average_bps(), (4500_u64 * 8 * 1000).div_ceil(8010));
        assert_eq!(info.duration_ms(), 8010);
    }

    #[test]
    fn what_cannot_be_listed_is_refused() {
        assert!(rendition(&[(4000, 1)]).validate().is_ok());
        assert!(rendition(&[]).validate().is_err());
        assert!(rendition(&[(0, 1)]).validate().is_err());
        let mut named = rendition(&[(4000, 1)]);
        named.id = "../x".into();
        assert!(named.validate().is_err());
    }
}
