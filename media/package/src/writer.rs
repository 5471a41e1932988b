//! From an encoder's samples to a mezzanine file.

use std::io::Write;

use crate::fragment::segment;
use crate::h264::{ParameterSets, to_sample};
use crate::init::init_segment;
use crate::timeline::{KeyGrid, PendingSample, SEGMENT_GRID_MS, TimedSample, time_group};
use crate::{FrameRate, PackageError, RenditionInfo, SegmentInfo, TrackKind, aac};

/// Samples between two key frames: far more than two seconds hold. An encoder that forgets its key frames must not
/// fill the memory.
const GROUP_SAMPLES_MAX: usize = 10_000;

/// What a track will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// The rendition's id, such as `v360`.
    pub id: String,
    /// What it carries. A video's frame rate is measured at the end; what stands here is not used.
    pub track: TrackKind,
    /// Ticks a second of every time given to the writer.
    pub timescale: u32,
    /// How long the encoder's reordering may make a sample wait between decoding and showing; 0 when it does not
    /// reorder. Too small a value makes some composition offsets negative, which is valid and which FFmpeg's demuxer
    /// takes for a shift of the whole track.
    pub reorder_ticks: u32,
}

/// One encoded frame, as the encoder gave it: H.264 in annex B with parameter sets in band, or a raw AAC frame.
#[derive(Debug, Clone, Copy)]
pub struct EncodedSample<'a> {
    /// The encoder's bytes.
    pub data: &'a [u8],
    /// When it is shown or heard, in the track's timescale. The first sample's must be 0.
    pub present_ticks: u64,
    /// May decoding start here?
    pub is_sync: bool,
}

/// Writes one track as a mezzanine: init segment, then segments. Holds at most one segment and one group of pictures.
#[derive(Debug)]
pub struct TrackWriter<W> {
    out: W,
    config: TrackConfig,
    sets: ParameterSets,
    init_bytes: u64,
    group: Vec<PendingSample>,
    open_segment: Vec<TimedSample>,
    grid: KeyGrid,
    segments: Vec<SegmentInfo>,
    samples: u64,
}

impl<W: Write> TrackWriter<W> {
    /// A writer whose mezzanine goes to `out`, in many small writes.
    pub fn new(out: W, config: TrackConfig) -> Self {
        let grid = KeyGrid::new(SEGMENT_GRID_MS, config.timescale);
        Self {
            out,
            config,
            sets: ParameterSets::default(),
            init_bytes: 0,
            group: Vec::new(),
            open_segment: Vec::new(),
            grid,
            segments: Vec::new(),
            samples: 0,
        }
    }

    /// Takes the next sample in decode order.
    ///
    /// # Errors
    /// When the bytes or times cannot be packaged, or the output cannot be written.
    pub fn push(&mut self, sample: EncodedSample<'_>) -> Result<(), PackageError> {
        let data = match self.config.track {
            TrackKind::Video { .. } => self.video_sample(sample)?,
            TrackKind::Audio { .. } => sample.data.to_vec(),
        };
        if self.samples == 0 && !(sample.is_sync && sample.present_ticks == 0) {
            return Err(PackageError::Timeline(
                "the first sample is not a sync sample at 0".into(),
            ));
        }
        if sample.is_sync {
            self.close_group(sample.present_ticks)?;
            // The grid is asked at every sync sample; only the steps that one begins cut.
            if self.grid.begins_step(sample.present_ticks) {
                self.close_segment()?;
            }
        }
        if self.group.len() == GROUP_SAMPLES_MAX {
            return Err(PackageError::Bitstream(format!(
                "no key frame in {GROUP_SAMPLES_MAX} samples"
            )));
        }
        self.group.push(PendingSample {
            data,
            present_ticks: sample.present_ticks,
            is_sync: sample.is_sync,
        });
        self.samples += 1;
        Ok(())
    }

    /// Writes what is left. `end_ticks` is when the last sample ends. Returns the description and the output.
    ///
    /// # Errors
    /// When there was no sample, the end does not lie after the last one, or the output cannot be written.
    pub fn finish(mut self, end_ticks: u64) -> Result<(RenditionInfo, W), PackageError> {
        if self.samples == 0 {
            return Err(PackageError::Timeline("a track without samples".into()));
        }
        self.close_group(end_ticks)?;
        self.close_segment()?;
        self.out.flush()?;
        let codec = match &mut self.config.track {
            TrackKind::Video { frame_rate, .. } => {
                *frame_rate = average_rate(self.samples, end_ticks, self.config.timescale);
                self.sets.codec()?
            }
            TrackKind::Audio { .. } => aac::CODEC.to_string(),
        };
        let info = RenditionInfo {
            id: self.config.id,
            track: self.config.track,
            codec,
            timescale: self.config.timescale,
            init_bytes: self.init_bytes,
            segments: self.segments,
        };
        info.validate()?;
        Ok((info, self.out))
    }

    /// How many samples were taken.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// PCM samples that one AAC frame holds, for whoever computes the times.
    #[must_use]
    pub fn aac_frame_samples() -> u32 {
        aac::FRAME_SAMPLES
    }

    fn video_sample(&mut self, sample: EncodedSample<'_>) -> Result<Vec<u8>, PackageError> {
        let (data, new_set) = to_sample(sample.data, &mut self.sets)?;
        if new_set && self.init_bytes > 0 {
            return Err(PackageError::Bitstream(
                "the encoder changed its parameter sets".into(),
            ));
        }
        if self.samples == 0 && !self.sets.is_complete() {
            return Err(PackageError::Bitstream(
                "the first picture brings no parameter sets".into(),
            ));
        }
        Ok(data)
    }

    fn close_group(&mut self, end_ticks: u64) -> Result<(), PackageError> {
        let group = std::mem::take(&mut self.group);
        self.open_segment
            .extend(time_group(group, end_ticks, self.config.reorder_ticks)?);
        Ok(())
    }

    fn close_segment(&mut self) -> Result<(), PackageError> {
        if self.open_segment.is_empty() {
            return Ok(());
        }
        if self.init_bytes == 0 {
            let init = init_segment(&self.config, &self.sets)?;
            self.out.write_all(&init)?;
            self.init_bytes = init.len() as u64;
        }
        let sequence = u32::try_from(self.segments.len() + 1)
            .map_err(|_| PackageError::Timeline("too many segments".into()))?;
        let bytes = segment(sequence, &self.open_segment)?;
        self.out.write_all(&bytes)?;
        self.segments.push(SegmentInfo {
            duration_ticks: self
                .open_segment
                .iter()
                .map(|s| u64::from(s.duration_ticks))
                .sum(),
            size_bytes: bytes.len() as u64,
        });
        self.open_segment.clear();
        Ok(())
    }
}

/// Frames over the track's length, as a fraction in lowest terms that fits.
fn average_rate(frames: u64, end_ticks: u64, timescale: u32) -> FrameRate {
    let (mut num, mut den) = (
        u128::from(frames) * u128::from(timescale),
        u128::from(end_ticks.max(1)),
    );
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    num /= a.max(1);
    den /= a.max(1);
    while num > u128::from(u32::MAX) || den > u128::from(u32::MAX) {
        num /= 2;
        den = (den / 2).max(1);
    }
    FrameRate {
        num: u32::try_from(num).unwrap_or(u32::MAX),
        den: u32::try_from(den).unwrap_or(1),
    }
}
