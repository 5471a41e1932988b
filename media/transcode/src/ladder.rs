//! Which renditions a source gets.

use mcsp_media_probe::{AudioStream, Probe, VideoStream};
use serde::{Deserialize, Serialize};

/// A picture to encode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRung {
    /// The rendition's id, such as `v360`.
    pub id: String,
    /// Its name as a number, such as 360: the height of the box that a landscape picture is fitted into, or the shorter
    /// side of a picture that keeps the source's size.
    pub rung: u32,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// The cap on the bitrate, bits a second.
    pub bitrate_bps: u32,
    /// The audio rendition that belongs beside it.
    pub audio_id: Option<String>,
}

/// A sound to encode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRung {
    /// The rendition's id, such as `a64`.
    pub id: String,
    /// Bits a second.
    pub bitrate_bps: u32,
    /// Hertz: 44 100 for sources of its family, else 48 000.
    pub rate_hz: u32,
    /// 1 for mono sources, else 2.
    pub channels: u16,
}

/// The renditions of one source, each kind from the lowest to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// Pictures.
    pub video: Vec<VideoRung>,
    /// Sounds.
    pub audio: Vec<AudioRung>,
}

struct Step {
    rung: u32,
    box_width: u32,
    bitrate_bps: u32,
    audio_kbps: u32,
}

const fn step(rung: u32, box_width: u32, bitrate_kbps: u32, audio_kbps: u32) -> Step {
    Step {
        rung,
        box_width,
        bitrate_bps: bitrate_kbps * 1000,
        audio_kbps,
    }
}

/// Boxes of 16:9; a portrait picture is fitted into the box turned.
const STEPS: [Step; 5] = [
    step(360, 640, 400, 64),
    step(480, 854, 800, 128),
    step(720, 1280, 2500, 128),
    step(1080, 1920, 5000, 192),
    step(2160, 3840, 16_000, 320),
];
const AUDIO_ONLY_KBPS: [u32; 4] = [64, 128, 256, 320];
/// AAC-LC gains nothing above this for one channel.
const MONO_KBPS_MAX: u32 = 128;
/// A picture that lies between two boxes gets a rendition of its own size when it has this many times the pixels of the
/// rendition below; else that one is close enough.
const OWN_SIZE_GAIN: f64 = 1.3;
const OWN_SIZE_BPS_MIN: u32 = 100_000;

impl Ladder {
    /// The ladder of this source. Nothing is larger than the source in pixels; of lossy sound, nothing is asked for
    /// beyond the first bitrate that reaches the source's.
    #[must_use]
    pub fn for_source(probe: &Probe) -> Self {
        let mut video = probe.video.as_ref().map(video_rungs).unwrap_or_default();
        let wanted_kbps: Vec<u32> = if video.is_empty() {
            AUDIO_ONLY_KBPS.to_vec()
        } else {
            let mut kbps: Vec<u32> = video.iter().map(|rung| audio_kbps_for(rung.rung)).collect();
            kbps.dedup();
            kbps
        };
        let audio = probe
            .audio
            .as_ref()
            .map(|stream| audio_rungs(stream, &wanted_kbps))
            .unwrap_or_default();
        for rung in &mut video {
            let wanted_bps = audio_kbps_for(rung.rung) * 1000;
            let best = audio
                .iter()
                .rev()
                .find(|audio| audio.bitrate_bps <= wanted_bps)
                .or(audio.first());
            rung.audio_id = best.map(|audio| audio.id.clone());
        }
        Self { video, audio }
    }

    /// The first of each kind: what is published first.
    #[must_use]
    pub fn lowest(&self) -> Self {
        Self {
            video: self.video.first().cloned().into_iter().collect(),
            audio: self.audio.first().cloned().into_iter().collect(),
        }
    }

    /// All but the first of each kind.
    #[must_use]
    pub fn rest(&self) -> Self {
        Self {
            video: self.video.iter().skip(1).cloned().collect(),
            audio: self.audio.iter().skip(1).cloned().collect(),
        }
    }

    /// Is there nothing to encode?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.video.is_empty() && self.audio.is_empty()
    }

    /// The ids of all its renditions, pictures first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let video = self.video.iter().map(|rung| rung.id.clone());
        video
            .chain(self.audio.iter().map(|rung| rung.id.clone()))
            .collect()
    }
}

fn audio_kbps_for(rung: u32) -> u32 {
    STEPS
        .iter()
        .find(|step| rung <= step.rung)
        .map_or(320, |step| step.audio_kbps)
}

fn video_rungs(stream: &VideoStream) -> Vec<VideoRung> {
    let (width, height) = stream.display_size();
    let (long, short) = (f64::from(width.max(height)), f64::from(width.min(height)));
    let mut rungs: Vec<VideoRung> = Vec::new();
    let mut push = |id: u32, scale: f64, bitrate_bps: u32| {
        rungs.push(VideoRung {
            id: format!("v{id}"),
            rung: id,
            width: even(f64::from(width) * scale),
            height: even(f64::from(height) * scale),
            bitrate_bps,
            audio_id: None,
        });
    };
    let (mut below_pixels, mut below_rung) = (0.0, 0);
    for step in &STEPS {
        let scale = (f64::from(step.box_width) / long).min(f64::from(step.rung) / short);
        if scale <= 1.0 {
            push(step.rung, scale, step.bitrate_bps);
            (below_pixels, below_rung) = (long * short * scale * scale, step.rung);
            continue;
        }
        if long * short >= below_pixels * OWN_SIZE_GAIN {
            let share = long * short / (f64::from(step.box_width) * f64::from(step.rung));
            let bitrate = (f64::from(step.bitrate_bps) * share.min(1.0)) as u32;
            let own = even(short);
            // A very wide picture may be no higher than a box that it already got.
            push(
                if own > below_rung { own } else { step.rung },
                1.0,
                bitrate.max(OWN_SIZE_BPS_MIN),
            );
        }
        break;
    }
    rungs
}

/// The nearest even number of pixels, at least 2: 4:2:0 has one chroma sample for two by two.
fn even(pixels: f64) -> u32 {
    ((pixels / 2.0).round() as u32).max(1) * 2
}

fn audio_rungs(stream: &AudioStream, wanted_kbps: &[u32]) -> Vec<AudioRung> {
    let channels = stream.channels.clamp(1, 2);
    let rate_hz = if stream.rate_hz.is_multiple_of(11_025) {
        44_100
    } else {
        48_000
    };
    let source_bps = stream.bitrate_bps.filter(|_| !stream.lossless);
    let mut rungs: Vec<AudioRung> = Vec::new();
    for &kbps in wanted_kbps {
        let reached = rungs
            .last()
            .is_some_and(|last| source_bps.is_some_and(|bps| u64::from(last.bitrate_bps) >= bps));
        if reached || (channels == 1 && kbps > MONO_KBPS_MAX) {
            break;
        }
        rungs.push(AudioRung {
            id: format!("a{kbps}"),
            bitrate_bps: kbps * 1000,
            rate_hz,
            channels,
        });
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_media_probe::{Orientation, Ratio};

    fn video(width: u32, height: u32) -> VideoStream {
        VideoStream {
            index: 0,
            codec: "h264".into(),
            width,
            height,
            pixel_aspect: Ratio { num: 1, den: 1 },
            orientation: Orientation::default(),
            frame_rate: None,
            constant_rate: true,
            bit_depth: 8,
            hdr: None,
            duration_ms: None,
        }
    }

    fn audio(bitrate_bps: Option<u64>, rate_hz: u32, channels: u16) -> AudioStream {
        AudioStream {
            index: 1,
            codec: "aac".into(),
            rate_hz,
            channels,
            bitrate_bps,
            lossless: false,
            duration_ms: None,
        }
    }

    fn ladder(video: Option<VideoStream>, audio: Option<AudioStream>) -> Ladder {
        let container = "mov,mp4".to_string();
        Ladder::for_source(&Probe {
            container,
            size_bytes: 1,
            duration_ms: 1,
            video,
            audio,
        })
    }

    fn sizes(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        let ladder = ladder(Some(video(width, height)), None);
        ladder
            .video
            .into_iter()
            .map(|rung| (rung.id, rung.width, rung.height))
            .collect()
    }

    fn named(list: &[(&str, u32, u32)]) -> Vec<(String, u32, u32)> {
        list.iter()
            .map(|&(id, width, height)| (id.to_string(), width, height))
            .collect()
    }

    #[test]
    fn standard_sizes_get_the_steps_up_to_their_own() {
        assert_eq!(
            sizes(1280, 720),
            named(&[("v360", 640, 360), ("v480", 854, 480), ("v720", 1280, 720)])
        );
        let all = sizes(3840, 2160);
        assert_eq!(
            all.iter().map(|rung| rung.0.as_str()).collect::<Vec<_>>(),
            ["v360", "v480", "v720", "v1080", "v2160"]
        );
        assert_eq!(all[4], ("v2160".into(), 3840, 2160));
        assert_eq!(
            sizes(7680, 4320).last().unwrap(),
            &("v2160".into(), 3840, 2160)
        );
    }

    #[test]
    fn small_and_between_sizes_keep_their_own() {
        assert_eq!(sizes(320, 180), named(&[("v180", 320, 180)]));
        assert_eq!(sizes(641, 361), named(&[("v360", 640, 360)]));
        assert_eq!(
            sizes(1024, 576),
            named(&[("v360", 640, 360), ("v480", 854, 480), ("v576", 1024, 576)])
        );
        assert_eq!(sizes(99, 57), named(&[("v58", 100, 58)]));
    }

    #[test]
    fn portrait_and_wide_pictures_keep_their_aspect() {
        assert_eq!(sizes(1080, 1920)[0], ("v360".into(), 360, 640));
        assert_eq!(
            sizes(1920, 800),
            named(&[
                ("v360", 640, 266),
                ("v480", 854, 356),
                ("v720", 1280, 534),
                ("v1080", 1920, 800),
            ])
        );
        let ids: Vec<String> = sizes(3000, 480).into_iter().map(|rung| rung.0).collect();
        let mut unique = ids.clone();
        unique.dedup();
        assert_eq!(ids, unique);
        let mut turned = video(1920, 1080);
        turned.orientation.clockwise_deg = 90;
        assert_eq!(ladder(Some(turned), None).video[0].width, 360);
    }

    #[test]
    fn nothing_is_larger_than_its_source() {
        for width in (16..4200).step_by(37) {
            for height in (16..2400).step_by(53) {
                let rungs = sizes(width, height);
                assert!(!rungs.is_empty() && rungs.len() <= 5);
                assert!(
                    rungs
                        .windows(2)
                        .all(|pair| pair[0].1 * pair[0].2 < pair[1].1 * pair[1].2),
                    "{width}x{height}"
                );
                let top = rungs.last().unwrap();
                assert!(
                    top.1 <= width + 1 && top.2 <= height + 1,
                    "{width}x{height}: {top:?}"
                );
            }
        }
    }

    #[test]
    fn sound_beside_a_picture_and_alone() {
        let both = ladder(Some(video(1920, 1080)), Some(audio(None, 48_000, 6)));
        assert_eq!(
            both.audio
                .iter()
                .map(|rung| rung.id.as_str())
                .collect::<Vec<_>>(),
            ["a64", "a128", "a192"]
        );
        assert!(both.audio.iter().all(|rung| rung.channels == 2));
        let beside: Vec<_> = both
            .video
            .iter()
            .map(|rung| rung.audio_id.as_deref().unwrap())
            .collect();
        assert_eq!(beside, ["a64", "a128", "a128", "a192"]);
        let song = ladder(None, Some(audio(None, 44_100, 2)));
        assert_eq!(song.ids(), ["a64", "a128", "a256", "a320"]);
        assert_eq!(song.lowest().ids(), ["a64"]);
        assert_eq!(song.rest().ids(), ["a128", "a256", "a320"]);
        assert_eq!(song.audio[0].rate_hz, 44_100);
    }

    #[test]
    fn no_bitrate_is_asked_for_that_the_source_cannot_fill() {
        assert_eq!(
            ladder(None, Some(audio(Some(96_000), 48_000, 2))).ids(),
            ["a64", "a128"]
        );
        assert_eq!(
            ladder(None, Some(audio(Some(128_000), 48_000, 2))).ids(),
            ["a64", "a128"]
        );
        assert_eq!(
            ladder(None, Some(audio(Some(48_000), 48_000, 2))).ids(),
            ["a64"]
        );
        assert_eq!(
            ladder(None, Some(audio(None, 22_050, 1))).ids(),
            ["a64", "a128"]
        );
        let poor = ladder(
            Some(video(1920, 1080)),
            Some(audio(Some(60_000), 48_000, 2)),
        );
        assert!(
            poor.video
                .iter()
                .all(|rung| rung.audio_id.as_deref() == Some("a64"))
        );
        assert!(
            ladder(Some(video(640, 360)), None).video[0]
                .audio_id
                .is_none()
        );
    }
}
