//! Sound: from decoded frames, through resampling and one continuous time line, to one AAC encoder a rung.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use ffmpeg::format::sample;
use ffmpeg::{ChannelLayout, Packet, Rational, encoder, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_package::{EncodedSample, RenditionInfo, TrackConfig, TrackKind, TrackWriter};
use mcsp_media_probe::refusal;
use mcsp_media_sandbox::JobError;

use crate::AudioRung;
use crate::encode_thread::Ended;
use crate::filter::{FilterGraph, Medium, is_drained};
use crate::pass::mezzanine_path;
use crate::timing::{FrameClock, Place};

/// PCM samples in one AAC frame, and of the encoder's priming.
const FRAME_SAMPLES: u32 = 1024;
/// What the encoders take.
const FORMAT: ffmpeg::format::Sample = ffmpeg::format::Sample::F32(sample::Type::Planar);

/// All sound of one pass. The rungs of one source share rate and channels, so they share the samples too.
pub(crate) struct AudioPipe {
    base: Rational,
    origin_ms: i64,
    rate_hz: u32,
    channels: u16,
    limit_samples: i64,
    /// Converts what the decoder gives; built anew when that changes in the middle of a stream.
    front: Option<(Form, FrameClock, FilterGraph)>,
    /// Fills gaps with silence, trims overlaps and what lies before 0, and cuts into the encoder's frames.
    tail: FilterGraph,
    outputs: Vec<AudioOutput>,
    /// Those that have failed; the others go on.
    failed: Vec<Ended>,
    samples: i64,
}

/// What the decoder gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    format: ffmpeg::format::Sample,
    rate_hz: u32,
    layout: u64,
}

impl AudioPipe {
    /// None when there is no rung.
    pub(crate) fn new(
        base: Rational,
        origin_ms: i64,
        rungs: &[AudioRung],
        out_dir: &Path,
        duration_ms_max: u64,
    ) -> Result<Option<Self>, JobError> {
        let Some(first) = rungs.first() else {
            return Ok(None);
        };
        let (rate_hz, channels) = (first.rate_hz, first.channels);
        let layout = layout_of(channels);
        let source = format!(
            "time_base=1/{rate_hz}:sample_rate={rate_hz}:sample_fmt=fltp:channel_layout={layout}"
        );
        let spec = format!(
            "[in]aresample={rate_hz}:async=1:first_pts=0,aformat=sample_fmts=fltp:sample_rates={rate_hz}:channel_layouts={layout}[out0]"
        );
        let mut tail = FilterGraph::new(Medium::Audio, &source, &spec, 1)?;
        tail.set_frame_samples(FRAME_SAMPLES)?;
        let (mut outputs, mut failed) = (Vec::new(), Vec::new());
        for rung in rungs {
            match AudioOutput::open(rung, out_dir) {
                Ok(output) => outputs.push(output),
                Err(error) => failed.push((rung.id.clone(), Err(error))),
            }
        }
        let limit = duration_ms_max.saturating_mul(u64::from(rate_hz)) / 1000;
        Ok(Some(Self {
            base,
            origin_ms,
            rate_hz,
            channels,
            limit_samples: i64::try_from(limit).unwrap_or(i64::MAX),
            front: None,
            tail,
            outputs,
            failed,
            samples: 0,
        }))
    }

    /// Takes the next decoded frame.
    pub(crate) fn take(&mut self, sound: &mut frame::Audio) -> Result<(), JobError> {
        if sound.channel_layout().is_empty() {
            sound.set_channel_layout(ChannelLayout::default(i32::from(sound.channels())));
        }
        let form = Form {
            format: sound.format(),
            rate_hz: sound.rate(),
            layout: sound.channel_layout().bits(),
        };
        if form.rate_hz == 0 || sound.samples() == 0 {
            return Ok(());
        }
        if self
            .front
            .as_ref()
            .is_none_or(|(built_for, ..)| *built_for != form)
        {
            self.end_front()?;
            self.front = Some(self.build_front(form)?);
        }
        let Some((_, clock, graph)) = &mut self.front else {
            return Ok(());
        };
        let samples = i64::try_from(sound.samples()).unwrap_or(0);
        let Place::At(at) = clock.place(sound.timestamp().or(sound.pts()), samples) else {
            return Ok(());
        };
        let limit =
            i128::from(self.limit_samples) * i128::from(form.rate_hz) / i128::from(self.rate_hz);
        if i128::from(at) > limit {
            return Err(JobError::refused(
                refusal::OUT_OF_LIMITS,
                "It is longer than what is taken.",
            ));
        }
        sound.set_pts(Some(at));
        graph.push(sound)?;
        self.drain_front()
    }

    fn build_front(&self, form: Form) -> Result<(Form, FrameClock, FilterGraph), JobError> {
        let Form {
            format,
            rate_hz,
            layout,
        } = form;
        let source = format!(
            "time_base=1/{rate_hz}:sample_rate={rate_hz}:sample_fmt={}:channel_layout=0x{layout:x}",
            format.name()
        );
        let spec = format!(
            "[in]aresample={rate},aformat=sample_fmts=fltp:sample_rates={rate}:channel_layouts={}[out0]",
            layout_of(self.channels),
            rate = self.rate_hz,
        );
        let clock = FrameClock::new(self.base, rate_hz, self.origin_ms);
        Ok((
            form,
            clock,
            FilterGraph::new(Medium::Audio, &source, &spec, 1)?,
        ))
    }

    fn end_front(&mut self) -> Result<(), JobError> {
        if let Some((.., graph)) = &mut self.front {
            graph.end()?;
            self.drain_front()?;
        }
        self.front = None;
        Ok(())
    }

    fn drain_front(&mut self) -> Result<(), JobError> {
        let mut converted = frame::Audio::empty();
        while let Some((.., graph)) = &mut self.front
            && graph.pull(0, &mut converted)?
        {
            self.tail.push(&converted)?;
            self.drain_tail()?;
        }
        Ok(())
    }

    fn drain_tail(&mut self) -> Result<(), JobError> {
        let mut cut = frame::Audio::empty();
        while self.tail.pull(0, &mut cut)? {
            // The tail leaves no gap, so counting is the time line.
            cut.set_pts(Some(self.samples));
            self.samples += i64::try_from(cut.samples()).unwrap_or(0);
            let failed = &mut self.failed;
            self.outputs.retain_mut(|output| match output.encode(&cut) {
                Ok(()) => true,
                Err(error) => {
                    failed.push((output.id.clone(), Err(error)));
                    false
                }
            });
        }
        Ok(())
    }

    /// Encodes what is left, and says what came of each encoder. Empty when no sample came.
    pub(crate) fn finish(mut self) -> Result<Vec<Ended>, JobError> {
        self.end_front()?;
        self.tail.end()?;
        self.drain_tail()?;
        if self.samples == 0 {
            return Ok(Vec::new());
        }
        let ended = self
            .outputs
            .into_iter()
            .map(|output| (output.id.clone(), output.finish()));
        Ok(ended.chain(self.failed).collect())
    }
}

fn layout_of(channels: u16) -> &'static str {
    if channels == 1 { "mono" } else { "stereo" }
}

struct AudioOutput {
    encoder: encoder::audio::Encoder,
    writer: TrackWriter<BufWriter<File>>,
    packet: Packet,
    id: String,
}

impl AudioOutput {
    fn open(rung: &AudioRung, out_dir: &Path) -> Result<Self, JobError> {
        let failed =
            |error: ffmpeg::Error| JobError::failed(format!("encoder of {}: {error}", rung.id));
        let codec =
            encoder::find_by_name("aac").ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
        let mut encoder = ffmpeg::codec::Context::new_with_codec(codec)
            .encoder()
            .audio()
            .map_err(failed)?;
        encoder.set_rate(i32::try_from(rung.rate_hz).unwrap_or(48_000));
        encoder.set_format(FORMAT);
        encoder.set_channel_layout(if rung.channels == 1 {
            ChannelLayout::MONO
        } else {
            ChannelLayout::STEREO
        });
        encoder.set_channels(i32::from(rung.channels));
        encoder.set_time_base(Rational::new(
            1,
            i32::try_from(rung.rate_hz).unwrap_or(48_000),
        ));
        encoder.set_bit_rate(rung.bitrate_bps as usize);
        let encoder = encoder.open_as(codec).map_err(failed)?;
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
        let file = File::create(mezzanine_path(out_dir, &rung.id)).map_err(JobError::failed)?;
        let writer = TrackWriter::new(BufWriter::new(file), config);
        Ok(Self {
            encoder,
            writer,
            packet: Packet::empty(),
            id: rung.id.clone(),
        })
    }

    fn encode(&mut self, sound: &frame::Audio) -> Result<(), JobError> {
        self.encoder
            .send_frame(sound)
            .map_err(|error| self.failed(error))?;
        self.collect()
    }

    fn failed(&self, error: ffmpeg::Error) -> JobError {
        JobError::failed(format!("encoder of {}: {error}", self.id))
    }

    fn collect(&mut self) -> Result<(), JobError> {
        loop {
            match self.encoder.receive_packet(&mut self.packet) {
                Ok(()) => {}
                Err(error) if is_drained(error) => return Ok(()),
                Err(error) => return Err(self.failed(error)),
            }
            // The priming frame lies before 0. Left out, it costs the first 21 ms their fade-in and saves the edit list,
            // which players treat differently.
            let Some(present_ticks) = self.packet.pts().and_then(|pts| u64::try_from(pts).ok())
            else {
                continue;
            };
            let Some(data) = self.packet.data() else {
                continue;
            };
            self.writer
                .push(EncodedSample {
                    data,
                    present_ticks,
                    is_sync: true,
                })
                .map_err(JobError::failed)?;
        }
    }

    fn finish(mut self) -> Result<RenditionInfo, JobError> {
        self.encoder
            .send_eof()
            .map_err(|error| self.failed(error))?;
        self.collect()?;
        let end_ticks = self.writer.samples() * u64::from(FRAME_SAMPLES);
        self.writer
            .finish(end_ticks)
            .map(|(info, _)| info)
            .map_err(JobError::failed)
    }
}
