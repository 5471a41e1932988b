//! An act between its announcement and its outcome.

use serde_json::{Value, json};

use crate::Audit;
use crate::entry::AuditRecord;
use crate::error::AuditError;

/// An act that was written down and may now be done. Say how it ended; dropped without that it stays visible as open.
#[derive(Debug)]
#[must_use = "an intent that is not resolved stays open in the audit log"]
pub struct Intent {
    audit: Audit,
    record: AuditRecord,
}

impl Intent {
    pub(crate) fn new(audit: Audit, record: AuditRecord) -> Self {
        Self { audit, record }
    }

    /// The entry that announced it.
    #[must_use]
    pub fn record(&self) -> &AuditRecord {
        &self.record
    }

    /// The act was done.
    ///
    /// # Errors
    /// [`AuditError::Store`]: the act is done and the intent may still be open; see [`Audit::resolve`].
    pub async fn commit(self, detail: Value) -> Result<AuditRecord, AuditError> {
        self.audit.resolve_record(&self.record, true, detail).await
    }

    /// The act was not done, because of `reason`.
    ///
    /// # Errors
    /// As [`Intent::commit`].
    pub async fn abort(self, reason: &str) -> Result<AuditRecord, AuditError> {
        let detail = json!({ "reason": reason });
        self.audit.resolve_record(&self.record, false, detail).await
    }
}
