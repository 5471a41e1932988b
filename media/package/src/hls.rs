//! HLS playlists (RFC 8216). Every URL is relative, so that the token in the path of a viewer's URL stays in it.

use std::fmt::Write;

use crate::rendition::ticks_to_ms_ceil;
use crate::{HLS_MEDIA, INIT_SEGMENT, PackageError, RenditionInfo, TrackKind, segment_name};

/// Seven is the first version with `EXT-X-MAP` in playlists of whole segments (RFC 8216 section 7 says six, and
/// Apple's authoring rules ask for seven with fragmented MP4).
const VERSION: u32 = 7;

/// The media playlist of one rendition, to be stored in its folder.
///
/// # Errors
/// [`PackageError::Compose`] when the rendition is not valid.
pub fn compose_hls_media(info: &RenditionInfo) -> Result<String, PackageError> {
    info.validate()?;
    let longest_ms = info
        .segments
        .iter()
        .map(|segment| ticks_to_ms_ceil(segment.duration_ticks, info.timescale))
        .max()
        .unwrap_or(0);
    // Each duration, rounded to the nearest second, must not exceed this (section 4.3.3.1).
    let target_s = ((longest_ms + 500) / 1000).max(1);
    let mut out = header();
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{target_s}");
    out.push_str(
        "#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n",
    );
    let _ = writeln!(out, "#EXT-X-MAP:URI=\"{INIT_SEGMENT}\"");
    for (number, segment) in (1..).zip(&info.segments) {
        let micros = u128::from(segment.duration_ticks) * 1_000_000 / u128::from(info.timescale);
        let _ = writeln!(
            out,
            "#EXTINF:{}.{:06},",
            micros / 1_000_000,
            micros % 1_000_000
        );
        out.push_str(&segment_name(number));
        out.push('\n');
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Ok(out)
}

/// The master playlist of these renditions. With pictures, each audio rendition is a group of its own and each video
/// rendition names the group that belongs to it, or the nearest one that is there; with sound alone, each audio
/// rendition is a variant.
///
/// # Errors
/// [`PackageError::Compose`] when there is no rendition, one is not valid, or an id occurs twice.
pub fn compose_hls_master(renditions: &[RenditionInfo]) -> Result<String, PackageError> {
    let set = RenditionSet::new(renditions)?;
    let mut out = header();
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    if set.video.is_empty() {
        for audio in &set.audio {
            put_variant(&mut out, audio, None);
        }
        return Ok(out);
    }
    for audio in &set.audio {
        if let TrackKind::Audio { channels, .. } = audio.track {
            let _ = writeln!(
                out,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"main\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{id}/{HLS_MEDIA}\"",
                id = audio.id,
            );
        }
    }
    for video in &set.video {
        put_variant(&mut out, video, set.audio_for(video));
    }
    Ok(out)
}

fn header() -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n")
}

fn put_variant(out: &mut String, main: &RenditionInfo, audio: Option<&RenditionInfo>) {
    let sum = |of: fn(&RenditionInfo) -> u64| of(main) + audio.map_or(0, of);
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}",
        sum(RenditionInfo::peak_bps),
        sum(RenditionInfo::average_bps),
        main.codec
    );
    if let Some(audio) = audio {
        let _ = write!(out, ",{}", audio.codec);
    }
    out.push('"');
    if let TrackKind::Video {
        width,
        height,
        frame_rate,
        ..
    } = &main.track
    {
        let _ = write!(
            out,
            ",RESOLUTION={width}x{height},FRAME-RATE={:.3}",
            frame_rate.as_f64()
        );
    }
    if let Some(audio) = audio {
        let _ = write!(out, ",AUDIO=\"{}\"", audio.id);
    }
    let _ = writeln!(out, "\n{}/{HLS_MEDIA}", main.id);
}

/// Renditions that were found fit to be one presentation, each kind from the lowest to the highest.
pub(crate) struct RenditionSet<'a> {
    pub(crate) video: Vec<&'a RenditionInfo>,
    pub(crate) audio: Vec<&'a RenditionInfo>,
}

impl<'a> RenditionSet<'a> {
    pub(crate) fn new(renditions: &'a [RenditionInfo]) -> Result<Self, PackageError> {
        if renditions.is_empty() {
            return Err(PackageError::Compose("no rendition".into()));
        }
        for (at, info) in renditions.iter().enumerate() {
            info.validate()?;
            if renditions.iter().take(at).any(|other| other.id == info.id) {
                return Err(PackageError::Compose(format!("{:?} occurs twice", info.id)));
            }
        }
        let (mut video, mut audio): (Vec<_>, Vec<_>) =
            renditions.iter().partition(|info| info.is_video());
        video.sort_by_key(|info| rank(info));
        audio.sort_by_key(|info| rank(info));
        Ok(Self { video, audio })
    }

    /// The audio rendition that belongs to a video: the one it names, or the best one below it, or the lowest.
    pub(crate) fn audio_for(&self, video: &RenditionInfo) -> Option<&'a RenditionInfo> {
        let TrackKind::Video {
            audio_id: Some(wanted),
            ..
        } = &video.track
        else {
            return self.audio.first().copied();
        };
        let bitrate_kbps = |id: &str| {
            id.strip_prefix('a')
                .and_then(|kbps| kbps.parse::<u64>().ok())
        };
        let wanted_kbps = bitrate_kbps(wanted).unwrap_or(0);
        self.audio
            .iter()
            .rev()
            .find(|audio| {
                audio.id == *wanted
                    || bitrate_kbps(&audio.id).is_some_and(|kbps| kbps <= wanted_kbps)
            })
            .or_else(|| self.audio.first())
            .copied()
    }
}

fn rank(info: &RenditionInfo) -> (u64, u64) {
    match &info.track {
        TrackKind::Video { width, height, .. } => {
            (u64::from(*width) * u64::from(*height), info.average_bps())
        }
        TrackKind::Audio { bitrate_bps, .. } => (u64::from(*bitrate_bps), info.average_bps()),
    }
}
