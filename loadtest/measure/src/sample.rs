//! What users report of their requests and of their playing.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestClass {
    /// An HLS playlist or a DASH MPD.
    Manifest,
    /// An initialisation segment.
    Init,
    /// A media segment.
    Segment,
    /// A part of an upload.
    Upload,
    /// A call of the API, by a short name: `play`, `refresh`.
    Api(Cow<'static, str>),
}

impl RequestClass {
    /// A call of the API.
    #[must_use]
    pub const fn api(call: &'static str) -> Self {
        Self::Api(Cow::Borrowed(call))
    }

    /// Whether it is of the media path: manifests, initialisation and media segments.
    #[must_use]
    pub fn is_media(&self) -> bool {
        matches!(self, Self::Manifest | Self::Init | Self::Segment)
    }

    /// Whether an SLO for `class` (as in TOML) is for it; none is for all.
    #[must_use]
    pub fn is_of(&self, class: Option<&str>) -> bool {
        match (class, self) {
            (None, _) | (Some("api"), Self::Api(_)) => true,
            (Some(class), Self::Api(call)) => class.strip_prefix("api:") == Some(call),
            (Some(class), own) => own.word() == class,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Init => "init",
            Self::Segment => "segment",
            Self::Upload => "upload",
            Self::Api(_) => "api",
        }
    }
}

/// As in TOML: `segment`, `api:play`.
impl fmt::Display for RequestClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Api(call) => write!(f, ":{call}"),
            _ => Ok(()),
        }
    }
}

impl Serialize for RequestClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "manifest" => Self::Manifest,
            "init" => Self::Init,
            "segment" => Self::Segment,
            "upload" => Self::Upload,
            other => match other.strip_prefix("api:") {
                Some(call) => Self::Api(call.to_owned().into()),
                None => {
                    return Err(serde::de::Error::custom(format!(
                        "{other:?} is no class of requests"
                    )));
                }
            },
        })
    }
}

/// Where an answer's bytes came from, by its `Cache-Status` (RFC 9211).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheSource {
    /// The node's memory.
    Memory,
    /// The node's disk.
    Disk,
    /// Another node of the region.
    Shield,
    /// The origin.
    Origin,
    /// It does not say.
    Unknown,
}

impl CacheSource {
    /// All of them, in the order of the arrays of [`crate::Counts`].
    pub const ALL: [Self; 5] = [
        Self::Memory,
        Self::Disk,
        Self::Shield,
        Self::Origin,
        Self::Unknown,
    ];

    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Shield => "shield",
            Self::Origin => "origin",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// With a status that was not expected.
    Status,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// Not in time.
    Timeout,
    /// The connection broke before the answer's head.
    Reset,
    /// The body ended before its length.
    Truncated,
    /// The body has its length, and not its bytes.
    WrongBytes,
    /// Not HTTP, or not what was asked for.
    Protocol,
    /// The user left, or changed its mind. Not an error.
    Abandoned,
    /// The run was over before it ended. Not an error, but how long it had waited counts: it would have taken that at least.
    CutOff,
}

impl Outcome {
    /// Whether it counts as an error.
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Ok | Self::Abandoned | Self::CutOff)
    }

    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Status => "status",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::WrongBytes => "wrong-bytes",
            Self::Protocol => "protocol",
            Self::Abandoned => "abandoned",
            Self::CutOff => "cut-off",
        }
    }
}

/// One request. Moments are µs after the run's start; what never came is the moment it was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSample {
    /// What it is for.
    pub class: RequestClass,
    /// When it was meant to start: what latency is counted from, so that a slow system cannot slow its own measurement.
    pub intended_us: u64,
    /// When it started: a connection was asked for, or its head was written.
    pub started_us: u64,
    /// TCP set-up, µs, when the request opened a connection.
    pub connect_us: Option<u64>,
    /// TLS handshake, µs, likewise.
    pub tls_us: Option<u64>,
    /// The moment of the answer's first byte; none: it never came.
    pub first_byte_us: Option<u64>,
    /// The moment of its last byte, or of the failure.
    pub last_byte_us: u64,
    /// Bytes of the body that came (uploads: that went).
    pub bytes: u64,
    /// 0: no answer.
    pub status: u16,
    /// Where the bytes came from.
    pub source: CacheSource,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a player has done since it last said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaybackSample {
    /// Now, µs after the run's start.
    pub at_us: u64,
    /// Media played, µs.
    pub played_us: u64,
    /// Time stalled after the first frame, µs.
    pub stalled_us: u64,
    /// Stalls that began.
    pub stalls: u32,
    /// Changes of quality.
    pub switches: u32,
    /// Bits of the media played: declared bitrate × time.
    pub media_bits: u64,
}
