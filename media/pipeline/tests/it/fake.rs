//! An encoder that opens no media: sources are words, samples are invented, always the same.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mcsp_media_package::{
    EncodedSample, FrameRate, RenditionInfo, TrackConfig, TrackKind, TrackWriter,
};
use mcsp_media_pipeline::{EncodeError, EncodeRequest, Encoded, Encoder, OnNews, Rungs};
use mcsp_media_probe::{AudioStream, Orientation, Probe, Ratio, VideoStream};
use mcsp_media_transcode::{AudioRung, FailedRung, PassNews, VideoRung, mezzanine_path};
use parking_lot::Mutex;

use crate::crashing::CrashPoint;

/// Sources that it understands.
pub(crate) const VIDEO: &[u8] = b"video";
pub(crate) const SILENT_SMALL_VIDEO: &[u8] = b"silent small video";
pub(crate) const AUDIO: &[u8] = b"audio";
pub(crate) const DAMAGED: &[u8] = b"damaged video";
/// Seconds of every source.
const SECONDS: u64 = 10;

#[derive(Debug, Default)]
pub(crate) struct FakeEncoder {
    /// How often this rendition fails yet.
    pub(crate) failures: Mutex<HashMap<String, u32>>,
    /// A failure breaks the whole pass off where it stands.
    pub(crate) breaks_off: bool,
    /// The pass stands still for ever before this rendition.
    pub(crate) hangs_at: Option<&'static str>,
    /// The renditions of every pass that was begun.
    pub(crate) passes: Mutex<Vec<Vec<String>>>,
    pub(crate) crash: Option<Arc<CrashPoint>>,
}

impl FakeEncoder {
    pub(crate) fn failing(rendition: &str, times: u32) -> Arc<Self> {
        let failures = HashMap::from([(rendition.to_owned(), times)]);
        Arc::new(Self {
            failures: Mutex::new(failures),
            ..Self::default()
        })
    }

    pub(crate) fn breaking_off(rendition: &str, times: u32) -> Arc<Self> {
        let failures = HashMap::from([(rendition.to_owned(), times)]);
        Arc::new(Self {
            failures: Mutex::new(failures),
            breaks_off: true,
            ..Self::default()
        })
    }

    async fn maybe_crash(&self) {
        if let Some(crash) = &self.crash {
            crash.pass().await;
        }
    }

    fn fails(&self, rendition: &str) -> bool {
        let mut failures = self.failures.lock();
        let Some(left) = failures.get_mut(rendition).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }
}

fn refused(code: &str) -> EncodeError {
    EncodeError::Refused {
        code: code.to_owned(),
        reason: format!("The file is {code}."),
    }
}

fn video_stream(width: u32, height: u32) -> VideoStream {
    VideoStream {
        index: 0,
        codec: "h264".to_owned(),
        width,
        height,
        pixel_aspect: Ratio { num: 1, den: 1 },
        orientation: Orientation::default(),
        frame_rate: Some(Ratio { num: 25, den: 1 }),
        constant_rate: true,
        bit_depth: 8,
        hdr: None,
        duration_ms: Some(SECONDS * 1000),
    }
}

fn audio_stream() -> AudioStream {
    AudioStream {
        index: 1,
        codec: "aac".to_owned(),
        rate_hz: 48_000,
        channels: 2,
        bitrate_bps: None,
        lossless: false,
        duration_ms: Some(SECONDS * 1000),
    }
}

fn sync_unit(is_sync: bool, fill: u8) -> Vec<u8> {
    let mut unit = Vec::new();
    if is_sync {
        unit.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9]);
        unit.extend_from_slice(&[0, 0, 0, 1, 0x68, 0xeb, 0xe3]);
    }
    unit.extend_from_slice(&[0, 0, 1, if is_sync { 0x65 } else { 0x41 }]);
    unit.extend(std::iter::repeat_n(fill, 300));
    unit
}

fn write_video(dir: &Path, rung: &VideoRung) -> RenditionInfo {
    let track = TrackKind::Video {
        width: rung.width,
        height: rung.height,
        rung: rung.rung,
        frame_rate: FrameRate { num: 25, den: 1 },
        audio_id: rung.audio_id.clone(),
    };
    let config = TrackConfig {
        id: rung.id.clone(),
        track,
        timescale: 25_000,
        reorder_ticks: 0,
    };
    let file = File::create(mezzanine_path(dir, &rung.id)).unwrap();
    let mut writer = TrackWriter::new(file, config);
    for frame in 0..SECONDS * 25 {
        let is_sync = frame % 50 == 0;
        let data = sync_unit(is_sync, u8::try_from(frame % 200).unwrap() + 1);
        let sample = EncodedSample {
            data: &data,
            present_ticks: frame * 1000,
            is_sync,
        };
        writer.push(sample).unwrap();
    }
    writer.finish(SECONDS * 25_000).unwrap().0
}

fn write_audio(dir: &Path, rung: &AudioRung) -> RenditionInfo {
    let track = TrackKind::Audio {
        rate_hz: rung.rate_hz,
        channels: rung.channels,
        bitrate_bps: rung.bitrate_bps,
    };
    let config = TrackConfig {
        id: rung.id.clone(),
        track,
        timescale: rung.rate_hz,
        reorder_ticks: 0,
    };
    let file = File::create(mezzanine_path(dir, &rung.id)).unwrap();
    let mut writer = TrackWriter::new(file, config);
    let data = vec![0x21; usize::try_from(rung.bitrate_bps / 8 * 1024 / rung.rate_hz).unwrap()];
    let frames = SECONDS * u64::from(rung.rate_hz) / 1024;
    for frame in 0..frames {
        let sample = EncodedSample {
            data: &data,
            present_ticks: frame * 1024,
            is_sync: true,
        };
        writer.push(sample).unwrap();
    }
    writer.finish(frames * 1024).unwrap().0
}

#[async_trait]
impl Encoder for FakeEncoder {
    fn source_bytes_max(&self) -> u64 {
        1000
    }

    async fn probe(&self, source: &Path) -> Result<Probe, EncodeError> {
        self.maybe_crash().await;
        let word = std::fs::read(source).unwrap();
        let (video, audio) = match word.as_slice() {
            VIDEO | DAMAGED => (Some(video_stream(1280, 720)), Some(audio_stream())),
            SILENT_SMALL_VIDEO => (Some(video_stream(320, 180)), None),
            AUDIO => (None, Some(audio_stream())),
            _ => return Err(refused("not-media")),
        };
        Ok(Probe {
            container: "mov,mp4".to_owned(),
            size_bytes: word.len() as u64,
            duration_ms: SECONDS * 1000,
            video,
            audio,
        })
    }

    async fn encode(
        &self,
        request: EncodeRequest<'_>,
        mut on_news: OnNews,
    ) -> Result<Encoded, EncodeError> {
        self.maybe_crash().await;
        let ladder = request.rungs.ladder(request.probe);
        self.passes.lock().push(ladder.ids());
        if std::fs::read(request.source).unwrap() == DAMAGED {
            return Err(refused("damaged"));
        }
        let (mut renditions, mut failed) = (Vec::new(), Vec::new());
        let sounds = ladder.audio.iter().map(|rung| rung.id.clone());
        // Sound first, as it is finished first.
        let ids = sounds.chain(ladder.video.iter().map(|rung| rung.id.clone()));
        for id in ids {
            on_news(PassNews::At(500));
            self.maybe_crash().await;
            if self.hangs_at == Some(id.as_str()) {
                std::future::pending::<()>().await;
            }
            if self.fails(&id) {
                let message = format!("the encoder of {id} failed");
                if self.breaks_off || request.rungs == Rungs::Lowest {
                    return Err(EncodeError::Failed(message));
                }
                failed.push(FailedRung { id, message });
                continue;
            }
            let dir = request.out_dir;
            let video = ladder.video.iter().find(|rung| rung.id == id);
            let audio = ladder.audio.iter().find(|rung| rung.id == id);
            let info = video
                .map(|rung| write_video(dir, rung))
                .or_else(|| audio.map(|rung| write_audio(dir, rung)))
                .unwrap();
            on_news(PassNews::Made(info.clone()));
            renditions.push(info);
        }
        renditions.sort_by_key(|info| ladder.ids().iter().position(|id| *id == info.id));
        self.maybe_crash().await;
        Ok(Encoded {
            renditions,
            failed,
            duration_ms: SECONDS * 1000,
            cpu_ms: 1,
        })
    }

    async fn thumbnails(
        &self,
        mezzanine: &Path,
        info: &RenditionInfo,
        out_dir: &Path,
    ) -> Result<Vec<String>, EncodeError> {
        self.maybe_crash().await;
        assert!(mezzanine.exists() && info.is_video());
        let names = ["thumb-1.jpg", "thumb-2.jpg", "thumb-3.jpg"];
        for name in names {
            std::fs::write(out_dir.join(name), format!("picture {name} of {}", info.id)).unwrap();
        }
        Ok(names.map(str::to_owned).to_vec())
    }
}
