//! Pictures: from decoded frames, through one filter graph with a split, to one encoder a rung.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use ffmpeg::codec::threading;
use ffmpeg::util::picture;
use ffmpeg::{Dictionary, Packet, Rational, encoder, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_package::{
    EncodedSample, FrameRate, KeyGrid, RenditionInfo, TrackConfig, TrackKind, TrackWriter,
};
use mcsp_media_probe::{Hdr, Orientation, VideoStream, refusal};
use mcsp_media_sandbox::JobError;

use crate::VideoRung;
use crate::filter::{FilterGraph, Medium, is_drained};
use crate::pass::mezzanine_path;
use crate::timing::{FrameClock, PictureClock, Place};

/// A key frame at or after every multiple of this: two for each segment, so that seeking is quick.
const KEY_GRID_MS: u64 = 2000;
/// A picture that lasts longer is sent again, so that segments stay short and a player that joins sees something. In a
/// source of constant rate a missing picture is replaced so at once.
const REPEAT_MS: i64 = 500;
/// Sources with more frames a second are thinned out by a whole factor.
const FRAME_RATE_MAX: f64 = 60.5;
/// Constant quality under the rung's bitrate cap: easy pictures take less than the cap.
const X264_CRF: &str = "23";
const X264_PRESET: &str = "veryfast";
/// How many pictures x264 reorders by, with its pyramid of three B pictures.
const REORDER_PICTURES: u32 = 2;

/// All pictures of one pass.
pub(crate) struct VideoPipe {
    clock: PictureClock,
    timescale: u32,
    reorder_ticks: u32,
    repeat_after: i64,
    limit_ticks: i64,
    keep_every: u64,
    decoded: u64,
    orientation: Orientation,
    hdr: Option<Hdr>,
    rungs: Vec<VideoRung>,
    threads: usize,
    graph: Option<(Geometry, FilterGraph)>,
    outputs: Vec<VideoOutput>,
    held: Option<HeldFrame>,
    nominal_rate: Option<Rational>,
    out_dir: std::path::PathBuf,
}

/// The newest picture, whose length is not known before the next one comes.
struct HeldFrame {
    picture: frame::Video,
    at: i64,
    said_duration: i64,
}

/// What a filter graph was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    width: u32,
    height: u32,
    format: ffmpeg::format::Pixel,
}

impl VideoPipe {
    pub(crate) fn new(
        stream: &VideoStream,
        base: Rational,
        origin_ms: i64,
        rungs: &[VideoRung],
        out_dir: &Path,
        threads: usize,
        duration_ms_max: u64,
    ) -> Self {
        let timescale = timescale_for(stream);
        let rate = stream
            .frame_rate
            .map_or(25.0, |rate| rate.as_f64())
            .clamp(0.1, 1000.0);
        let keep_every = if rate > FRAME_RATE_MAX {
            (rate / 60.0).ceil() as u64
        } else {
            1
        };
        let nominal = (f64::from(timescale) / rate * keep_every as f64).round() as i64;
        let repeat_max = REPEAT_MS * i64::from(timescale) / 1000;
        let repeat_after = if stream.constant_rate {
            nominal.clamp(1, repeat_max)
        } else {
            repeat_max
        };
        // What is not repeated lasts up to one and a half times as long.
        let longest = u32::try_from(repeat_after + repeat_after / 2 + 1).unwrap_or(0);
        let nominal_rate = stream.frame_rate.and_then(|rate| {
            let den = u64::from(rate.den) * keep_every;
            Some(Rational::new(
                i32::try_from(rate.num).ok()?,
                i32::try_from(den).ok()?,
            ))
        });
        Self {
            clock: PictureClock::new(FrameClock::new(base, timescale, origin_ms), nominal),
            timescale,
            reorder_ticks: REORDER_PICTURES * longest,
            repeat_after,
            limit_ticks: i64::try_from(duration_ms_max.saturating_mul(u64::from(timescale)) / 1000)
                .unwrap_or(i64::MAX),
            keep_every,
            decoded: 0,
            orientation: stream.orientation,
            hdr: stream.hdr,
            rungs: rungs.to_vec(),
            threads,
            graph: None,
            outputs: Vec::new(),
            held: None,
            nominal_rate,
            out_dir: out_dir.to_path_buf(),
        }
    }

    /// Takes the next decoded picture and leaves an empty one. Returns when it is shown, milliseconds.
    pub(crate) fn take(&mut self, picture: &mut frame::Video) -> Result<Option<u64>, JobError> {
        let n = self.decoded;
        self.decoded += 1;
        if !n.is_multiple_of(self.keep_every) {
            return Ok(None);
        }
        let Place::At(at) = self.clock.place(picture.timestamp().or(picture.pts())) else {
            return Ok(None);
        };
        if at > self.limit_ticks {
            return Err(JobError::refused(
                refusal::OUT_OF_LIMITS,
                "It is longer than what is taken.",
            ));
        }
        let said_duration = self.clock.duration(picture.packet().duration);
        let next = HeldFrame {
            picture: std::mem::replace(picture, frame::Video::empty()),
            at,
            said_duration,
        };
        if let Some(held) = self.held.replace(next) {
            self.show(held, at)?;
        }
        Ok(Some(self.to_ms(at + said_duration)))
    }

    fn to_ms(&self, ticks: i64) -> u64 {
        u64::try_from(ticks).unwrap_or(0).saturating_mul(1000) / u64::from(self.timescale)
    }

    /// Sends a picture that stands until `until`, again where it stands for long.
    fn show(&mut self, held: HeldFrame, until: i64) -> Result<(), JobError> {
        let repeat = self.repeat_after;
        let mut at = held.at;
        // A remainder of less than half a step is not worth a picture.
        while until - at > repeat + repeat / 2 {
            self.filter(held.picture.clone(), at)?;
            at += repeat;
        }
        self.filter(held.picture, at)
    }

    fn filter(&mut self, mut picture: frame::Video, at: i64) -> Result<(), JobError> {
        let geometry = Geometry {
            width: picture.width(),
            height: picture.height(),
            format: picture.format(),
        };
        if self
            .graph
            .as_ref()
            .is_none_or(|(built_for, _)| *built_for != geometry)
        {
            self.end_graph()?;
            let graph = self.build_graph(geometry, picture.is_interlaced())?;
            if self.outputs.is_empty() {
                self.open_outputs(&picture)?;
            }
            self.graph = Some((geometry, graph));
        }
        picture.set_pts(Some(at));
        if let Some((_, graph)) = &mut self.graph {
            graph.push(&picture)?;
        }
        self.drain_graph()
    }

    fn end_graph(&mut self) -> Result<(), JobError> {
        if let Some((_, graph)) = &mut self.graph {
            graph.end()?;
            self.drain_graph()?;
        }
        self.graph = None;
        Ok(())
    }

    fn drain_graph(&mut self) -> Result<(), JobError> {
        let Some((_, graph)) = &mut self.graph else {
            return Ok(());
        };
        let mut scaled = frame::Video::empty();
        for (n, output) in self.outputs.iter_mut().enumerate() {
            while graph.pull(n, &mut scaled)? {
                output.encode(&mut scaled)?;
            }
        }
        Ok(())
    }

    fn build_graph(&self, geometry: Geometry, interlaced: bool) -> Result<FilterGraph, JobError> {
        let source = format!(
            "video_size={}x{}:pix_fmt={}:time_base=1/{}:pixel_aspect=1/1",
            geometry.width,
            geometry.height,
            geometry
                .format
                .descriptor()
                .map_or("yuv420p", |descriptor| descriptor.name()),
            self.timescale
        );
        FilterGraph::new(
            Medium::Video,
            &source,
            &self.graph_spec(interlaced),
            self.rungs.len(),
        )
    }

    fn graph_spec(&self, interlaced: bool) -> String {
        let mut shared = Vec::new();
        if interlaced {
            shared.push("yadif=mode=send_frame:deint=interlaced".to_string());
        }
        if self.orientation.mirrored {
            shared.push("hflip".into());
        }
        match self.orientation.clockwise_deg {
            90 => shared.push("transpose=clock".into()),
            180 => shared.push("hflip,vflip".into()),
            270 => shared.push("transpose=cclock".into()),
            _ => {}
        }
        let count = self.rungs.len();
        shared.push(if count == 1 {
            "null[s0]".into()
        } else {
            format!("split={count}{}", pads('s', count))
        });
        let mut spec = format!("[in]{}", shared.join(","));
        for (n, rung) in self.rungs.iter().enumerate() {
            let VideoRung { width, height, .. } = rung;
            spec.push_str(&format!(
                ";[s{n}]scale={width}:{height}:flags=bicubic:out_range=tv"
            ));
            if let Some(hdr) = self.hdr {
                spec.push_str(tone_map(hdr));
            }
            spec.push_str(&format!(
                ",setsar=1,format=yuv420p,settb=1/{}[out{n}]",
                self.timescale
            ));
        }
        spec
    }

    fn open_outputs(&mut self, first: &frame::Video) -> Result<(), JobError> {
        for rung in &self.rungs {
            let encoder = self.open_encoder(rung, first)?;
            let config = TrackConfig {
                id: rung.id.clone(),
                track: TrackKind::Video {
                    width: rung.width,
                    height: rung.height,
                    rung: rung.rung,
                    frame_rate: FrameRate { num: 0, den: 1 },
                    audio_id: rung.audio_id.clone(),
                },
                timescale: self.timescale,
                reorder_ticks: self.reorder_ticks,
            };
            let file =
                File::create(mezzanine_path(&self.out_dir, &rung.id)).map_err(JobError::failed)?;
            self.outputs.push(VideoOutput {
                encoder,
                writer: TrackWriter::new(BufWriter::new(file), config),
                keys: KeyGrid::new(KEY_GRID_MS, self.timescale),
                packet: Packet::empty(),
            });
        }
        Ok(())
    }

    fn open_encoder(
        &self,
        rung: &VideoRung,
        first: &frame::Video,
    ) -> Result<encoder::video::Encoder, JobError> {
        let failed =
            |error: ffmpeg::Error| JobError::failed(format!("encoder of {}: {error}", rung.id));
        let codec = encoder::find_by_name("libx264")
            .ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: self.threads,
            safe: false,
        });
        let mut encoder = context.encoder().video().map_err(failed)?;
        encoder.set_width(rung.width);
        encoder.set_height(rung.height);
        encoder.set_format(ffmpeg::format::Pixel::YUV420P);
        encoder.set_time_base(Rational::new(
            1,
            i32::try_from(self.timescale).unwrap_or(90_000),
        ));
        encoder.set_frame_rate(self.nominal_rate);
        encoder.set_aspect_ratio(Rational::new(1, 1));
        encoder.set_max_bit_rate(rung.bitrate_bps as usize);
        let mut options = Dictionary::new();
        for (name, value) in [
            ("preset", X264_PRESET),
            ("profile", "high"),
            ("crf", X264_CRF),
            // Key frames come from our grid alone.
            ("g", "100000"),
            ("sc_threshold", "0"),
            ("forced-idr", "1"),
        ] {
            options.set(name, value);
        }
        options.set("bufsize", &(u64::from(rung.bitrate_bps) * 2).to_string());
        for (name, value) in color_tags(first, self.hdr) {
            options.set(name, &value);
        }
        encoder.open_as_with(codec, options).map_err(failed)
    }

    /// Encodes what is left. Empty when no picture came.
    pub(crate) fn finish(mut self) -> Result<Vec<RenditionInfo>, JobError> {
        let Some(held) = self.held.take() else {
            return Ok(Vec::new());
        };
        let end = (held.at + held.said_duration.max(1)).min(self.limit_ticks.max(held.at + 1));
        self.show(held, end)?;
        self.end_graph()?;
        let end = u64::try_from(end).unwrap_or(0);
        self.outputs
            .into_iter()
            .map(|output| output.finish(end))
            .collect()
    }
}

struct VideoOutput {
    encoder: encoder::video::Encoder,
    writer: TrackWriter<BufWriter<File>>,
    keys: KeyGrid,
    packet: Packet,
}

impl VideoOutput {
    fn encode(&mut self, picture: &mut frame::Video) -> Result<(), JobError> {
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
        self.encoder
            .send_frame(picture)
            .map_err(|error| JobError::failed(format!("video encoder: {error}")))?;
        self.collect()
    }

    fn collect(&mut self) -> Result<(), JobError> {
        loop {
            match self.encoder.receive_packet(&mut self.packet) {
                Ok(()) => {}
                Err(error) if is_drained(error) => return Ok(()),
                Err(error) => return Err(JobError::failed(format!("video encoder: {error}"))),
            }
            let present_ticks = self.packet.pts().and_then(|pts| u64::try_from(pts).ok());
            let (Some(data), Some(present_ticks)) = (self.packet.data(), present_ticks) else {
                return Err(JobError::failed(
                    "the video encoder gave a packet without bytes or time",
                ));
            };
            self.writer
                .push(EncodedSample {
                    data,
                    present_ticks,
                    is_sync: self.packet.is_key(),
                })
                .map_err(JobError::failed)?;
        }
    }

    fn finish(mut self, end_ticks: u64) -> Result<RenditionInfo, JobError> {
        self.encoder
            .send_eof()
            .map_err(|error| JobError::failed(format!("video encoder: {error}")))?;
        self.collect()?;
        self.writer
            .finish(end_ticks)
            .map(|(info, _)| info)
            .map_err(JobError::failed)
    }
}

fn pads(letter: char, count: usize) -> String {
    (0..count).map(|n| format!("[{letter}{n}]")).collect()
}

/// Ticks a second in which the source's frames have whole times: the numerator of a constant frame rate, else MPEG's
/// 90 000.
fn timescale_for(stream: &VideoStream) -> u32 {
    match stream.frame_rate {
        Some(rate) if stream.constant_rate && rate.num <= 120_000 && rate.as_f64() < 1000.0 => {
            // Fine enough for neighbours that are not quite regular.
            if rate.num < 1000 {
                rate.num * 1000
            } else {
                rate.num
            }
        }
        _ => 90_000,
    }
}

/// High dynamic range (BT.2020, PQ or HLG) to BT.709: to linear light, Hable's curve, back.
fn tone_map(hdr: Hdr) -> &'static str {
    match hdr {
        Hdr::Pq => {
            ",zscale=tin=smpte2084:pin=bt2020:min=bt2020nc:rin=tv:t=linear:npl=100,format=gbrpf32le,\
             zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
        }
        Hdr::Hlg => {
            ",zscale=tin=arib-std-b67:pin=bt2020:min=bt2020nc:rin=tv:t=linear:npl=100,format=gbrpf32le,\
             zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
        }
    }
}

/// The colour description that the encoder writes: the source's, or BT.709 after tone mapping. FFmpeg's numbers are those
/// of ITU-T H.273.
fn color_tags(first: &frame::Video, hdr: Option<Hdr>) -> Vec<(&'static str, String)> {
    use ffmpeg::ffi::{AVColorPrimaries, AVColorSpace, AVColorTransferCharacteristic};
    if hdr.is_some() {
        return ["colorspace", "color_primaries", "color_trc"]
            .map(|name| (name, "bt709".to_string()))
            .to_vec();
    }
    // RGB becomes YUV on the way: its matrix is no longer the source's.
    if first.color_space() == ffmpeg::util::color::Space::RGB {
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
