//! One H.264 encoder and the track it writes.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use ffmpeg::codec::threading;
use ffmpeg::ffi::{AVColorPrimaries, AVColorSpace, AVColorTransferCharacteristic};
use ffmpeg::util::{color, picture};
use ffmpeg::{Dictionary, Packet, Rational, encoder, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_package::{
    EncodedSample, FrameRate, KeyGrid, RenditionInfo, TrackConfig, TrackKind, TrackWriter,
};
use mcsp_media_sandbox::JobError;

use crate::VideoRung;
use crate::filter::is_drained;
use crate::pass::mezzanine_path;

/// A key frame at or after every multiple of this: two for each segment, so that seeking is quick.
const KEY_GRID_MS: u64 = 2000;
/// Constant quality under the rung's bitrate cap: easy pictures take less than the cap.
const CRF: &str = "23";
const PRESET: &str = "veryfast";
/// How many pictures the encoder reorders by, with its pyramid of three B pictures.
pub(crate) const REORDER_PICTURES: u32 = 2;

/// What all encoders of a pass have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncoderPlan {
    /// Ticks a second.
    pub(crate) timescale: u32,
    /// See [`TrackConfig::reorder_ticks`].
    pub(crate) reorder_ticks: u32,
    /// What the rate control takes for the frame rate, when the source tells one.
    pub(crate) nominal_rate: Option<Rational>,
    /// Threads of each encoder.
    pub(crate) threads: usize,
    /// Whether pictures were mapped to BT.709 on the way.
    pub(crate) tone_mapped: bool,
}

/// One H.264 encoder and the track it writes.
pub(crate) struct VideoOutput {
    encoder: encoder::video::Encoder,
    writer: TrackWriter<BufWriter<File>>,
    keys: KeyGrid,
    packet: Packet,
}

impl VideoOutput {
    /// Opens the encoder of a rung; `first` is the source's first picture, whose colours it describes.
    pub(crate) fn open(
        rung: &VideoRung,
        plan: EncoderPlan,
        first: &frame::Video,
        out_dir: &Path,
    ) -> Result<Self, JobError> {
        let config = TrackConfig {
            id: rung.id.clone(),
            track: TrackKind::Video {
                width: rung.width,
                height: rung.height,
                rung: rung.rung,
                frame_rate: FrameRate { num: 0, den: 1 },
                audio_id: rung.audio_id.clone(),
            },
            timescale: plan.timescale,
            reorder_ticks: plan.reorder_ticks,
        };
        let file = File::create(mezzanine_path(out_dir, &rung.id)).map_err(JobError::failed)?;
        Ok(Self {
            encoder: open_encoder(rung, plan, first)?,
            writer: TrackWriter::new(BufWriter::new(file), config),
            keys: KeyGrid::new(KEY_GRID_MS, plan.timescale),
            packet: Packet::empty(),
        })
    }

    /// Encodes the next picture; its `pts` is its time in the track.
    pub(crate) fn encode(&mut self, picture: &mut frame::Video) -> Result<(), JobError> {
        let at = picture
            .pts()
            .and_then(|pts| u64::try_from(pts).ok())
            .unwrap_or(0);
        // The decoder's picture types must not steer the encoder.
        let kind = if self.keys.begins_step(at) {
            picture::Type::I
        } else {
            picture::Type::None
        };
        picture.set_kind(kind);
        self.encoder.send_frame(picture).map_err(failed)?;
        self.collect()
    }

    fn collect(&mut self) -> Result<(), JobError> {
        loop {
            match self.encoder.receive_packet(&mut self.packet) {
                Ok(()) => {}
                Err(error) if is_drained(error) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
            let present_ticks = self.packet.pts().and_then(|pts| u64::try_from(pts).ok());
            let (Some(data), Some(present_ticks)) = (self.packet.data(), present_ticks) else {
                return Err(JobError::failed(
                    "the video encoder gave a packet without bytes or time",
                ));
            };
            let is_sync = self.packet.is_key();
            self.writer
                .push(EncodedSample {
                    data,
                    present_ticks,
                    is_sync,
                })
                .map_err(JobError::failed)?;
        }
    }

    /// Encodes what is left; the last picture stands until `end_ticks`.
    pub(crate) fn finish(mut self, end_ticks: u64) -> Result<RenditionInfo, JobError> {
        self.encoder.send_eof().map_err(failed)?;
        self.collect()?;
        self.writer
            .finish(end_ticks)
            .map(|(info, _)| info)
            .map_err(JobError::failed)
    }
}

fn failed(error: ffmpeg::Error) -> JobError {
    JobError::failed(format!("video encoder: {error}"))
}

fn open_encoder(
    rung: &VideoRung,
    plan: EncoderPlan,
    first: &frame::Video,
) -> Result<encoder::video::Encoder, JobError> {
    let failed =
        |error: ffmpeg::Error| JobError::failed(format!("encoder of {}: {error}", rung.id));
    let codec =
        encoder::find_by_name("libx264").ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
    let mut context = ffmpeg::codec::Context::new_with_codec(codec);
    context.set_threading(threading::Config {
        kind: threading::Type::Frame,
        count: plan.threads,
        safe: false,
    });
    let mut encoder = context.encoder().video().map_err(failed)?;
    encoder.set_width(rung.width);
    encoder.set_height(rung.height);
    encoder.set_format(ffmpeg::format::Pixel::YUV420P);
    encoder.set_time_base(Rational::new(
        1,
        i32::try_from(plan.timescale).unwrap_or(90_000),
    ));
    encoder.set_frame_rate(plan.nominal_rate);
    encoder.set_aspect_ratio(Rational::new(1, 1));
    encoder.set_max_bit_rate(rung.bitrate_bps as usize);
    let mut options = Dictionary::new();
    for (name, value) in [
        ("preset", PRESET),
        ("profile", "high"),
        ("crf", CRF),
        // Key frames come from our grid alone.
        ("g", "100000"),
        ("sc_threshold", "0"),
        ("forced-idr", "1"),
    ] {
        options.set(name, value);
    }
    options.set("bufsize", &(u64::from(rung.bitrate_bps) * 2).to_string());
    for (name, value) in color_tags(first, plan.tone_mapped) {
        options.set(name, &value);
    }
    encoder.open_as_with(codec, options).map_err(failed)
}

/// The colour description that the encoder writes: the source's, or BT.709 after tone mapping. FFmpeg's numbers are those
/// of ITU-T H.273.
fn color_tags(first: &frame::Video, tone_mapped: bool) -> Vec<(&'static str, String)> {
    if tone_mapped {
        return ["colorspace", "color_primaries", "color_trc"]
            .map(|name| (name, "bt709".to_owned()))
            .to_vec();
    }
    // RGB becomes YUV on the way: its matrix is no longer the source's.
    if first.color_space() == color::Space::RGB {
        return Vec::new();
    }
    let space = AVColorSpace::from(first.color_space()) as u32;
    let primaries = AVColorPrimaries::from(first.color_primaries()) as u32;
    let transfer =
        AVColorTransferCharacteristic::from(first.color_transfer_characteristic()) as u32;
    vec![
        ("colorspace", space.to_string()),
        ("color_primaries", primaries.to_string()),
        ("color_trc", transfer.to_string()),
    ]
}
