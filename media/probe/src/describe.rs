//! The typed description of a file, and the reasons to refuse one.

use std::path::Path;

use ffmpeg::codec::packet::side_data::Type as SideDataType;
use ffmpeg::format::context::Input;
use ffmpeg::format::stream::{Disposition, Stream};
use ffmpeg::util::color::TransferCharacteristic;
use ffmpeg::{Rational, media};
use ffmpeg_next as ffmpeg;
use mcsp_media_sandbox::JobError;
use serde::{Deserialize, Serialize};

use crate::isobmff::{Shape, shape_of};
use crate::open::failed;
use crate::{ProbeLimits, open_input, refusal, riff};

/// A fraction, such as frames a second. The denominator is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    /// Above the line.
    pub num: u32,
    /// Below the line.
    pub den: u32,
}

impl Ratio {
    /// The fraction as a number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }

    fn positive(ratio: Rational) -> Option<Self> {
        let num = u32::try_from(ratio.numerator())
            .ok()
            .filter(|num| *num > 0)?;
        let den = u32::try_from(ratio.denominator())
            .ok()
            .filter(|den| *den > 0)?;
        Some(Self { num, den })
    }
}

/// How the stored picture must be turned to stand upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orientation {
    /// Clockwise: 0, 90, 180 or 270.
    pub clockwise_deg: u16,
    /// Mirrored left to right before it is turned.
    pub mirrored: bool,
}

/// A transfer characteristic of high dynamic range (ITU-R BT.2100).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hdr {
    /// Perceptual quantiser (SMPTE ST 2084).
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

/// The picture that will be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoStream {
    /// Its place in the file.
    pub index: usize,
    /// FFmpeg's name, such as `h264`.
    pub codec: String,
    /// As stored, pixels.
    pub width: u32,
    /// As stored, pixels.
    pub height: u32,
    /// Width over height of a stored pixel.
    pub pixel_aspect: Ratio,
    /// How it must be turned.
    pub orientation: Orientation,
    /// Average over the file; absent when the file does not tell.
    pub frame_rate: Option<Ratio>,
    /// Do frames come at that rate throughout, as far as the header tells?
    pub constant_rate: bool,
    /// Bits a component.
    pub bit_depth: u8,
    /// Present when it must be mapped to standard range.
    pub hdr: Option<Hdr>,
    /// Milliseconds, when the stream says it.
    pub duration_ms: Option<u64>,
}

impl VideoStream {
    /// Width and height as they are to be shown: upright, with square pixels, never smaller than stored.
    #[must_use]
    pub fn display_size(&self) -> (u32, u32) {
        let (mut width, mut height) = (f64::from(self.width), f64::from(self.height));
        let aspect = self.pixel_aspect.as_f64();
        if aspect >= 1.0 {
            width *= aspect;
        } else {
            height /= aspect;
        }
        // Below 2^32: sides and aspects are bounded by the probe.
        let (width, height) = (width.round() as u32, height.round() as u32);
        if self.orientation.clockwise_deg % 180 == 90 {
            (height, width)
        } else {
            (width, height)
        }
    }
}

/// The sound that will be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioStream {
    /// Its place in the file.
    pub index: usize,
    /// FFmpeg's name, such as `aac`.
    pub codec: String,
    /// Hertz.
    pub rate_hz: u32,
    /// How many.
    pub channels: u16,
    /// Bits a second, when the stream says it.
    pub bitrate_bps: Option<u64>,
    /// Is nothing lost in this codec?
    pub lossless: bool,
    /// Milliseconds, when the stream says it.
    pub duration_ms: Option<u64>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// FFmpeg's name list, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Milliseconds, as the container says; 0 when it does not.
    pub duration_ms: u64,
    /// The picture, if there is one.
    pub video: Option<VideoStream>,
    /// The sound, if there is one.
    pub audio: Option<AudioStream>,
}

/// Describes the file at `path`.
///
/// # Errors
/// [`JobError::Refused`] with a code of [`refusal`] when it cannot be used, [`JobError::Failed`] when it cannot be read.
pub fn probe(path: &Path, limits: &ProbeLimits) -> Result<Probe, JobError> {
    let size_bytes = std::fs::metadata(path).map_err(JobError::failed)?.len();
    if size_bytes == 0 {
        return Err(JobError::refused(
            refusal::EMPTY,
            "The file is empty (0 bytes). Upload the file itself.",
        ));
    }
    if size_bytes > limits.video_bytes_max {
        return Err(too_large(size_bytes, limits.video_bytes_max, "video"));
    }
    let mut shape = shape_of(path).map_err(JobError::failed)?;
    if shape == Shape::Other {
        let missing_bytes = riff::missing_bytes(path).map_err(JobError::failed)?;
        if missing_bytes > 0 {
            shape = Shape::CutShort { missing_bytes };
        }
    }
    refuse_stump(shape)?;
    let input = open_input(path).map_err(|_| {
        if shape == Shape::Whole {
            return JobError::refused(
                refusal::DAMAGED,
                "The file is MP4 or QuickTime, and its index is damaged. Export or copy it again.",
            );
        }
        JobError::refused(
            refusal::NOT_MEDIA,
            "The file is no video or sound that we know, whatever its name says. Upload MP4, MOV, MKV, WebM, AVI, MP3, \
             WAV, FLAC or Ogg.",
        )
    })?;
    let found = describe(&input, size_bytes)?;
    check_limits(&found, limits)?;
    Ok(found)
}

fn refuse_stump(shape: Shape) -> Result<(), JobError> {
    let reason = match shape {
        Shape::Other | Shape::Whole => return Ok(()),
        Shape::CutShort { missing_bytes } => {
            format!("The file is cut short: at least {missing_bytes} bytes at its end are missing. Export or copy it again.")
        }
        Shape::NoIndex => {
            "The file has no index (its `moov` box is missing), so its recording or copying did not end. Export or copy it \
             again."
                .to_string()
        }
    };
    Err(JobError::refused(refusal::TRUNCATED, reason))
}

fn too_large(size_bytes: u64, most: u64, what: &str) -> JobError {
    let gb = |bytes: u64| bytes as f64 / 1e9;
    JobError::refused(
        refusal::TOO_LARGE,
        format!(
            "The file has {:.1} GB; {what} of up to {:.0} GB is taken.",
            gb(size_bytes),
            gb(most)
        ),
    )
}

fn check_limits(found: &Probe, limits: &ProbeLimits) -> Result<(), JobError> {
    if found.video.is_none() && found.size_bytes > limits.audio_bytes_max {
        return Err(too_large(found.size_bytes, limits.audio_bytes_max, "sound"));
    }
    let out_of_limits = |reason: String| Err(JobError::refused(refusal::OUT_OF_LIMITS, reason));
    if found.duration_ms > limits.duration_ms_max {
        return out_of_limits(format!(
            "It is {:.1} hours long; up to {:.1} hours are taken.",
            found.duration_ms as f64 / 3_600_000.0,
            limits.duration_ms_max as f64 / 3_600_000.0
        ));
    }
    if let Some(video) = &found.video {
        let (width, height) = video.display_size();
        let stored = video.width.max(video.height);
        if width.max(height).max(stored) > limits.side_pixels_max || width.min(height) < 16 {
            return out_of_limits(format!(
                "The picture is {width} by {height} pixels; sides of 16 to {} pixels are taken.",
                limits.side_pixels_max
            ));
        }
    }
    Ok(())
}

fn describe(input: &Input, size_bytes: u64) -> Result<Probe, JobError> {
    let video = best_stream(input, media::Type::Video)
        .map(|stream| video_stream(&stream))
        .transpose()?;
    let audio = best_stream(input, media::Type::Audio)
        .map(|stream| audio_stream(&stream))
        .transpose()?;
    let (video, audio) = (video.flatten(), audio.flatten());
    if video.is_none() && audio.is_none() {
        return Err(JobError::refused(
            refusal::NO_USABLE_STREAM,
            "The file has neither a picture nor a sound that we can decode. Export it with a common codec such as H.264 and \
             AAC.",
        ));
    }
    let container_ms = u64::try_from(input.duration()).map_or(0, |micros| micros.div_ceil(1000));
    let stream_ms = video
        .as_ref()
        .and_then(|v| v.duration_ms)
        .max(audio.as_ref().and_then(|a| a.duration_ms));
    Ok(Probe {
        container: input.format().name().to_string(),
        size_bytes,
        duration_ms: if container_ms > 0 {
            container_ms
        } else {
            stream_ms.unwrap_or(0)
        },
        video,
        audio,
    })
}

/// The stream marked as default, else the first; cover art is no video.
fn best_stream(input: &Input, kind: media::Type) -> Option<Stream<'_>> {
    let usable = |stream: &Stream<'_>| {
        let parameters = stream.parameters();
        parameters.medium() == kind
            && !stream.disposition().contains(Disposition::ATTACHED_PIC)
            && ffmpeg::decoder::find(parameters.id()).is_some()
    };
    input
        .streams()
        .filter(usable)
        .find(|stream| stream.disposition().contains(Disposition::DEFAULT))
        .or_else(|| input.streams().find(usable))
}

fn duration_ms(stream: &Stream<'_>) -> Option<u64> {
    let ticks = u64::try_from(stream.duration())
        .ok()
        .filter(|ticks| *ticks > 0)?;
    let base = Ratio::positive(stream.time_base())?;
    u64::try_from((u128::from(ticks) * u128::from(base.num) * 1000).div_ceil(u128::from(base.den)))
        .ok()
}

/// None when the decoder cannot be opened or there is no picture in it.
fn video_stream(stream: &Stream<'_>) -> Result<Option<VideoStream>, JobError> {
    let context = ffmpeg::codec::Context::from_parameters(stream.parameters())
        .map_err(|e| failed("video parameters", e))?;
    let codec = context.id().name().to_string();
    let Ok(decoder) = context.decoder().video() else {
        return Ok(None);
    };
    if decoder.width() == 0 || decoder.height() == 0 {
        return Ok(None);
    }
    let (average, nominal) = (
        Ratio::positive(stream.avg_frame_rate()),
        Ratio::positive(stream.rate()),
    );
    let constant_rate = match (average, nominal) {
        (Some(average), Some(nominal)) => (average.as_f64() / nominal.as_f64() - 1.0).abs() < 0.001,
        _ => false,
    };
    let square = Ratio { num: 1, den: 1 };
    let pixel_aspect = Ratio::positive(decoder.aspect_ratio())
        .filter(|aspect| (0.1..=10.0).contains(&aspect.as_f64()))
        .unwrap_or(square);
    Ok(Some(VideoStream {
        index: stream.index(),
        codec,
        width: decoder.width(),
        height: decoder.height(),
        pixel_aspect,
        orientation: orientation(stream),
        frame_rate: if constant_rate {
            nominal
        } else {
            average.or(nominal)
        },
        constant_rate,
        bit_depth: bit_depth(decoder.format()),
        hdr: match decoder.color_transfer_characteristic() {
            TransferCharacteristic::SMPTE2084 => Some(Hdr::Pq),
            TransferCharacteristic::ARIB_STD_B67 => Some(Hdr::Hlg),
            _ => None,
        },
        duration_ms: duration_ms(stream),
    }))
}

/// From the picture's bits a pixel and how chroma is subsampled.
fn bit_depth(format: ffmpeg::format::Pixel) -> u8 {
    let Some(descriptor) = format.descriptor() else {
        return 8;
    };
    let bits = u32::try_from(descriptor.bits_per_pixel()).unwrap_or(8);
    let shift = u32::from(descriptor.log2_chroma_w()) + u32::from(descriptor.log2_chroma_h());
    // In units of one chroma sample: how many samples a block of luma samples has in all.
    let block = 1_u32 << shift.min(8);
    let samples = match descriptor.nb_components() {
        0..=2 => block * u32::from(descriptor.nb_components().max(1)),
        3 => block + 2,
        _ => 2 * block + 2,
    };
    u8::try_from((bits * block).div_ceil(samples))
        .unwrap_or(8)
        .clamp(1, 16)
}

/// Reads the display matrix (ISO/IEC 14496-12 section 8.3.2): nine 32-bit numbers in the machine's order.
fn orientation(stream: &Stream<'_>) -> Orientation {
    let Some(matrix) = stream
        .side_data()
        .find(|side_data| side_data.kind() == SideDataType::DisplayMatrix)
        .map(|side_data| side_data.data().to_vec())
    else {
        return Orientation::default();
    };
    let at = |n: usize| {
        matrix
            .get(n * 4..n * 4 + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0.0, |bytes| f64::from(i32::from_ne_bytes(bytes)))
    };
    let (a, b, c, d) = (at(0), at(1), at(3), at(4));
    let mirrored = a * d - b * c < 0.0;
    // A mirrored matrix is a mirror followed by a turn.
    let (a, b) = if mirrored { (-a, -b) } else { (a, b) };
    let quarter_turns = (b.atan2(a) / std::f64::consts::FRAC_PI_2)
        .round()
        .rem_euclid(4.0);
    Orientation {
        clockwise_deg: quarter_turns as u16 * 90,
        mirrored,
    }
}

/// None when the decoder cannot be opened or there is no channel in it.
fn audio_stream(stream: &Stream<'_>) -> Result<Option<AudioStream>, JobError> {
    let context = ffmpeg::codec::Context::from_parameters(stream.parameters())
        .map_err(|e| failed("audio parameters", e))?;
    let codec = context.id().name().to_string();
    let Ok(decoder) = context.decoder().audio() else {
        return Ok(None);
    };
    if decoder.rate() == 0 || decoder.channels() == 0 {
        return Ok(None);
    }
    let lossless = codec.starts_with("pcm_")
        || matches!(codec.as_str(), "flac" | "alac" | "wavpack" | "ape" | "tta");
    Ok(Some(AudioStream {
        index: stream.index(),
        codec,
        rate_hz: decoder.rate(),
        channels: decoder.channels(),
        bitrate_bps: u64::try_from(decoder.bit_rate())
            .ok()
            .filter(|bps| *bps > 0),
        lossless,
        duration_ms: duration_ms(stream),
    }))
}
