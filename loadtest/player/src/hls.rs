//! HLS playlists (RFC 8216).

use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist};

use crate::manifest::{ManifestError, Presentation, Rendition, SEGMENTS_MAX, SegmentList, resolve};

fn unreadable(error: impl std::fmt::Debug) -> ManifestError {
    let text: String = format!("{error:?}").chars().take(100).collect();
    ManifestError(format!("is no playlist: {text}"))
}

/// A multivariant playlist.
pub(crate) fn master(bytes: &[u8]) -> Result<Presentation, ManifestError> {
    let (_, playlist): (_, MasterPlaylist) =
        m3u8_rs::parse_master_playlist(bytes).map_err(unreadable)?;
    let mut presentation = Presentation::default();
    for variant in playlist
        .variants
        .iter()
        .filter(|variant| !variant.is_i_frame)
    {
        let side = |of: fn(&m3u8_rs::Resolution) -> u64| {
            let side = variant.resolution.as_ref().map_or(0, of);
            u32::try_from(side).unwrap_or(u32::MAX)
        };
        presentation.has_pictures |= variant.resolution.is_some();
        presentation.main.push(Rendition {
            name: resolve("", &variant.uri)?,
            peak_bps: variant.bandwidth,
            height: side(|resolution| resolution.height),
            width: side(|resolution| resolution.width),
            audio_group: variant.audio.clone(),
            segments: None,
        });
    }
    for media in &playlist.alternatives {
        let Some(uri) = media
            .uri
            .as_ref()
            .filter(|_| media.media_type == AlternativeMediaType::Audio)
        else {
            continue;
        };
        presentation.audio.push(Rendition {
            name: resolve("", uri)?,
            peak_bps: 0,
            height: 0,
            width: 0,
            audio_group: Some(media.group_id.clone()),
            segments: None,
        });
    }
    if presentation.main.is_empty() {
        return Err(ManifestError("has no variant".to_owned()));
    }
    Ok(presentation.sorted())
}

/// A media playlist, which lies at `name`.
pub(crate) fn media(name: &str, bytes: &[u8]) -> Result<SegmentList, ManifestError> {
    let (_, playlist): (_, MediaPlaylist) =
        m3u8_rs::parse_media_playlist(bytes).map_err(unreadable)?;
    if !playlist.end_list {
        return Err(ManifestError(
            "has no EXT-X-ENDLIST: it was cut off, or is live".to_owned(),
        ));
    }
    if playlist.segments.is_empty() || playlist.segments.len() > SEGMENTS_MAX {
        return Err(ManifestError(format!(
            "has {} segments",
            playlist.segments.len()
        )));
    }
    let init = playlist
        .segments
        .iter()
        .find_map(|segment| segment.map.as_ref())
        .map(|map| resolve(name, &map.uri))
        .transpose()?;
    let mut segments = Vec::with_capacity(playlist.segments.len());
    for segment in &playlist.segments {
        if segment.byte_range.is_some() {
            return Err(ManifestError(
                "has EXT-X-BYTERANGE, which is not played".to_owned(),
            ));
        }
        let duration_us = (f64::from(segment.duration) * 1e6).round().max(0.0) as u64;
        // Each duration, rounded to the nearest second, must not exceed the target (section 4.3.3.1).
        if duration_us.saturating_add(500_000) / 1_000_000 > playlist.target_duration {
            return Err(ManifestError(format!(
                "{} is longer than EXT-X-TARGETDURATION",
                segment.uri
            )));
        }
        segments.push((resolve(name, &segment.uri)?, duration_us));
    }
    Ok(SegmentList::new(init, segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_masters_folder() {
        let text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\n\
                    1.m4s\n#EXTINF:2.5,\n../other/2.m4s\n#EXT-X-ENDLIST\n";
        let list = media("v360/media.m3u8", text.as_bytes()).expect("a playlist");
        assert_eq!(list.init.as_deref(), Some("v360/init.mp4"));
        let expected = [
            ("v360/1.m4s".to_owned(), 4_000_000),
            ("other/2.m4s".to_owned(), 2_500_000),
        ];
        assert_eq!(list.segments, expected);
        let cut = text.replace("#EXT-X-ENDLIST\n", "");
        assert!(media("v360/media.m3u8", cut.as_bytes()).is_err());
    }
}
