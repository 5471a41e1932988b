//! What players went through.

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionEnd {
    /// It was watched as long as it was meant to be, or to the item's end.
    Complete,
    /// The run was over.
    RunOver,
    /// It never began to play, or broke off, because of errors.
    Failed,
}

/// One player's session, told when it has ended. What it told meanwhile ([`crate::PlaybackSample`]) is included in its sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSample {
    /// Its intended start, µs after the run's start.
    pub intended_us: u64,
    /// When it ended, µs after the run's start.
    pub ended_us: u64,
    /// From the intended start to the first frame, µs; none: it never came.
    pub startup_us: Option<u64>,
    /// How it ended.
    pub end: SessionEnd,
    /// Stalls after the first frame.
    pub stalls: u32,
    /// Their time, µs.
    pub stalled_us: u64,
    /// Media played, µs.
    pub played_us: u64,
    /// Changes of quality.
    pub switches: u32,
    /// Bits of the media played: declared bitrate × time.
    pub media_bits: u64,
    /// Segments with other bytes than the reference's.
    pub wrong_bytes: u32,
    /// Segments that ended before their length.
    pub truncated: u32,
    /// Fetches that were tried again.
    pub retries: u32,
}

/// All sessions that were meant to start after the warm-up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionTotals {
    /// Sessions.
    pub sessions: u64,
    /// Of them, those that showed a first frame.
    pub started: u64,
    /// Those that never began, or broke off.
    pub failed: u64,
    /// Those without a stall, of those that started.
    pub without_stall: u64,
    /// Stalls.
    pub stalls: u64,
    /// Their time, µs.
    pub stalled_us: u64,
    /// Media played, µs.
    pub played_us: u64,
    /// Changes of quality.
    pub switches: u64,
    /// Bits of the media played.
    pub media_bits: u64,
    /// Segments with other bytes than the reference's.
    pub wrong_bytes: u64,
    /// Segments that ended before their length.
    pub truncated: u64,
    /// Fetches that were tried again.
    pub retries: u64,
    /// From the intended start to the first frame.
    pub startup: Latency,
    /// Each session's share of time stalled, in millionths, of those that started.
    pub rebuffer_ppm: Latency,
    /// Each session's mean bitrate, kbit/s, of those that played.
    pub bitrate_kbit_s: Latency,
}

impl SessionTotals {
    pub(crate) fn add(&mut self, session: &SessionSample) {
        self.sessions += 1;
        self.failed += u64::from(session.end == SessionEnd::Failed);
        self.stalls += u64::from(session.stalls);
        self.stalled_us += session.stalled_us;
        self.played_us += session.played_us;
        self.switches += u64::from(session.switches);
        self.media_bits += session.media_bits;
        self.wrong_bytes += u64::from(session.wrong_bytes);
        self.truncated += u64::from(session.truncated);
        self.retries += u64::from(session.retries);
        if let Some(startup_us) = session.startup_us {
            self.started += 1;
            self.without_stall += u64::from(session.stalls == 0);
            self.startup.record(startup_us);
            let whole = session.played_us.saturating_add(session.stalled_us);
            if let Some(ppm) = session
                .stalled_us
                .saturating_mul(1_000_000)
                .checked_div(whole)
            {
                self.rebuffer_ppm.record(ppm);
            }
        }
        // Bits per µs are Mbit/s.
        if let Some(kbit_s) = session
            .media_bits
            .saturating_mul(1_000)
            .checked_div(session.played_us)
        {
            self.bitrate_kbit_s.record(kbit_s);
        }
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in [
            (&mut self.sessions, other.sessions),
            (&mut self.started, other.started),
            (&mut self.failed, other.failed),
            (&mut self.without_stall, other.without_stall),
            (&mut self.stalls, other.stalls),
            (&mut self.stalled_us, other.stalled_us),
            (&mut self.played_us, other.played_us),
            (&mut self.switches, other.switches),
            (&mut self.media_bits, other.media_bits),
            (&mut self.wrong_bytes, other.wrong_bytes),
            (&mut self.truncated, other.truncated),
            (&mut self.retries, other.retries),
        ] {
            *own += theirs;
        }
        self.startup.merge(&other.startup);
        self.rebuffer_ppm.merge(&other.rebuffer_ppm);
        self.bitrate_kbit_s.merge(&other.bitrate_kbit_s);
    }

    /// Time stalled over time played and stalled; none when nothing was played.
    #[must_use]
    pub fn rebuffer_ratio(&self) -> Option<f64> {
        ratio(self.stalled_us, self.stalled_us + self.played_us)
    }

    /// Mean bitrate of what was played, kbit/s.
    #[must_use]
    pub fn bitrate_kbit_s(&self) -> Option<f64> {
        ratio(self.media_bits, self.played_us).map(|mbit_s| mbit_s * 1_000.0)
    }
}

/// None for a division by 0.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
