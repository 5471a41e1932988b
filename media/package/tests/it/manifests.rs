//! Manifests, read by parsers that are not ours.

use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist};
use mcsp_media_package::{RenditionInfo, compose_dash, compose_hls_master, compose_hls_media};
use quick_xml::events::{BytesStart, Event};

use crate::support::{audio, video};

fn master(renditions: &[RenditionInfo]) -> MasterPlaylist {
    m3u8_rs::parse_master_playlist_res(compose_hls_master(renditions).unwrap().as_bytes()).unwrap()
}

#[test]
fn a_media_playlist_lists_every_segment() {
    let (info, _) = video("v360", 360, Some("a64"), 260);
    let text = compose_hls_media(&info).unwrap();
    let playlist: MediaPlaylist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
    assert_eq!(playlist.version, Some(7));
    assert_eq!(playlist.target_duration, 4);
    assert!(playlist.end_list && playlist.independent_segments);
    assert_eq!(playlist.segments.len(), 3);
    assert_eq!(playlist.segments[0].map.as_ref().unwrap().uri, "init.mp4");
    assert_eq!(playlist.segments[2].uri, "3.m4s");
    let seconds: f32 = playlist.segments.iter().map(|s| s.duration).sum();
    assert!((seconds - 10.4).abs() < 0.001, "{seconds}");
}

#[test]
fn each_video_names_the_audio_that_belongs_to_it() {
    let set = [
        video("v720", 720, Some("a128"), 260).0,
        audio("a128", 128_000, 480).0,
        video("v360", 360, Some("a64"), 260).0,
        audio("a64", 64_000, 480).0,
    ];
    let master = master(&set);
    let groups: Vec<_> = master
        .alternatives
        .iter()
        .map(|a| (a.group_id.as_str(), a.uri.as_deref()))
        .collect();
    assert_eq!(
        groups,
        [
            ("a64", Some("a64/index.m3u8")),
            ("a128", Some("a128/index.m3u8"))
        ]
    );
    assert!(
        master
            .alternatives
            .iter()
            .all(|a| a.media_type == AlternativeMediaType::Audio)
    );
    let variants: Vec<_> = master
        .variants
        .iter()
        .map(|v| (v.uri.as_str(), v.audio.as_deref()))
        .collect();
    assert_eq!(
        variants,
        [
            ("v360/index.m3u8", Some("a64")),
            ("v720/index.m3u8", Some("a128"))
        ]
    );
    let first = &master.variants[0];
    assert_eq!(first.codecs.as_deref(), Some("avc1.64001e,mp4a.40.2"));
    assert_eq!(
        first.resolution.map(|r| (r.width, r.height)),
        Some((640, 360))
    );
    assert_eq!(first.frame_rate, Some(25.0));
    assert_eq!(first.bandwidth, set[2].peak_bps() + set[3].peak_bps());
    assert_eq!(
        first.average_bandwidth,
        Some(set[2].average_bps() + set[3].average_bps())
    );
    assert!(first.average_bandwidth.unwrap() <= first.bandwidth);
}

#[test]
fn renditions_join_as_they_finish() {
    let early = [
        video("v360", 360, Some("a64"), 260).0,
        video("v720", 720, Some("a128"), 260).0,
        audio("a64", 64_000, 480).0,
    ];
    let master_early = master(&early);
    assert!(
        master_early
            .variants
            .iter()
            .all(|v| v.audio.as_deref() == Some("a64")),
        "the only audio there is"
    );
    let silent = [video("v360", 360, None, 260).0];
    let master_silent = master(&silent);
    assert!(master_silent.alternatives.is_empty() && master_silent.variants[0].audio.is_none());
    assert_eq!(
        master_silent.variants[0].codecs.as_deref(),
        Some("avc1.64001e")
    );
}

#[test]
fn sound_alone_is_variants() {
    let master = master(&[audio("a128", 128_000, 480).0, audio("a64", 64_000, 480).0]);
    assert!(master.alternatives.is_empty());
    let uris: Vec<_> = master.variants.iter().map(|v| v.uri.as_str()).collect();
    assert_eq!(uris, ["a64/index.m3u8", "a128/index.m3u8"]);
    assert_eq!(master.variants[0].codecs.as_deref(), Some("mp4a.40.2"));
}

#[test]
fn what_is_no_presentation_is_refused() {
    assert!(compose_hls_master(&[]).is_err());
    assert!(compose_dash(&[]).is_err());
    let one = audio("a64", 64_000, 480).0;
    assert!(compose_dash(&[one.clone(), one]).is_err());
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).unwrap()?;
    Some(found.value.into_owned())
}

#[test]
fn the_dash_timeline_sums_to_the_track() {
    let set = [
        video("v360", 360, Some("a64"), 260).0,
        video("v720", 720, None, 260).0,
        audio("a64", 64_000, 480).0,
    ];
    let text = compose_dash(&set).unwrap();
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut ids, mut sums, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                "MPD" => {
                    assert_eq!(attribute(&element, "type").as_deref(), Some("static"));
                    assert_eq!(
                        attribute(&element, "mediaPresentationDuration").as_deref(),
                        Some("PT10.400S")
                    );
                }
                "AdaptationSet" => kinds.push(attribute(&element, "contentType").unwrap()),
                "Representation" => {
                    ids.push(attribute(&element, "id").unwrap());
                    sums.push(0);
                }
                "SegmentTemplate" => {
                    let id = ids.last().unwrap();
                    assert_eq!(
                        attribute(&element, "media"),
                        Some(format!("{id}/$Number$.m4s"))
                    );
                    assert_eq!(
                        attribute(&element, "initialization"),
                        Some(format!("{id}/init.mp4"))
                    );
                }
                "S" => {
                    let number =
                        |name| attribute(&element, name).map(|v| v.parse::<u64>().unwrap());
                    *sums.last_mut().unwrap() +=
                        number("d").unwrap() * (number("r").unwrap_or(0) + 1);
                }
                _ => {}
            },
            _ => {}
        }
    }
    assert_eq!(kinds, ["video", "audio"]);
    assert_eq!(ids, ["v360", "v720", "a64"]);
    assert_eq!(
        sums,
        set.iter()
            .map(RenditionInfo::duration_ticks)
            .collect::<Vec<_>>()
    );
    assert!(
        !text.contains("://") || !text.contains("BaseURL"),
        "relative URLs only"
    );
}
