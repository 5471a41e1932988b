//! Bounds.

use std::time::Duration;

/// Bounds on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once, at least 1. Also how many handlers may be under way, those of streams that are gone included.
    pub streams_max: u32,
    /// How long a connection may be without a request.
    pub idle_timeout: Duration,
    /// How long the client's connection preface (RFC 9113 section 3.4) may take.
    pub preface_timeout: Duration,
    /// How long a client may take nothing of an answer that waits for it; and over which time `drain_bytes_s_min` is
    /// reckoned.
    pub write_timeout: Duration,
    /// A request's fields, bytes as RFC 9113 section 6.5.2 counts them. It bounds `CONTINUATION` frames too.
    pub fields_bytes_max: u32,
    /// Streams that were taken back before they were looked at.
    pub pending_resets_max: usize,
    /// Streams that had to be ended because their frames were wrong.
    pub error_resets_max: usize,
    /// What a client takes at least, bytes a second: of an answer whose handler waits for room, and of all answers together
    /// where they wait for nothing but for it.
    pub drain_bytes_s_min: u32,
}
