//! The chain of hashes, and how anybody can check it.
//!
//! The hash of an entry is the SHA-256, in lower-case hexadecimal, of these texts as netstrings (`LENGTH:BYTES,`, the
//! length in bytes as a decimal number) one after the other: `mcsp-audit-1`, sequence, `recorded_ms`, id, phase, actor,
//! action, object, `detail_json`, trace id (empty when there is none), the hash of the entry before (64 zeros for the
//! first). Sequence numbers begin at 1 and have no gaps. In an export each line is one entry as a JSON object.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use mcsp_runtime::hex_lower;
use serde::{Deserialize, Serialize};

use crate::entry::AuditRecord;
use crate::error::AuditError;

/// What the first entry has for the hash of the one before.
pub(crate) const GENESIS_HASH: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";

/// A place that the chain went through, kept by an auditor outside the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The entry's sequence number; 0 for the place before the first.
    pub sequence: i64,
    /// The entry's hash.
    pub hash: String,
}

/// The first place at which the chain is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainFault {
    /// The entry that was changed, removed or put in.
    pub sequence: i64,
    /// What is wrong there.
    pub reason: String,
}

/// What checking a chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// How many entries are good, from the first on.
    pub entries: u64,
    /// The last good entry; an auditor keeps it to have it checked the next time.
    pub head: Anchor,
    /// Intents without an outcome. Not counted in an export, which may be a part.
    pub open_intents: u64,
    /// Nothing when the chain is whole.
    pub fault: Option<ChainFault>,
}

impl VerifyReport {
    /// Is the chain as it was written?
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.fault.is_none()
    }
}

/// Checks an export, which may be a part of the log: it must continue `from` (`None`: begin with the first entry).
#[must_use]
pub fn verify_export<'a>(
    from: Option<&Anchor>,
    lines: impl IntoIterator<Item = &'a str>,
) -> VerifyReport {
    let mut check = ChainCheck::new(&[]);
    if let Some(anchor) = from {
        check.head = anchor.clone();
    }
    for line in lines {
        match serde_json::from_str::<AuditRecord>(line) {
            Ok(record) => check.next(&record),
            Err(error) => check.unreadable(check.head.sequence + 1, &error.to_string()),
        }
    }
    check.finish()
}

/// Checks a chain entry by entry, up to the first fault.
#[derive(Debug)]
pub(crate) struct ChainCheck {
    entries: u64,
    head: Anchor,
    fault: Option<ChainFault>,
    /// Those that the chain has not reached yet.
    anchors: BTreeMap<i64, Vec<String>>,
}

impl ChainCheck {
    pub(crate) fn new(anchors: &[Anchor]) -> Self {
        let mut ahead: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for anchor in anchors {
            ahead
                .entry(anchor.sequence)
                .or_default()
                .push(anchor.hash.clone());
        }
        let mut check = Self {
            entries: 0,
            head: Anchor {
                sequence: 0,
                hash: GENESIS_HASH.to_owned(),
            },
            fault: None,
            anchors: ahead,
        };
        check.pass_anchors(0, GENESIS_HASH);
        check
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.fault.is_some()
    }

    pub(crate) fn next(&mut self, record: &AuditRecord) {
        if self.is_broken() {
            return;
        }
        let expected = self.head.sequence.saturating_add(1);
        if record.sequence > expected {
            return self.broken(
                expected,
                format!("is missing; entry {} follows", record.sequence),
            );
        }
        if record.sequence < expected {
            return self.broken(record.sequence, "is there twice or out of place".to_owned());
        }
        if record.previous_hash != self.head.hash {
            return self.broken(expected, "does not continue the entry before".to_owned());
        }
        if record.hash != hash(record) {
            return self.broken(expected, "has a hash that is not its own".to_owned());
        }
        self.pass_anchors(expected, &record.hash);
        if self.is_broken() {
            return;
        }
        self.entries += 1;
        self.head = Anchor {
            sequence: expected,
            hash: record.hash.clone(),
        };
    }

    pub(crate) fn unreadable(&mut self, sequence: i64, reason: &str) {
        if !self.is_broken() {
            self.broken(sequence, format!("cannot be read: {reason}"));
        }
    }

    pub(crate) fn finish(mut self) -> VerifyReport {
        if let (None, Some(anchored)) = (&self.fault, self.anchors.keys().next().copied()) {
            let missing = self.head.sequence.saturating_add(1).min(anchored);
            self.broken(
                missing,
                format!("is missing; the log once had an entry {anchored}"),
            );
        }
        VerifyReport {
            entries: self.entries,
            head: self.head,
            open_intents: 0,
            fault: self.fault,
        }
    }

    fn pass_anchors(&mut self, sequence: i64, hash: &str) {
        let anchored = self.anchors.remove(&sequence).unwrap_or_default();
        if anchored.iter().any(|known| known != hash) {
            self.broken(
                sequence,
                "is not the entry that an anchor was kept of".to_owned(),
            );
        }
    }

    fn broken(&mut self, sequence: i64, reason: String) {
        self.fault = Some(ChainFault { sequence, reason });
    }
}

/// The hash that the entry must have.
pub(crate) fn hash(record: &AuditRecord) -> String {
    let sequence = record.sequence.to_string();
    let recorded_ms = record.recorded_ms.to_string();
    let mut context = digest::Context::new(&digest::SHA256);
    for text in [
        "mcsp-audit-1",
        &sequence,
        &recorded_ms,
        &record.id,
        record.phase.as_str(),
        &record.actor,
        &record.action,
        &record.object,
        &record.detail_json,
        record.trace_id.as_deref().unwrap_or_default(),
        &record.previous_hash,
    ] {
        context.update(text.len().to_string().as_bytes());
        context.update(b":");
        context.update(text.as_bytes());
        context.update(b",");
    }
    hex_lower(context.finish().as_ref())
}

pub(crate) fn export_line(record: &AuditRecord) -> Result<String, AuditError> {
    serde_json::to_string(record).map_err(|error| AuditError::Damaged {
        sequence: record.sequence,
        reason: error.to_string(),
    })
}
