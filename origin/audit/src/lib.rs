//! The hash-chained audit log: what was decided, who did what to what, in an order that cannot be altered unseen.
//!
//! A privileged act is written before it is done ([`Audit::intend`]) and after ([`Intent::commit`], [`Intent::abort`]);
//! no audit write, no action. A decision without an act is one entry ([`Audit::record`], or [`Audit::record_in`] to be
//! written together with the state that it decides).
//!
//! Each entry holds the SHA-256 of the one before ([`chain`] has the exact form), so a changed, removed or inserted
//! entry breaks the chain at its place. Who may write the database's file could compute a whole new chain, or cut its
//! end off: against that an auditor keeps an [`Anchor`] now and then and has it checked by [`Audit::verify_against`].
//! The table itself refuses changes: by triggers in `SQLite`; in `PostgreSQL` the service's login must have no more than
//! `GRANT SELECT, INSERT ON audit_entries`. Entries are never deleted.

pub mod chain;
mod entry;
mod error;
mod intent;
mod store;

use mcsp_db::{Db, Tx};
use mcsp_runtime::{SharedClock, SharedEntropy, hex_lower};

pub use chain::{Anchor, ChainFault, VerifyReport, verify_export};
pub use entry::{AuditEntry, AuditRecord, DETAIL_BYTES_MAX, FIELD_BYTES_MAX, Phase};
pub use error::AuditError;
pub use intent::Intent;

use chain::ChainCheck;
use entry::Draft;

/// The most entries that one call lists.
pub const LIST_ENTRIES_MAX: u32 = 1000;

/// How often an append is tried. Trying again is safe: an entry is found again by its id.
const APPEND_TRIES: u32 = 3;

/// The audit log in a service's database. Clones share it.
#[derive(Debug, Clone)]
pub struct Audit {
    db: Db,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Audit {
    /// Opens the log in `db`, creating its table if it is new.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn open(
        db: Db,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, AuditError> {
        db.migrate_as("audit", &store::migrations(db.engine()))
            .await?;
        Ok(Self { db, clock, entropy })
    }

    /// Writes down that an act is about to be done; do it only after this returned. Resolve the intent when it is done
    /// or given up; one that is dropped stays in [`Audit::open_intents`].
    ///
    /// # Errors
    /// [`AuditError::Invalid`] when a field is too long, [`AuditError::Store`]; the act must not be done then.
    pub async fn intend(&self, entry: AuditEntry) -> Result<Intent, AuditError> {
        let draft = Draft::new(self.new_id(), Phase::Intended, &entry)?;
        let record = self.append(&draft).await?;
        Ok(Intent::new(self.clone(), record))
    }

    /// Writes down a decision that has no act.
    ///
    /// # Errors
    /// As [`Audit::intend`]; the decision must not take effect then.
    pub async fn record(&self, entry: AuditEntry) -> Result<AuditRecord, AuditError> {
        let draft = Draft::new(self.new_id(), Phase::Recorded, &entry)?;
        self.append(&draft).await
    }

    /// [`Audit::record`] within a transaction on the log's own database: both are there, or neither.
    ///
    /// # Errors
    /// As [`Audit::record`]; drop the transaction then.
    pub async fn record_in(
        &self,
        tx: &mut Tx,
        entry: AuditEntry,
    ) -> Result<AuditRecord, AuditError> {
        let draft = Draft::new(self.new_id(), Phase::Recorded, &entry)?;
        store::append(tx, &draft, self.clock.now_ms()).await
    }

    /// Resolves the intent `id` for a process that died between its act and [`Intent::commit`]. `done` says whether the
    /// act was done. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`AuditError::UnknownIntent`], [`AuditError::AlreadyResolved`] when it was resolved the other way, and as
    /// [`Audit::intend`].
    pub async fn resolve(
        &self,
        id: &str,
        done: bool,
        detail: serde_json::Value,
    ) -> Result<AuditRecord, AuditError> {
        let unknown = || AuditError::UnknownIntent { id: id.to_owned() };
        let mut connection = self.db.acquire().await?;
        let intended = store::intended(&mut connection, id)
            .await?
            .ok_or_else(unknown)?;
        drop(connection);
        self.resolve_record(&intended, done, detail).await
    }

    pub(crate) async fn resolve_record(
        &self,
        intended: &AuditRecord,
        done: bool,
        detail: serde_json::Value,
    ) -> Result<AuditRecord, AuditError> {
        let phase = if done {
            Phase::Committed
        } else {
            Phase::Aborted
        };
        let entry = AuditEntry {
            actor: intended.actor.clone(),
            action: intended.action.clone(),
            object: intended.object.clone(),
            detail,
            trace_id: intended.trace_id.clone(),
        };
        let draft = Draft::new(intended.id.clone(), phase, &entry)?;
        self.append(&draft).await
    }

    /// Intents written before `before_ms` (Unix milliseconds) that nobody resolved, oldest first: acts of which it is
    /// not known whether they were done. At most `entries_max`, capped at [`LIST_ENTRIES_MAX`].
    ///
    /// # Errors
    /// [`AuditError::Store`], [`AuditError::Damaged`].
    pub async fn open_intents(
        &self,
        before_ms: i64,
        entries_max: u32,
    ) -> Result<Vec<AuditRecord>, AuditError> {
        let mut connection = self.db.acquire().await?;
        store::open_intents(
            &mut connection,
            before_ms,
            entries_max.min(LIST_ENTRIES_MAX),
        )
        .await
    }

    /// Entries after the sequence number `after` (0: from the first), in order. At most `entries_max`, capped at
    /// [`LIST_ENTRIES_MAX`].
    ///
    /// # Errors
    /// [`AuditError::Store`], [`AuditError::Damaged`].
    pub async fn list(&self, after: i64, entries_max: u32) -> Result<Vec<AuditRecord>, AuditError> {
        let mut connection = self.db.acquire().await?;
        let rows = store::page(&mut connection, after, entries_max.min(LIST_ENTRIES_MAX)).await?;
        rows.into_iter().map(store::Row::into_record).collect()
    }

    /// The entries about one object, otherwise as [`Audit::list`].
    ///
    /// # Errors
    /// As [`Audit::list`].
    pub async fn list_object(
        &self,
        object: &str,
        after: i64,
        entries_max: u32,
    ) -> Result<Vec<AuditRecord>, AuditError> {
        let mut connection = self.db.acquire().await?;
        store::page_of_object(
            &mut connection,
            object,
            after,
            entries_max.min(LIST_ENTRIES_MAX),
        )
        .await
    }

    /// [`Audit::list`] as JSON Lines (one object a line), which an auditor can check by [`verify_export`] or with a few
    /// lines of their own.
    ///
    /// # Errors
    /// As [`Audit::list`].
    pub async fn export(&self, after: i64, entries_max: u32) -> Result<String, AuditError> {
        let mut lines = String::new();
        for record in self.list(after, entries_max).await? {
            lines.push_str(&chain::export_line(&record)?);
            lines.push('\n');
        }
        Ok(lines)
    }

    /// Checks the whole chain as it is at the time of the call.
    ///
    /// # Errors
    /// [`AuditError::Store`]. A broken chain is not an error of the call: see [`VerifyReport::fault`].
    pub async fn verify(&self) -> Result<VerifyReport, AuditError> {
        self.verify_against(&[]).await
    }

    /// [`Audit::verify`], and that the chain goes through each of the anchors, which were kept elsewhere.
    ///
    /// # Errors
    /// As [`Audit::verify`].
    pub async fn verify_against(&self, anchors: &[Anchor]) -> Result<VerifyReport, AuditError> {
        const PAGE_ENTRIES: u32 = 500;
        let mut check = ChainCheck::new(anchors);
        // Below every sequence number, so that a row smuggled in before the first is seen.
        let mut after = i64::MIN;
        // Entries appended meanwhile are left for the next time, so that this ends.
        let mut connection = self.db.acquire().await?;
        let last = store::last_sequence(&mut connection).await?;
        while after < last && !check.is_broken() {
            let rows = store::page(&mut connection, after, PAGE_ENTRIES).await?;
            let Some(newest) = rows.last() else { break };
            after = newest.sequence;
            for row in rows.into_iter().filter(|row| row.sequence <= last) {
                let sequence = row.sequence;
                match row.into_record() {
                    Ok(record) => check.next(&record),
                    Err(error) => check.unreadable(sequence, &error.to_string()),
                }
            }
        }
        let mut report = check.finish();
        report.open_intents = store::count_open_intents(&mut connection).await?;
        Ok(report)
    }

    async fn append(&self, draft: &Draft) -> Result<AuditRecord, AuditError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.append_once(draft).await {
                // Where writers run beside each other, another may have taken the sequence number.
                Err(AuditError::Store(error))
                    if (error.is_retryable() || error.is_unique_violation())
                        && tries < APPEND_TRIES => {}
                result => return result,
            }
        }
    }

    async fn append_once(&self, draft: &Draft) -> Result<AuditRecord, AuditError> {
        let mut tx = self.db.begin().await?;
        let record = store::append(&mut tx, draft, self.clock.now_ms()).await?;
        tx.commit().await?;
        Ok(record)
    }

    fn new_id(&self) -> String {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        hex_lower(&id)
    }
}
