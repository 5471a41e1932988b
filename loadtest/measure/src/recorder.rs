//! What a worker's thread tells of its users.

use mcsp_loadtest_scenario::Phase;

use crate::checked::Against;
use crate::finding::Finding;
use crate::partial::Partial;
use crate::sample::{Outcome, PlaybackSample, RequestSample};
use crate::session::{SessionEnd, SessionSample};

/// A request that the run's end cut off counts for latency when it had waited for this long, µs. One that had just begun says nothing,
/// and would only make a system seem quicker than it is.
const CUT_OFF_US_MIN: u64 = 1_000_000;

/// What a worker's thread tells of its users. It belongs to one thread: nothing is locked. Moments are µs after the run's common
/// start.
#[derive(Debug, Default)]
pub struct Recorder {
    warm_up_us: u64,
    seen: Partial,
}

impl Recorder {
    /// What was meant to start before `warm_up_us` is on the timeline only.
    #[must_use]
    pub fn new(warm_up_us: u64) -> Self {
        Self {
            warm_up_us,
            seen: Partial::default(),
        }
    }

    /// A user started. How late it did is the tool's own lag, by which a run's worth is judged.
    pub fn arrival(&mut self, intended_us: u64, started_us: u64) {
        let lag_us = started_us.saturating_sub(intended_us);
        self.seen.lag.record(lag_us);
        let bucket = self.seen.timeline.at(started_us);
        bucket.arrivals += 1;
        bucket.lag.record(lag_us);
    }

    /// A user should have started, and the worker has too many.
    pub fn missed(&mut self, intended_us: u64) {
        self.seen.timeline.at(intended_us).missed += 1;
    }

    /// A user left, whatever it was.
    pub fn departure(&mut self, at_us: u64) {
        self.seen.timeline.at(at_us).departures += 1;
    }

    /// A request ended.
    pub fn request(&mut self, sample: &RequestSample) {
        let since = |moment: u64| moment.saturating_sub(sample.intended_us);
        let is_cut_late =
            sample.outcome == Outcome::CutOff && since(sample.last_byte_us) >= CUT_OFF_US_MIN;
        let is_whole =
            is_cut_late || !matches!(sample.outcome, Outcome::Abandoned | Outcome::CutOff);
        // Whoever waits for an answer until the end has waited for its first byte, too.
        let first_byte_us = sample
            .first_byte_us
            .or(is_cut_late.then_some(sample.last_byte_us));
        let bucket = self
            .seen
            .timeline
            .at(sample.last_byte_us)
            .classes
            .entry(sample.class.clone())
            .or_default();
        bucket.counts.add(sample);
        if let Some(moment) = first_byte_us {
            bucket.first_byte.record(since(moment));
        }
        if is_whole {
            bucket.last_byte.record(since(sample.last_byte_us));
        }
        if sample.intended_us < self.warm_up_us {
            return;
        }
        self.seen
            .counts
            .entry(sample.class.clone())
            .or_default()
            .add(sample);
        let phases = [
            (Phase::Wait, Some(since(sample.started_us))),
            (Phase::Connect, sample.connect_us),
            (Phase::Tls, sample.tls_us),
            (Phase::FirstByte, first_byte_us.map(since)),
            (
                Phase::LastByte,
                is_whole.then(|| since(sample.last_byte_us)),
            ),
        ];
        for (phase, us) in phases {
            if let Some(us) = us {
                self.seen.latencies.record(&sample.class, phase, us);
            }
        }
    }

    /// A player shows its first frame, `startup_us` after its intended start. For the timeline; the session says it again.
    pub fn first_frame(&mut self, at_us: u64, startup_us: u64) {
        self.seen.timeline.at(at_us).startup.record(startup_us);
    }

    /// What a player has done since it last said so; about once a second. For the timeline; the session sums it up.
    pub fn playback(&mut self, sample: &PlaybackSample) {
        let bucket = self.seen.timeline.at(sample.at_us);
        bucket.played_us += sample.played_us;
        bucket.stalled_us += sample.stalled_us;
        bucket.stalls += u64::from(sample.stalls);
        bucket.switches += u64::from(sample.switches);
        bucket.media_bits += sample.media_bits;
    }

    /// A player's session ended.
    pub fn session(&mut self, session: &SessionSample) {
        let bucket = self.seen.timeline.at(session.ended_us);
        bucket.sessions += 1;
        bucket.sessions_failed += u64::from(session.end == SessionEnd::Failed);
        if session.intended_us >= self.warm_up_us {
            self.seen.sessions.add(session);
        }
    }

    /// A segment's bytes were judged.
    pub fn checked(&mut self, against: Against, bytes: u64) {
        self.seen.checked.add(against, bytes);
    }

    /// Something is wrong.
    pub fn finding(&mut self, finding: Finding) {
        self.seen.findings.add(finding);
    }

    /// What was seen since this was last called; about once a second.
    #[must_use]
    pub fn take(&mut self) -> Partial {
        std::mem::take(&mut self.seen)
    }
}
