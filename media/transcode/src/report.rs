//! What decoding the whole file found, and the verdict on it.

use mcsp_media_probe::{Probe, duration_is_exact, refusal};
use mcsp_media_sandbox::JobError;
use serde::{Deserialize, Serialize};

/// A stream of which more than this share of its frames is damaged is refused; what is below plays, with the decoder's
/// concealment.
pub const DAMAGE_PERCENT_MAX: u64 = 2;
/// Damage up to this many frames is forgiven whatever the share: a short file's first frames, a clumsy cut.
const DAMAGED_FRAMES_FORGIVEN: u64 = 3;
/// How much earlier than its header says a stream may end: this, or two hundredths, but never more than the maximum.
const END_TOLERANCE_MS_MIN: u64 = 1000;
const END_TOLERANCE_MS_MAX: u64 = 10_000;

/// What decoding one stream found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Packets in the file.
    pub packets: u64,
    /// Frames decoded.
    pub frames: u64,
    /// Packets and frames that the demuxer or the decoder complained of.
    pub damaged: u64,
    /// Where the first complaint was, milliseconds.
    pub first_damage_ms: Option<u64>,
    /// Where the last frame ended, milliseconds.
    pub end_ms: u64,
}

impl StreamReport {
    /// Counts a complaint at `at_ms`.
    pub(crate) fn complain(&mut self, at_ms: u64) {
        self.damaged += 1;
        self.first_damage_ms.get_or_insert(at_ms);
    }

    fn is_too_damaged(&self) -> bool {
        let units = self.frames.max(self.packets);
        self.damaged > DAMAGED_FRAMES_FORGIVEN && self.damaged * 100 > units * DAMAGE_PERCENT_MAX
    }
}

/// What decoding the whole file found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeReport {
    /// The picture, when it was decoded.
    pub video: Option<StreamReport>,
    /// The sound, when it was decoded.
    pub audio: Option<StreamReport>,
}

impl DecodeReport {
    /// The longest stream as decoded, milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        let end = |stream: &Option<StreamReport>| stream.as_ref().map_or(0, |report| report.end_ms);
        end(&self.video).max(end(&self.audio))
    }

    /// Is the file good enough to be played?
    ///
    /// # Errors
    /// [`JobError::Refused`]: `damaged` with the place and the share, or `truncated` with where it ends.
    pub(crate) fn verdict(&self, probe: &Probe) -> Result<(), JobError> {
        for (stream, what) in [(&self.video, "picture"), (&self.audio, "sound")] {
            let Some(report) = stream else { continue };
            // A track that has no packet at all is an empty track beside a good one, not damage.
            let nothing_came = report.packets > 0 && report.frames == 0;
            if nothing_came || report.is_too_damaged() {
                let units = report.frames.max(report.packets);
                let percent = (report.damaged * 100)
                    .checked_div(units)
                    .unwrap_or(100)
                    .clamp(1, 100);
                return Err(JobError::refused(
                    refusal::DAMAGED,
                    format!(
                        "The {what} is damaged at {}: {} of {units} frames ({percent} %) cannot be decoded, and up to \
                         {DAMAGE_PERCENT_MAX} % are accepted. Export or copy it again.",
                        seconds(report.first_damage_ms.unwrap_or(0)),
                        report.damaged,
                    ),
                ));
            }
        }
        if self.video.as_ref().is_some_and(|report| report.frames == 0) || self.duration_ms() == 0 {
            return Err(JobError::refused(
                refusal::DAMAGED,
                "Nothing in the file could be decoded. Export or copy it again.",
            ));
        }
        self.ends_where_it_says(probe)
    }

    fn ends_where_it_says(&self, probe: &Probe) -> Result<(), JobError> {
        if !duration_is_exact(&probe.container) {
            return Ok(());
        }
        let video_says = probe.video.as_ref().and_then(|video| video.duration_ms);
        let audio_says = probe.audio.as_ref().and_then(|audio| audio.duration_ms);
        let end_of = |stream: &Option<StreamReport>| stream.as_ref().map(|report| report.end_ms);
        let pairs = [
            (end_of(&self.video), video_says),
            (end_of(&self.audio), audio_says),
            (
                Some(self.duration_ms()),
                (probe.duration_ms > 0).then_some(probe.duration_ms),
            ),
        ];
        for (end_ms, says_ms) in pairs {
            let (Some(end_ms), Some(says_ms)) = (end_ms, says_ms) else {
                continue;
            };
            let tolerance = (says_ms / 50).clamp(END_TOLERANCE_MS_MIN, END_TOLERANCE_MS_MAX);
            if end_ms + tolerance < says_ms {
                return Err(JobError::refused(
                    refusal::TRUNCATED,
                    format!(
                        "The file is cut short: it ends at {}, its header says {}. Export or copy it again.",
                        seconds(end_ms),
                        seconds(says_ms)
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(duration_ms: u64, container: &str) -> Probe {
        Probe {
            container: container.into(),
            size_bytes: 1,
            duration_ms,
            video: None,
            audio: None,
        }
    }

    fn report(packets: u64, frames: u64, damaged: u64, end_ms: u64) -> DecodeReport {
        let first_damage_ms = (damaged > 0).then_some(12_345);
        let video = Some(StreamReport {
            packets,
            frames,
            damaged,
            first_damage_ms,
            end_ms,
        });
        DecodeReport { video, audio: None }
    }

    fn code(report: &DecodeReport, probe: &Probe) -> Option<(String, String)> {
        match report.verdict(probe) {
            Ok(()) => None,
            Err(JobError::Refused { code, reason }) => Some((code, reason)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn damage_is_accepted_up_to_its_share() {
        let whole = probe(30_000, "matroska,webm");
        assert_eq!(code(&report(720, 720, 0, 30_000), &whole), None);
        assert_eq!(code(&report(720, 720, 14, 30_000), &whole), None);
        let (code_seen, reason) = code(&report(720, 720, 15, 30_000), &whole).unwrap();
        assert_eq!(code_seen, "damaged");
        assert!(
            reason.contains("at 12.3 s") && reason.contains("15 of 720"),
            "{reason}"
        );
        assert_eq!(code(&report(20, 20, 3, 30_000), &whole), None);
        assert_eq!(code(&report(20, 0, 20, 0), &whole).unwrap().0, "damaged");
        assert_eq!(code(&report(20, 0, 0, 0), &whole).unwrap().0, "damaged");
    }

    #[test]
    fn an_end_before_the_header_says_is_truncation() {
        let whole = probe(30_000, "matroska,webm");
        assert_eq!(code(&report(720, 720, 0, 29_100), &whole), None);
        let (code_seen, reason) = code(&report(720, 720, 0, 12_000), &whole).unwrap();
        assert_eq!(code_seen, "truncated");
        assert!(
            reason.contains("12.0 s") && reason.contains("30.0 s"),
            "{reason}"
        );
        assert_eq!(
            code(&report(720, 720, 0, 12_000), &probe(30_000, "mpegts")),
            None,
            "an estimate binds nobody"
        );
        assert_eq!(
            code(&report(720, 720, 0, 12_000), &probe(0, "matroska,webm")),
            None
        );
        assert_eq!(
            code(&report(1, 1, 0, 7_180_000), &probe(7_200_000, "mov,mp4"))
                .unwrap()
                .0,
            "truncated"
        );
    }
}
