//! What is asked of the system.

use serde::{Deserialize, Serialize};

/// A part of a request's time. All but connection set-up are counted from the moment the request was meant to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// From the intended to the actual start: what the tool itself, or a busy connection, added.
    Wait,
    /// TCP connection set-up, for the requests that opened one.
    Connect,
    /// TLS handshake, for the same.
    Tls,
    /// To the first byte of the answer.
    FirstByte,
    /// To its last byte.
    LastByte,
}

impl Phase {
    /// All of them, in a request's order.
    pub const ALL: [Self; 5] = [
        Self::Wait,
        Self::Connect,
        Self::Tls,
        Self::FirstByte,
        Self::LastByte,
    ];

    /// As in TOML and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first-byte",
            Self::LastByte => "last-byte",
        }
    }
}

/// What is measured for an SLO; the unit is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time of requests, ms; wants a quantile, takes a class and a phase.
    LatencyMs,
    /// From a player's arrival to its first frame, ms; wants a quantile.
    StartupMs,
    /// Time stalled over time played and stalled.
    RebufferRatio,
    /// Requests that failed over requests; takes a class.
    ErrorRatio,
    /// Sessions that never began to play, or broke off, over sessions.
    SessionFailureRatio,
    /// Media requests that no origin had to answer, over media requests.
    HitRatio,
    /// Mean bitrate of what was played, kbit/s.
    BitrateKbitS,
    /// Answered requests, per second; takes a class.
    RequestsPerS,
    /// Quality switches per minute played.
    SwitchesPerMin,
    /// Findings of every kind.
    Findings,
}

impl Metric {
    /// As in TOML and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyMs => "latency_ms",
            Self::StartupMs => "startup_ms",
            Self::RebufferRatio => "rebuffer_ratio",
            Self::ErrorRatio => "error_ratio",
            Self::SessionFailureRatio => "session_failure_ratio",
            Self::HitRatio => "hit_ratio",
            Self::BitrateKbitS => "bitrate_kbit_s",
            Self::RequestsPerS => "requests_per_s",
            Self::SwitchesPerMin => "switches_per_min",
            Self::Findings => "findings",
        }
    }

    /// Whether it is a distribution, of which an SLO names a quantile.
    #[must_use]
    pub fn has_quantile(self) -> bool {
        matches!(self, Self::LatencyMs | Self::StartupMs)
    }

    /// Whether an SLO may ask it of one class of requests.
    #[must_use]
    pub fn has_class(self) -> bool {
        matches!(
            self,
            Self::LatencyMs | Self::ErrorRatio | Self::RequestsPerS
        )
    }
}

/// One thing that is asked of the system: exactly one of `at_most` and `at_least`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Names it in reports and in `chaos.must_hold`.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// Of which requests: `manifest`, `init`, `segment`, `upload`, `api`, or one call such as `api:play`; absent: of all.
    #[serde(default)]
    pub class: Option<String>,
    /// Which part of their time; absent: to the last byte.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// Above 0, at most 1.
    #[serde(default)]
    pub quantile: Option<f64>,
    /// The largest value that is met.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The smallest value that is met.
    #[serde(default)]
    pub at_least: Option<f64>,
}

impl Slo {
    /// `segment latency_ms p99 at most 200`, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.class.clone());
        words.push(self.metric.name().to_owned());
        words.extend(self.phase.map(|phase| phase.name().to_owned()));
        words.extend(
            self.quantile
                .map(|quantile| format!("p{}", round(quantile * 100.0))),
        );
        words.extend(self.at_most.map(|bound| format!("at most {bound}")));
        words.extend(self.at_least.map(|bound| format!("at least {bound}")));
        words.join(" ")
    }

    /// Whether a measured value is good enough.
    #[must_use]
    pub fn is_met_by(&self, measured: f64) -> bool {
        self.at_most.is_none_or(|bound| measured <= bound)
            && self.at_least.is_none_or(|bound| measured >= bound)
    }
}

/// 99.9 and not 99.90000000000001.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
