//! Pictures: from decoded frames, placed in time, through one filter graph with a split, to one encoder a rung.

use std::path::{Path, PathBuf};

use ffmpeg::{Rational, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_probe::{VideoStream, refusal};
use mcsp_media_sandbox::JobError;

use crate::VideoRung;
use crate::encode_thread::EncodeThreads;
use crate::filter::FilterGraph;
use crate::picture_graph::{GraphPlan, PictureForm};
use crate::timing::{FrameClock, PictureClock, Place};
use crate::x264::{EncoderPlan, REORDER_PICTURES, VideoOutput};

/// A picture that lasts longer is sent again, so that segments stay short and a player that joins sees something. In a
/// source of constant rate a missing picture is replaced so at once.
const REPEAT_MS: i64 = 500;
/// Sources with more frames a second are thinned out by a whole factor.
const FRAME_RATE_MAX: f64 = 60.5;

/// All pictures of one pass.
pub(crate) struct VideoPipe {
    clock: PictureClock,
    timescale: u32,
    repeat_after: i64,
    limit_ticks: i64,
    keep_every: u64,
    decoded: u64,
    held: Option<HeldPicture>,
    seen_interlaced: bool,
    graph_plan: GraphPlan,
    graph: Option<(PictureForm, FilterGraph)>,
    encoder_plan: EncoderPlan,
    encoders: Option<EncodeThreads>,
    out_dir: PathBuf,
}

/// The newest picture, whose length is not known before the next one comes.
struct HeldPicture {
    picture: frame::Video,
    at: i64,
    said_duration: i64,
}

/// What a pass wants of the pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoOrder<'a> {
    /// What to make; not empty.
    pub(crate) rungs: &'a [VideoRung],
    /// Where mezzanines go.
    pub(crate) out_dir: &'a Path,
    /// Threads that the encoders share out among them.
    pub(crate) threads: usize,
    /// Longer sources are refused, milliseconds.
    pub(crate) duration_ms_max: u64,
}

impl VideoPipe {
    /// A pipe for a stream whose times are in `base`; `origin_ms` of them becomes 0.
    pub(crate) fn new(
        stream: &VideoStream,
        base: Rational,
        origin_ms: i64,
        order: VideoOrder<'_>,
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
        let limit = order.duration_ms_max.saturating_mul(u64::from(timescale)) / 1000;
        Self {
            clock: PictureClock::new(FrameClock::new(base, timescale, origin_ms), nominal),
            timescale,
            repeat_after,
            limit_ticks: i64::try_from(limit).unwrap_or(i64::MAX),
            keep_every,
            decoded: 0,
            held: None,
            seen_interlaced: false,
            graph_plan: GraphPlan {
                orientation: stream.orientation,
                hdr: stream.hdr,
                timescale,
                rungs: order.rungs.to_vec(),
            },
            graph: None,
            encoder_plan: EncoderPlan {
                timescale,
                reorder_ticks: REORDER_PICTURES * longest,
                nominal_rate,
                threads: (order.threads / order.rungs.len().max(1)).max(1),
                tone_mapped: stream.hdr.is_some(),
            },
            encoders: None,
            out_dir: order.out_dir.to_path_buf(),
        }
    }

    /// Takes the next decoded picture and leaves an empty one. Returns where it ends, milliseconds.
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
        let next = HeldPicture {
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
    fn show(&mut self, held: HeldPicture, until: i64) -> Result<(), JobError> {
        let mut at = held.at;
        // A remainder of less than half a step is not worth a picture.
        while until - at > self.repeat_after + self.repeat_after / 2 {
            self.filter(held.picture.clone(), at)?;
            at += self.repeat_after;
        }
        self.filter(held.picture, at)
    }

    fn filter(&mut self, mut picture: frame::Video, at: i64) -> Result<(), JobError> {
        self.seen_interlaced |= picture.is_interlaced();
        let form = PictureForm::of(&picture, self.seen_interlaced);
        if self
            .graph
            .as_ref()
            .is_none_or(|(built_for, _)| *built_for != form)
        {
            self.end_graph()?;
            let graph = self.graph_plan.build(form)?;
            if self.encoders.is_none() {
                self.encoders = Some(self.open_encoders(&picture)?);
            }
            self.graph = Some((form, graph));
        }
        picture.set_pts(Some(at));
        if let Some((_, graph)) = &mut self.graph {
            graph.push(&picture)?;
        }
        self.drain_graph()
    }

    fn open_encoders(&self, first: &frame::Video) -> Result<EncodeThreads, JobError> {
        let open = |rung| {
            let output = VideoOutput::open(rung, self.encoder_plan, first, &self.out_dir);
            (rung.id.clone(), output)
        };
        EncodeThreads::start(self.graph_plan.rungs.iter().map(open).collect())
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
        let (Some((_, graph)), Some(encoders)) = (&mut self.graph, &mut self.encoders) else {
            return Ok(());
        };
        // Where an encoder has failed, its pictures are taken all the same: they must not pile up in the graph.
        for n in 0..self.graph_plan.rungs.len() {
            let mut scaled = frame::Video::empty();
            while graph.pull(n, &mut scaled)? {
                encoders.push(n, std::mem::replace(&mut scaled, frame::Video::empty()));
            }
        }
        Ok(())
    }

    /// Has every encoder failed, so that nothing would come of going on?
    pub(crate) fn is_in_vain(&self) -> bool {
        self.encoders
            .as_ref()
            .is_some_and(EncodeThreads::are_all_gone)
    }

    /// Hands over what is left, and leaves the encoders to end. None when no picture came.
    pub(crate) fn end(mut self) -> Result<Option<EncodeThreads>, JobError> {
        let Some(held) = self.held.take() else {
            return Ok(None);
        };
        let end = (held.at + held.said_duration.max(1)).min(self.limit_ticks.max(held.at + 1));
        self.show(held, end)?;
        self.end_graph()?;
        if let Some(encoders) = &mut self.encoders {
            encoders.end(u64::try_from(end).unwrap_or(0));
        }
        Ok(self.encoders)
    }
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
