//! Which pictures of an item become thumbnails.

use std::path::Path;

use ffmpeg::codec::decoder::Opened;
use ffmpeg::format::context::Input;
use ffmpeg::{Error, Packet, Rational, frame, media};
use ffmpeg_next as ffmpeg;
use mcsp_media_probe::{open_input, refusal};
use mcsp_media_sandbox::{JobError, Reporter};

use crate::candidate::Candidate;
use crate::{THUMBNAILS_MAX, THUMBNAILS_MIN};

/// Items shorter than this get the fewest thumbnails, milliseconds.
const SHORT_MS: i64 = 10_000;
/// Where in its stretch of the item a thumbnail is looked for, until a picture tells something: from the middle to the
/// end, then from the beginning. In sevenths, so that stretches never share a place.
const PLACES: [i64; 7] = [3, 4, 5, 6, 0, 1, 2];
/// Packets read for one place: more than two seconds of pictures, with sound beside them.
const PACKETS_A_PLACE_MAX: u32 = 2000;

/// The pictures, the most interesting first.
pub(crate) fn pick(path: &Path, reporter: &mut Reporter<'_>) -> Result<Vec<Candidate>, JobError> {
    let mut reader = PictureReader::open(path)?;
    let duration_ms = reader.duration_ms.max(1);
    let count = if duration_ms < SHORT_MS {
        THUMBNAILS_MIN
    } else {
        THUMBNAILS_MAX
    };
    let stretch_ms = duration_ms / count as i64;
    let mut picked: Vec<Candidate> = Vec::new();
    for n in 0..count as i64 {
        let mut best: Option<Candidate> = None;
        for place in PLACES {
            reporter.tick(u32::try_from(n * 200).unwrap_or(0))?;
            let at_ms = stretch_ms * n + stretch_ms * place / PLACES.len() as i64;
            let Some(seen) = reader.picture_at(at_ms)? else {
                break;
            };
            let is_telling = seen.is_telling();
            if best
                .as_ref()
                .is_none_or(|best| seen.interest() > best.interest())
            {
                best = Some(seen);
            }
            if is_telling {
                break;
            }
        }
        // Few pictures, many places: the same one is not taken twice.
        picked.extend(best.filter(|best| picked.iter().all(|other| other.at != best.at)));
    }
    if picked.is_empty() {
        return Err(JobError::refused(
            refusal::NO_USABLE_STREAM,
            "There is no picture to make thumbnails of.",
        ));
    }
    if picked.iter().any(Candidate::is_telling)
        && picked.iter().filter(|c| c.is_telling()).count() >= THUMBNAILS_MIN
    {
        picked.retain(Candidate::is_telling);
    }
    picked.sort_by(|a, b| b.interest().total_cmp(&a.interest()));
    Ok(picked)
}

struct PictureReader {
    input: Input,
    decoder: Opened,
    index: usize,
    base: Rational,
    duration_ms: i64,
}

impl PictureReader {
    fn open(path: &Path) -> Result<Self, JobError> {
        let input = open_input(path).map_err(JobError::failed)?;
        let stream = input.streams().best(media::Type::Video).ok_or_else(|| {
            JobError::refused(
                refusal::NO_USABLE_STREAM,
                "There is no picture to make thumbnails of.",
            )
        })?;
        let (index, base) = (stream.index(), stream.time_base());
        let context = ffmpeg::codec::Context::from_parameters(stream.parameters())
            .map_err(JobError::failed)?;
        let codec = ffmpeg::decoder::find(context.id())
            .ok_or_else(|| JobError::failed(Error::DecoderNotFound))?;
        let decoder = context.decoder().open_as(codec).map_err(JobError::failed)?;
        let duration_ms = input.duration().max(0) / 1000;
        Ok(Self {
            input,
            decoder,
            index,
            base,
            duration_ms,
        })
    }

    /// The first picture at or after this time, or the last one when there is none.
    fn picture_at(&mut self, at_ms: i64) -> Result<Option<Candidate>, JobError> {
        // FFmpeg seeks to the key frame before.
        let at_micros = at_ms * 1000;
        self.input
            .seek(at_micros, ..at_micros)
            .or_else(|_| self.input.seek(0, ..))
            .map_err(JobError::failed)?;
        self.decoder.flush();
        let mut last = None;
        for _ in 0..PACKETS_A_PLACE_MAX {
            let mut packet = Packet::empty();
            let ended = match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.index => {
                    // What cannot be decoded is skipped: there are other pictures.
                    let _ = self.decoder.send_packet(&packet);
                    false
                }
                Ok(()) => continue,
                Err(_) => {
                    let _ = self.decoder.send_eof();
                    true
                }
            };
            let mut picture = frame::Video::empty();
            while self.decoder.receive_frame(&mut picture).is_ok() {
                let at = picture.timestamp().unwrap_or(0);
                let seen =
                    Candidate::new(std::mem::replace(&mut picture, frame::Video::empty()), at);
                if self.to_ms(at) >= at_ms {
                    return Ok(Some(seen));
                }
                last = Some(seen);
            }
            if ended {
                break;
            }
        }
        Ok(last)
    }

    fn to_ms(&self, at: i64) -> i64 {
        let ms = i128::from(at) * i128::from(self.base.numerator()) * 1000
            / i128::from(self.base.denominator().max(1));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }
}
