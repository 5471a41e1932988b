//! Tracks made of invented samples.

use mcsp_media_package::{
    EncodedSample, FrameRate, RenditionInfo, TrackConfig, TrackKind, TrackWriter,
};

pub(crate) fn video_kind(rung: u32, audio_id: Option<&str>) -> TrackKind {
    TrackKind::Video {
        width: rung * 16 / 9 / 2 * 2,
        height: rung,
        rung,
        frame_rate: FrameRate { num: 0, den: 1 },
        audio_id: audio_id.map(str::to_string),
    }
}

/// An access unit of the form that x264 gives, its picture filled with `fill`.
pub(crate) fn access_unit(is_sync: bool, bytes: usize, fill: u8) -> Vec<u8> {
    let mut unit = Vec::new();
    if is_sync {
        unit.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9]);
        unit.extend_from_slice(&[0, 0, 0, 1, 0x68, 0xeb, 0xe3]);
    }
    unit.extend_from_slice(&[0, 0, 1, if is_sync { 0x65 } else { 0x41 }]);
    unit.extend(std::iter::repeat_n(fill.max(1), bytes.max(1)));
    unit
}

/// A constant 25 frames a second with groups of 50 (I P B B order), `frames` long.
pub(crate) fn video(
    id: &str,
    rung: u32,
    audio_id: Option<&str>,
    frames: u64,
) -> (RenditionInfo, Vec<u8>) {
    const TICK: u64 = 1000;
    let config = TrackConfig {
        id: id.into(),
        track: video_kind(rung, audio_id),
        timescale: 25_000,
        reorder_ticks: 0,
    };
    let mut writer = TrackWriter::new(Vec::new(), config);
    for group in (0..frames).step_by(50) {
        let end = (group + 50).min(frames);
        let mut order = vec![group];
        let rest: Vec<u64> = (group + 1..end).collect();
        for mini in rest.chunks(3) {
            order.extend(mini.last());
            order.extend(mini.iter().take(mini.len() - 1));
        }
        for n in order {
            let data = access_unit(
                n == group,
                200 + usize::try_from(rung).unwrap(),
                u8::try_from(n % 250).unwrap() + 1,
            );
            writer
                .push(EncodedSample {
                    data: &data,
                    present_ticks: n * TICK,
                    is_sync: n == group,
                })
                .unwrap();
        }
    }
    writer.finish(frames * TICK).unwrap()
}

pub(crate) fn audio(id: &str, bitrate_bps: u32, frames: u64) -> (RenditionInfo, Vec<u8>) {
    let track = TrackKind::Audio {
        rate_hz: 48_000,
        channels: 2,
        bitrate_bps,
    };
    let mut writer = TrackWriter::new(
        Vec::new(),
        TrackConfig {
            id: id.into(),
            track,
            timescale: 48_000,
            reorder_ticks: 0,
        },
    );
    let data = vec![0x21; usize::try_from(bitrate_bps / 8 * 1024 / 48_000).unwrap()];
    for n in 0..frames {
        writer
            .push(EncodedSample {
                data: &data,
                present_ticks: n * 1024,
                is_sync: true,
            })
            .unwrap();
    }
    writer.finish(frames * 1024).unwrap()
}
