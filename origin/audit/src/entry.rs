//! Entries as they are given and as they are kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::AuditError;

/// The longest actor, action, object or trace id, bytes.
pub const FIELD_BYTES_MAX: usize = 512;
/// The largest detail as JSON text, bytes.
pub const DETAIL_BYTES_MAX: usize = 64 * 1024;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Who: a user's id, a workload's SPIFFE id.
    pub actor: String,
    /// What is done or decided, such as `residency.decide`.
    pub action: String,
    /// To what: a content id, a user's id, a key's id.
    pub object: String,
    /// What else an auditor needs; no personal data beyond ids.
    pub detail: serde_json::Value,
    /// The trace it belongs to, as in W3C `traceparent`.
    pub trace_id: Option<String>,
}

/// What an entry says about its act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// About to be done.
    Intended,
    /// Done.
    Committed,
    /// Given up, or failed without effect.
    Aborted,
    /// A decision without an act.
    Recorded,
}

impl Phase {
    /// As it is written in the table and in the chain.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Recorded => "recorded",
        }
    }

    pub(crate) fn is_resolution(self) -> bool {
        matches!(self, Self::Committed | Self::Aborted)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [
            Self::Intended,
            Self::Committed,
            Self::Aborted,
            Self::Recorded,
        ]
        .into_iter()
        .find(|phase| phase.as_str() == text)
        .ok_or_else(|| format!("{text:?} is not a phase"))
    }
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub sequence: i64,
    /// When it was written, Unix milliseconds.
    pub recorded_ms: i64,
    /// Shared by an intent and its resolution; 32 hexadecimal digits.
    pub id: String,
    /// What it says about its act.
    pub phase: Phase,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// JSON text; a string, because its exact bytes are in the chain.
    pub detail_json: String,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// The hash of the entry before; 64 zeros for the first.
    pub previous_hash: String,
    /// SHA-256 in hexadecimal, see [`crate::chain`].
    pub hash: String,
}

/// An entry that was checked and has no place yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) object: String,
    pub(crate) detail_json: String,
    pub(crate) trace_id: Option<String>,
}

impl Draft {
    pub(crate) fn new(id: String, phase: Phase, entry: &AuditEntry) -> Result<Self, AuditError> {
        let detail_json = entry.detail.to_string();
        let trace_id = entry.trace_id.as_deref().unwrap_or("0");
        for (field, value, bytes_max) in [
            ("actor", entry.actor.as_str(), FIELD_BYTES_MAX),
            ("action", &entry.action, FIELD_BYTES_MAX),
            ("object", &entry.object, FIELD_BYTES_MAX),
            ("trace_id", trace_id, FIELD_BYTES_MAX),
            ("detail", &detail_json, DETAIL_BYTES_MAX),
        ] {
            let bytes = value.len();
            // PostgreSQL's TEXT cannot hold NUL.
            if value.is_empty() || bytes > bytes_max || value.contains('\0') {
                return Err(AuditError::Invalid {
                    field,
                    reason: format!("has {bytes} bytes, must have 1 to {bytes_max} and no NUL"),
                });
            }
        }
        Ok(Self {
            id,
            phase,
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            detail_json,
            trace_id: entry.trace_id.clone(),
        })
    }
}
