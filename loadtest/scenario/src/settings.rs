//! How users behave, and what the tool allows itself. Ranges are checked in `check`, and said in the annotated document.

use serde::{Deserialize, Serialize};

/// HTTP version of the users' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 for everybody.
    H1,
    /// HTTP/2 for everybody.
    H2,
    /// Each user has one of both, evenly.
    #[default]
    Mixed,
}

/// The version that one user speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpVersion {
    /// RFC 9112.
    H1,
    /// RFC 9113.
    H2,
}

/// Who users sign in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// How many there are; users share them in turn.
    pub count: u32,
    /// Their e-mail addresses; `{n}` is the account's number, from 0.
    pub email: String,
    /// Their password.
    pub password: String,
    /// Whether the tool registers those that do not exist.
    pub register: bool,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            count: 100,
            email: "load-{n}@load.example".to_owned(),
            password: "a long enough passphrase".to_owned(),
            register: true,
        }
    }
}

/// How a player chooses among renditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Abr {
    /// By throughput while the buffer is short, by the buffer's level when it is long, as dash.js and hls.js do.
    #[default]
    Hybrid,
    /// What the measured throughput bears.
    Throughput,
    /// By the buffer's level only (BOLA's idea).
    Buffer,
    /// Always the lowest.
    Lowest,
    /// Always the highest that the device shows.
    Highest,
}

/// Which manifest players ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestChoice {
    /// HLS (RFC 8216).
    #[default]
    Hls,
    /// DASH (ISO/IEC 23009-1).
    Dash,
    /// Each player has one of both, evenly.
    Mixed,
}

/// What segments are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByteCheck {
    /// The bytes that the origin itself has (`targets.origin`).
    Origin,
    /// What the other players got.
    #[default]
    Agreement,
    /// Lengths only.
    Length,
}

/// How players play.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlayerSettings {
    /// Media that is fetched ahead, s.
    pub buffer_s: f64,
    /// Media that must be there before it plays, s; also after a stall.
    pub start_buffer_s: f64,
    /// How it chooses among renditions.
    pub abr: Abr,
    /// What of the measured throughput a rendition may take.
    pub throughput_share: f64,
    /// Which manifests.
    pub manifest: ManifestChoice,
    /// Shortest time that is watched, s.
    pub watch_min_s: u64,
    /// Longest time that is watched, s; evenly between both.
    pub watch_max_s: u64,
    /// Share of players that seek once.
    pub seek_share: f64,
    /// How often a failed fetch is tried again at most; nothing more often than hls.js does.
    pub retries_max: u32,
    /// The wait before the first of these, ms; it doubles.
    pub retry_base_ms: u64,
    /// The longest such wait, ms.
    pub retry_max_ms: u64,
    /// Redirects that are followed for one fetch.
    pub redirects_max: u32,
    /// Whether players send CMCD (CTA-5004).
    pub cmcd: bool,
    /// What segments are held against.
    pub check: ByteCheck,
}

impl Default for PlayerSettings {
    fn default() -> Self {
        Self {
            buffer_s: 10.0,
            start_buffer_s: 2.0,
            abr: Abr::Hybrid,
            throughput_share: 0.8,
            manifest: ManifestChoice::Hls,
            watch_min_s: 30,
            watch_max_s: 300,
            seek_share: 0.0,
            retries_max: 6,
            retry_base_ms: 1_000,
            retry_max_ms: 8_000,
            redirects_max: 5,
            cmcd: true,
            check: ByteCheck::Agreement,
        }
    }
}

/// How creators upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreatorSettings {
    /// Smallest upload, bytes.
    pub upload_min_bytes: u64,
    /// Largest upload, bytes; evenly between both.
    pub upload_max_bytes: u64,
    /// Parts sent at once.
    pub parallel_parts: u32,
    /// Share of uploads that break off once in the middle of a part and resume.
    pub break_share: f64,
    /// How long such a creator is gone, ms.
    pub break_ms: u64,
}

impl Default for CreatorSettings {
    fn default() -> Self {
        Self {
            upload_min_bytes: 4 << 20,
            upload_max_bytes: 64 << 20,
            parallel_parts: 2,
            break_share: 0.1,
            break_ms: 2_000,
        }
    }
}

/// How often API users do what, by weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiActions {
    /// `POST /api/v1/auth/login`.
    pub sign_in: f64,
    /// `POST /api/v1/auth/refresh`.
    pub refresh: f64,
    /// `GET /api/v1/users/me`.
    pub me: f64,
    /// `GET /api/v1/content/{id}`.
    pub browse: f64,
    /// `GET /api/v1/play/{id}`.
    pub play: f64,
}

impl Default for ApiActions {
    fn default() -> Self {
        Self {
            sign_in: 0.0,
            refresh: 1.0,
            me: 2.0,
            browse: 6.0,
            play: 2.0,
        }
    }
}

/// What API users do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiUserSettings {
    /// Calls in one session, after the sign-in.
    pub calls: u32,
    /// Shortest pause between calls, ms.
    pub think_min_ms: u64,
    /// Longest, ms; evenly between both.
    pub think_max_ms: u64,
    /// Which calls.
    pub actions: ApiActions,
}

impl Default for ApiUserSettings {
    fn default() -> Self {
        Self {
            calls: 10,
            think_min_ms: 500,
            think_max_ms: 3_000,
            actions: ApiActions::default(),
        }
    }
}

/// What is a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FindingSettings {
    /// Share of requests of a class that may fail before it is one.
    pub error_ratio_max: f64,
    /// Rise of a class's p99 over its baseline that is one, ms.
    pub latency_shift_ms: u64,
    /// Requests of a class below which neither is judged.
    pub requests_min: u64,
}

impl Default for FindingSettings {
    fn default() -> Self {
        Self {
            error_ratio_max: 0.001,
            latency_shift_ms: 100,
            requests_min: 200,
        }
    }
}

/// Bounds of the tool itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolLimits {
    /// Users at once in one worker; an arrival above it is missed, and the run is then no pass.
    pub users_max: u32,
    /// p99 of how late users start, ms; above it the verdict is that the tool was overloaded.
    pub lag_p99_max_ms: u64,
    /// A connection's set-up, TLS included, ms.
    pub connect_timeout_ms: u64,
    /// From a request to the answer's head, and between two reads of its body, ms.
    pub read_timeout_ms: u64,
    /// How long users may go on after the last arrival, ms; then they leave.
    pub drain_ms: u64,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            users_max: 20_000,
            lag_p99_max_ms: 50,
            connect_timeout_ms: 5_000,
            read_timeout_ms: 10_000,
            drain_ms: 10_000,
        }
    }
}
