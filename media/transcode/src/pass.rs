//! One pass: decode the whole source once, encode some rungs of its ladder.

use std::fs;
use std::path::{Path, PathBuf};

use ffmpeg::format::context::Input;
use ffmpeg::{Error, Packet, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_package::{PackageError, RenditionInfo, mezzanine_parts};
use mcsp_media_probe::{Probe, open_input, refusal};
use mcsp_media_sandbox::{Job, JobError, Reporter};
use serde::{Deserialize, Serialize};

use crate::Ladder;
use crate::audio::AudioPipe;
use crate::decode::{StreamDecoder, stream_ms};
use crate::encode_thread::EncodeThreads;
use crate::report::DecodeReport;
use crate::video::{VideoOrder, VideoPipe};

/// Packets in a row that the demuxer cannot make sense of before the rest is given up.
const BAD_PACKETS_IN_A_ROW_MAX: u32 = 1000;

/// What a pass is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassInput {
    /// The creator's file.
    pub source: PathBuf,
    /// An existing folder for `{id}.mp4` and `{id}.json` of each rendition.
    pub out_dir: PathBuf,
    /// What the probe found.
    pub probe: Probe,
    /// The rungs to encode.
    pub ladder: Ladder,
    /// Decode every stream even without a rung for it, and refuse the file when too much of it is damaged.
    pub validate: bool,
    /// Threads of the decoder, and as many for the encoders together.
    pub threads: usize,
    /// Longer files are refused, milliseconds.
    pub duration_ms_max: u64,
}

/// What a pass gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassOutput {
    /// What decoding found.
    pub report: DecodeReport,
    /// The renditions that were made, in the order in which they were finished. A rung whose stream turned out to be
    /// empty is missing.
    pub rendition_ids: Vec<String>,
    /// The rungs whose encoders failed.
    pub failed: Vec<FailedRung>,
}

/// A rung whose encoder failed while others did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRung {
    /// The rendition's id.
    pub id: String,
    /// For operators.
    pub message: String,
}

/// The mezzanine of a rendition inside a pass's folder.
#[must_use]
pub fn mezzanine_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.mp4"))
}

/// Reads a rendition's description from a pass's folder, and checks it against its mezzanine: both were written by the
/// confined child.
///
/// # Errors
/// [`PackageError::Corrupt`] when they do not agree, [`PackageError::Io`] when they cannot be read.
pub fn read_rendition(dir: &Path, id: &str) -> Result<RenditionInfo, PackageError> {
    let text = fs::read(dir.join(format!("{id}.json")))?;
    let info: RenditionInfo =
        serde_json::from_slice(&text).map_err(|error| PackageError::Corrupt(error.to_string()))?;
    info.validate()?;
    if info.id != id {
        return Err(PackageError::Corrupt(format!(
            "{id}.json describes {:?}",
            info.id
        )));
    }
    mezzanine_parts(&mut fs::File::open(mezzanine_path(dir, id))?, &info)?;
    Ok(info)
}

/// A pass, in the confined child.
#[derive(Debug)]
pub struct EncodeJob;

impl Job for EncodeJob {
    const NAME: &'static str = "encode";
    type Input = PassInput;
    type Output = PassOutput;

    fn run(input: PassInput, reporter: &mut Reporter<'_>) -> Result<PassOutput, JobError> {
        let mut demuxer = open_input(&input.source).map_err(|error| {
            JobError::refused(
                refusal::NOT_MEDIA,
                format!("The file cannot be opened: {error}."),
            )
        })?;
        let mut pass = Pass::new(&input, &demuxer)?;
        pass.read_all(&mut demuxer, reporter)?;
        pass.finish(&input, reporter)
    }
}

struct Pass {
    video: Option<(StreamDecoder, Option<VideoPipe>)>,
    audio: Option<(StreamDecoder, Option<AudioPipe>)>,
    duration_ms: u64,
    picture: frame::Video,
    sound: frame::Audio,
}

impl Pass {
    fn new(input: &PassInput, demuxer: &Input) -> Result<Self, JobError> {
        let PassInput { probe, ladder, .. } = input;
        let video_index = probe.video.as_ref().map(|stream| stream.index);
        let audio_index = probe.audio.as_ref().map(|stream| stream.index);
        // The presentation begins where the first of the used streams does.
        let origin_ms = [video_index, audio_index]
            .into_iter()
            .flatten()
            .filter_map(|index| demuxer.stream(index))
            .filter(|stream| stream.start_time() != i64::MIN)
            .map(|stream| stream_ms(stream.start_time(), stream.time_base()))
            .min()
            .unwrap_or(0);
        let decoder = |index: usize, threads: usize| {
            let stream = demuxer.stream(index).ok_or_else(|| {
                JobError::failed(format!("stream {index} of the probe is not in the file"))
            })?;
            StreamDecoder::open(&stream, origin_ms, threads)
        };
        let mut video = None;
        if let Some(stream) = probe
            .video
            .as_ref()
            .filter(|_| input.validate || !ladder.video.is_empty())
        {
            let decoder = decoder(stream.index, input.threads)?;
            let pipe = (!ladder.video.is_empty()).then(|| {
                let order = VideoOrder {
                    rungs: &ladder.video,
                    out_dir: &input.out_dir,
                    threads: input.threads,
                    duration_ms_max: input.duration_ms_max,
                };
                VideoPipe::new(stream, decoder.base(), origin_ms, order)
            });
            video = Some((decoder, pipe));
        }
        let mut audio = None;
        if let Some(stream) = probe
            .audio
            .as_ref()
            .filter(|_| input.validate || !ladder.audio.is_empty())
        {
            let decoder = decoder(stream.index, 1)?;
            let pipe = AudioPipe::new(
                decoder.base(),
                origin_ms,
                &ladder.audio,
                &input.out_dir,
                input.duration_ms_max,
            )?;
            audio = Some((decoder, pipe));
        }
        Ok(Self {
            video,
            audio,
            duration_ms: probe.duration_ms,
            picture: frame::Video::empty(),
            sound: frame::Audio::empty(),
        })
    }

    fn read_all(
        &mut self,
        demuxer: &mut Input,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), JobError> {
        let mut bad_in_a_row = 0;
        loop {
            // A fresh packet each time: the demuxer's buffers are counted, not copied.
            let mut packet = Packet::empty();
            match packet.read(demuxer) {
                Ok(()) => bad_in_a_row = 0,
                Err(Error::InvalidData) if bad_in_a_row < BAD_PACKETS_IN_A_ROW_MAX => {
                    bad_in_a_row += 1;
                    continue;
                }
                // The end, or a file that ends in the middle: how far the streams came tells which.
                Err(_) => break,
            }
            self.decode(Some(&packet), packet.stream(), reporter)?;
        }
        let video = self.video.as_ref().map(|(decoder, _)| decoder.index());
        let audio = self.audio.as_ref().map(|(decoder, _)| decoder.index());
        for index in video.into_iter().chain(audio) {
            self.decode(None, index, reporter)?;
        }
        Ok(())
    }

    /// Decodes one packet of stream `index`, or with none flushes its decoder.
    fn decode(
        &mut self,
        packet: Option<&Packet>,
        index: usize,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), JobError> {
        if let Some((decoder, pipe)) = self
            .video
            .as_mut()
            .filter(|(decoder, _)| decoder.index() == index)
        {
            decoder.send(packet)?;
            while decoder.receive(&mut self.picture)? {
                let end_ms = match pipe {
                    Some(pipe) if !pipe.is_in_vain() => pipe.take(&mut self.picture)?,
                    _ => Some(decoder.ms(self.picture.timestamp())),
                };
                decoder.reached(end_ms.unwrap_or(0));
                reporter.tick(permille(end_ms.unwrap_or(0), self.duration_ms))?;
            }
        }
        let has_video = self.video.is_some();
        if let Some((decoder, pipe)) = self
            .audio
            .as_mut()
            .filter(|(decoder, _)| decoder.index() == index)
        {
            decoder.send(packet)?;
            while decoder.receive(&mut self.sound)? {
                let length_ms = (self.sound.samples() as u64 * 1000)
                    .div_ceil(u64::from(self.sound.rate().max(1)));
                let end_ms = decoder.ms(self.sound.timestamp()) + length_ms;
                decoder.reached(end_ms);
                if let Some(pipe) = pipe {
                    pipe.take(&mut self.sound)?;
                }
                if !has_video {
                    reporter.tick(permille(end_ms, self.duration_ms))?;
                }
            }
        }
        Ok(())
    }

    fn finish(
        self,
        input: &PassInput,
        reporter: &mut Reporter<'_>,
    ) -> Result<PassOutput, JobError> {
        let mut report = DecodeReport::default();
        let (mut video_pipe, mut audio_pipe) = (None, None);
        if let Some((decoder, pipe)) = self.video {
            (report.video, video_pipe) = (Some(decoder.report()), pipe);
        }
        if let Some((decoder, pipe)) = self.audio {
            (report.audio, audio_pipe) = (Some(decoder.report()), pipe);
        }
        if input.validate {
            report.verdict(&input.probe)?;
        }
        let mut output = PassOutput {
            report,
            rendition_ids: Vec::new(),
            failed: Vec::new(),
        };
        // While the encoders of pictures work off what waits for them, the sound is finished.
        let pictures = video_pipe.map(VideoPipe::end).transpose()?.flatten();
        let sounds = audio_pipe.map(AudioPipe::finish).transpose()?;
        let sounds = sounds.into_iter().flatten();
        let pictures = pictures.into_iter().flat_map(EncodeThreads::ended);
        for (id, result) in sounds.chain(pictures) {
            match result {
                Ok(info) => {
                    let text = serde_json::to_vec(&info).map_err(JobError::failed)?;
                    let path = input.out_dir.join(format!("{id}.json"));
                    fs::write(path, text).map_err(JobError::failed)?;
                    reporter.made(&id)?;
                    output.rendition_ids.push(id);
                }
                // What is published first needs all of its parts.
                Err(error) if input.validate => return Err(error),
                Err(error) => output.failed.push(FailedRung {
                    id,
                    message: error.to_string(),
                }),
            }
        }
        Ok(output)
    }
}

fn permille(at_ms: u64, duration_ms: u64) -> u32 {
    let permille = at_ms
        .saturating_mul(1000)
        .checked_div(duration_ms)
        .unwrap_or(0);
    u32::try_from(permille.min(999)).unwrap_or(999)
}
