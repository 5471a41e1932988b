//! The DASH manifest (ISO/IEC 23009-1, `isoff-live` profile, static). Every URL is relative.

use std::fmt::Write;

use crate::hls::RenditionSet;
use crate::{INIT_SEGMENT, PackageError, RenditionInfo, TrackKind};

/// The manifest of these renditions, over the same segments as the HLS playlists.
///
/// # Errors
/// [`PackageError::Compose`] when there is no rendition, one is not valid, or an id occurs twice.
pub fn compose_dash(renditions: &[RenditionInfo]) -> Result<String, PackageError> {
    let set = RenditionSet::new(renditions)?;
    let duration_ms = renditions
        .iter()
        .map(RenditionInfo::duration_ms)
        .max()
        .unwrap_or(0);
    let longest_segment_ms = renditions
        .iter()
        .flat_map(|info| {
            info.segments
                .iter()
                .map(|s| s.duration_ticks * 1000 / u64::from(info.timescale))
        })
        .max()
        .unwrap_or(0);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" \
         mediaPresentationDuration=\"{}\" minBufferTime=\"{}\">",
        iso8601(duration_ms),
        iso8601(longest_segment_ms.max(2000)),
    );
    out.push_str("  <Period id=\"0\" start=\"PT0S\">\n");
    for (id, kind, mime, members) in [
        (0, "video", "video/mp4", &set.video),
        (1, "audio", "audio/mp4", &set.audio),
    ] {
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "    <AdaptationSet id=\"{id}\" contentType=\"{kind}\" mimeType=\"{mime}\" segmentAlignment=\"true\" startWithSAP=\"1\">"
        );
        for info in members {
            put_representation(&mut out, info);
        }
        out.push_str("    </AdaptationSet>\n");
    }
    out.push_str("  </Period>\n</MPD>\n");
    Ok(out)
}

fn put_representation(out: &mut String, info: &RenditionInfo) {
    let _ = write!(
        out,
        "      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\"",
        info.id,
        info.peak_bps(),
        info.codec
    );
    match &info.track {
        TrackKind::Video {
            width,
            height,
            frame_rate,
            ..
        } => {
            let _ = writeln!(
                out,
                " width=\"{width}\" height=\"{height}\" frameRate=\"{}/{}\" sar=\"1:1\">",
                frame_rate.num, frame_rate.den
            );
        }
        TrackKind::Audio {
            rate_hz, channels, ..
        } => {
            let _ = writeln!(out, " audioSamplingRate=\"{rate_hz}\">");
            let _ = writeln!(
                out,
                "        <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{channels}\"/>"
            );
        }
    }
    let _ = writeln!(
        out,
        "        <SegmentTemplate timescale=\"{}\" startNumber=\"1\" initialization=\"{id}/{INIT_SEGMENT}\" media=\"{id}/$Number$.m4s\">",
        info.timescale,
        id = info.id,
    );
    out.push_str("          <SegmentTimeline>\n");
    let mut first = true;
    for run in info
        .segments
        .chunk_by(|a, b| a.duration_ticks == b.duration_ticks)
    {
        let Some(duration) = run.first().map(|segment| segment.duration_ticks) else {
            continue;
        };
        out.push_str("            <S");
        if std::mem::take(&mut first) {
            out.push_str(" t=\"0\"");
        }
        let _ = write!(out, " d=\"{duration}\"");
        if run.len() > 1 {
            let _ = write!(out, " r=\"{}\"", run.len() - 1);
        }
        out.push_str("/>\n");
    }
    out.push_str(
        "          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n",
    );
}

/// An `xs:duration` in seconds.
fn iso8601(ms: u64) -> String {
    format!("PT{}.{:03}S", ms / 1000, ms % 1000)
}
