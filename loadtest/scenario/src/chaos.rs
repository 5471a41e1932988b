//! What is done to nodes while they are tested.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

/// A process that is watched, or harmed by chaos steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Names it in reports and in `chaos.target`.
    pub name: String,
    /// Its Prometheus metrics.
    #[serde(default)]
    pub metrics_url: Option<Url>,
    /// A file with its process id, for CPU and memory of a local process, and for stop, kill and freeze.
    #[serde(default)]
    pub pid_file: Option<PathBuf>,
    /// What starts it again after stop or kill: program and arguments.
    #[serde(default)]
    pub start: Vec<String>,
    /// Where it listens: where the fault proxy sends what it takes.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Where the fault proxy listens for it; users are sent there by `targets` or `targets.resolve`.
    #[serde(default)]
    pub proxy: Option<SocketAddr>,
    /// A folder on the disk that `fill-disk` fills.
    #[serde(default)]
    pub disk: Option<PathBuf>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// SIGTERM; started again afterwards when the node says how.
    Stop,
    /// SIGKILL; likewise.
    Kill,
    /// SIGSTOP, and SIGCONT afterwards.
    Freeze,
    /// Every packet later, by `delay_ms` and up to `jitter_ms` more.
    Delay,
    /// `loss_ratio` of connections' chunks are held back as TCP does for lost ones; of UDP datagrams, dropped.
    Loss,
    /// At most `kbit_s`.
    Throttle,
    /// Open connections are reset, and new ones as soon as they are there.
    Reset,
    /// Nothing passes, and nobody is told.
    Blackhole,
    /// `disk` is filled until `free_bytes` are left.
    FillDisk,
    /// The node's clock is off by `skew_s`.
    ClockSkew,
}

impl Action {
    /// Whether it goes through the fault proxy.
    #[must_use]
    pub fn is_network(self) -> bool {
        matches!(
            self,
            Self::Delay | Self::Loss | Self::Throttle | Self::Reset | Self::Blackhole
        )
    }

    /// As in TOML and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Throttle => "throttle",
            Self::Reset => "reset",
            Self::Blackhole => "blackhole",
            Self::FillDisk => "fill-disk",
            Self::ClockSkew => "clock-skew",
        }
    }
}

/// One thing that is done, and what must still hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, s after the start.
    pub at_s: u64,
    /// What.
    pub action: Action,
    /// To which node.
    pub target: String,
    /// For how long, s.
    #[serde(default = "default_for_s")]
    pub for_s: u64,
    /// How long afterwards `must_hold` is still asked, s.
    #[serde(default)]
    pub recovery_s: u64,
    /// Names of SLOs that must be met from `at_s` to the end of the recovery.
    #[serde(default)]
    pub must_hold: Vec<String>,
    /// Of `delay`.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// Of `delay`.
    #[serde(default)]
    pub jitter_ms: Option<u64>,
    /// Of `loss`.
    #[serde(default)]
    pub loss_ratio: Option<f64>,
    /// Of `throttle`.
    #[serde(default)]
    pub kbit_s: Option<u64>,
    /// Of `fill-disk`.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// Of `clock-skew`; below 0 is behind.
    #[serde(default)]
    pub skew_s: Option<i64>,
}

fn default_for_s() -> u64 {
    10
}

impl Step {
    /// The span in which `must_hold` is asked, µs after the start.
    #[must_use]
    pub fn judged_us(&self) -> std::ops::Range<u64> {
        let end_s = self
            .at_s
            .saturating_add(self.for_s)
            .saturating_add(self.recovery_s);
        self.at_s.saturating_mul(1_000_000)..end_s.saturating_mul(1_000_000)
    }
}
