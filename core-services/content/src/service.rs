//! The content service's rules.

use mcsp_api::body::parse_json;
use mcsp_api::events::{ContentDeleted, ContentUpdated, Event, ModerationRequested, Published};
use mcsp_api::metadata::MetadataPatch;
use mcsp_api::rest::{Content, ContentStatus, UploadMetadata};
use mcsp_api::{ContentId, UserId, ViewerIdentity};
use mcsp_audit::{Audit, AuditEntry};
use mcsp_db::{Db, Tx};
use mcsp_events::{envelope, outbox::Outbox};
use mcsp_runtime::{SharedClock, SharedEntropy};
use serde_json::json;

use crate::access::{DeletedBy, Sight, deletion, sight};
use crate::error::ContentError;
use crate::lifecycle::{Effect, Facts, Trigger};
use crate::record::ContentRecord;
use crate::{ContentConfig, store};

/// The name of the service as events and logs write it.
pub const SERVICE: &str = "content";

/// What the service is made of.
#[derive(Debug, Clone)]
pub struct ContentParts {
    /// The service's own database, with its outbox.
    pub db: Db,
    /// Where an administrator's deletions are written down first.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for event ids.
    pub entropy: SharedEntropy,
    /// Its configuration.
    pub config: ContentConfig,
}

/// The content service. Clones are the same service.
#[derive(Debug, Clone)]
pub struct ContentService {
    pub(crate) parts: ContentParts,
}

impl ContentService {
    /// Brings the schema up to date and takes up service.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(parts: ContentParts) -> Result<Self, ContentError> {
        parts.db.migrate(store::MIGRATIONS).await?;
        Outbox::migrate(&parts.db).await?;
        Ok(Self { parts })
    }

    /// The item as `viewer` may see it.
    ///
    /// # Errors
    /// [`ContentError::NotFound`], also for what the viewer may not know of; [`ContentError::Gone`] for its owner.
    pub async fn get(
        &self,
        id: &ContentId,
        viewer: Option<&ViewerIdentity>,
    ) -> Result<Content, ContentError> {
        let mut conn = self.parts.db.acquire().await?;
        let record = store::load(conn.conn(), id)
            .await?
            .ok_or(ContentError::NotFound)?;
        match sight_of(&record, viewer) {
            Sight::Owner => Ok(record.to_owner(store::stages(conn.conn(), id).await?)),
            Sight::Public => Ok(record.to_public()),
            Sight::Gone => Err(ContentError::Gone),
            Sight::Hidden => Err(ContentError::NotFound),
        }
    }

    /// The record, for services that decide by it.
    ///
    /// # Errors
    /// [`ContentError::NotFound`].
    pub async fn record(&self, id: &ContentId) -> Result<ContentRecord, ContentError> {
        let mut conn = self.parts.db.acquire().await?;
        store::load(conn.conn(), id)
            .await?
            .ok_or(ContentError::NotFound)
    }

    /// Changes what the owner says of the item.
    ///
    /// # Errors
    /// As [`Self::get`]; [`ContentError::Forbidden`] for one who sees it without owning it; [`ContentError::Invalid`].
    pub async fn patch(
        &self,
        id: &ContentId,
        viewer: &ViewerIdentity,
        patch: &MetadataPatch,
    ) -> Result<Content, ContentError> {
        let mut tx = self.parts.db.begin().await?;
        let mut record = store::load(tx.conn(), id)
            .await?
            .ok_or(ContentError::NotFound)?;
        owned(&record, viewer)?;
        self.patch_in(&mut tx, &mut record, patch).await?;
        let stages = store::stages(tx.conn(), id).await?;
        tx.commit().await?;
        Ok(record.to_owner(stages))
    }

    /// Changes the metadata of an item that is not published yet, for its owner.
    ///
    /// # Errors
    /// [`ContentError::NotFound`] when there is none of this owner, [`ContentError::Conflict`] when it is published or
    /// gone, [`ContentError::Invalid`].
    pub async fn patch_before_publication(
        &self,
        id: &ContentId,
        owner: &UserId,
        patch_json: &str,
    ) -> Result<UploadMetadata, ContentError> {
        let patch: MetadataPatch = parse_json(patch_json.as_bytes()).map_err(|problem| {
            mcsp_api::metadata::FieldError::new(
                problem.pointer.unwrap_or_default(),
                problem.detail.unwrap_or_default(),
            )
        })?;
        let mut tx = self.parts.db.begin().await?;
        let mut record = store::load(tx.conn(), id)
            .await?
            .ok_or(ContentError::NotFound)?;
        if record.owner_id != *owner {
            return Err(ContentError::NotFound);
        }
        match record.status() {
            ContentStatus::Published => {
                return Err(ContentError::Conflict(
                    "the item is published; change it at /content/{id}".into(),
                ));
            }
            ContentStatus::Deleted | ContentStatus::Removed => {
                return Err(ContentError::Conflict("the item is gone".into()));
            }
            _ => {}
        }
        self.patch_in(&mut tx, &mut record, &patch).await?;
        tx.commit().await?;
        Ok(record.metadata)
    }

    /// Deletes the item: its owner at will, a platform administrator with an audit record before and after. Deleting
    /// it again succeeds.
    ///
    /// # Errors
    /// As [`Self::patch`]; [`ContentError::Audit`] when the act could not be written down, and then it is not done.
    pub async fn delete(
        &self,
        id: &ContentId,
        viewer: &ViewerIdentity,
    ) -> Result<(), ContentError> {
        let record = self.record(id).await?;
        match deletion(&record.owner_id, viewer) {
            Some(_) if record.status() == ContentStatus::Deleted => Ok(()),
            Some(DeletedBy::Owner) => self.delete_record(id).await,
            Some(DeletedBy::Administrator) => self.delete_audited(&record, viewer).await,
            None if sight_of(&record, Some(viewer)) == Sight::Hidden => Err(ContentError::NotFound),
            None => Err(ContentError::Forbidden),
        }
    }

    async fn delete_audited(
        &self,
        record: &ContentRecord,
        viewer: &ViewerIdentity,
    ) -> Result<(), ContentError> {
        let entry = AuditEntry {
            actor: viewer.user_id.to_string(),
            action: "content.delete".to_owned(),
            object: record.content_id.to_string(),
            detail: json!({"role": viewer.role.as_str(), "session_id": viewer.session_id, "status": record.status()}),
            trace_id: mcsp_telemetry::current_trace().map(|trace| trace.trace_id_hex()),
        };
        let intent = self
            .parts
            .audit
            .intend(entry)
            .await
            .map_err(ContentError::Audit)?;
        match self.delete_record(&record.content_id).await {
            Ok(()) => intent
                .commit(json!({}))
                .await
                .map(|_| ())
                .map_err(ContentError::Audit),
            Err(error) => {
                // An intent that cannot be closed stays open in the log, which says the truth: the outcome is not known.
                if let Err(audit_error) = intent.abort(&error.to_string()).await {
                    tracing::warn!(%audit_error, "the audit log keeps an open intent");
                }
                Err(error)
            }
        }
    }

    async fn delete_record(&self, id: &ContentId) -> Result<(), ContentError> {
        let mut tx = self.parts.db.begin().await?;
        let mut record = store::load(tx.conn(), id)
            .await?
            .ok_or(ContentError::NotFound)?;
        let effects = self.advance(&mut record, Trigger::Deleted);
        record.erase();
        store::clear_stages(tx.conn(), id).await?;
        store::save(tx.conn(), &record).await?;
        self.tell(&mut tx, &record, &effects).await?;
        Ok(tx.commit().await?)
    }

    /// Creates the record for an upload session. The same draft again changes nothing.
    ///
    /// # Errors
    /// [`ContentError::Invalid`]; [`ContentError::Conflict`] when the id belongs to another owner or residency.
    pub async fn create_draft(&self, mut record: ContentRecord) -> Result<(), ContentError> {
        record
            .metadata
            .validate()
            .map_err(|error| error.under("/metadata"))?;
        record.facts = Facts::default();
        record.created_ms = self.parts.clock.now_ms();
        let mut tx = self.parts.db.begin().await?;
        if !store::insert(tx.conn(), &record).await? {
            let known = store::load(tx.conn(), &record.content_id)
                .await?
                .ok_or(ContentError::NotFound)?;
            if (&known.owner_id, known.residency) != (&record.owner_id, record.residency) {
                return Err(ContentError::Conflict("the content id is taken".into()));
            }
        }
        Ok(tx.commit().await?)
    }

    /// Deletes a draft whose upload was given up. What is unknown or gone already is fine.
    ///
    /// # Errors
    /// [`ContentError::NotFound`] for another's, [`ContentError::Conflict`] when the upload was completed after all.
    pub async fn discard_draft(&self, id: &ContentId, owner: &UserId) -> Result<(), ContentError> {
        let mut tx = self.parts.db.begin().await?;
        let Some(mut record) = store::load(tx.conn(), id).await? else {
            return Ok(());
        };
        if record.owner_id != *owner {
            return Err(ContentError::NotFound);
        }
        match record.status() {
            ContentStatus::Deleted => Ok(()),
            ContentStatus::Draft => {
                // Nobody but its owner ever knew of it, so there is nothing to purge and nobody to tell.
                let _ = self.advance(&mut record, Trigger::Deleted);
                record.erase();
                store::save(tx.conn(), &record).await?;
                Ok(tx.commit().await?)
            }
            _ => Err(ContentError::Conflict(
                "the item is in the pipeline already".into(),
            )),
        }
    }

    async fn patch_in(
        &self,
        tx: &mut Tx,
        record: &mut ContentRecord,
        patch: &MetadataPatch,
    ) -> Result<(), ContentError> {
        let changed = patch.apply_to(&record.metadata);
        if changed == record.metadata {
            return Ok(());
        }
        changed.validate()?;
        let what = if changed.visibility == record.metadata.visibility {
            "metadata"
        } else {
            "visibility"
        };
        record.metadata = changed;
        store::save(tx.conn(), record).await?;
        self.tell_updated(tx, record, what).await
    }

    /// Adds a fact to the record and says what the world has to hear of it.
    pub(crate) fn advance(&self, record: &mut ContentRecord, trigger: Trigger) -> Vec<Effect> {
        let (facts, effects) = record.facts.advance(
            trigger,
            self.parts.config.moderation,
            self.parts.clock.now_ms(),
        );
        record.facts = facts;
        effects
    }

    /// Writes the effects' events in the transaction of the change.
    pub(crate) async fn tell(
        &self,
        tx: &mut Tx,
        record: &ContentRecord,
        effects: &[Effect],
    ) -> Result<(), ContentError> {
        let (content_id, residency) = (record.content_id.clone(), record.residency);
        for effect in effects {
            match effect {
                Effect::RequestModeration => {
                    self.add(
                        tx,
                        &ModerationRequested {
                            content_id: content_id.clone(),
                            residency,
                        },
                    )
                    .await?;
                }
                Effect::Publish => {
                    let event = Published {
                        content_id: content_id.clone(),
                        owner_id: record.owner_id.clone(),
                        residency,
                        media_type: record.media_type,
                    };
                    self.add(tx, &event).await?;
                }
                Effect::Withdraw => self.add_updated(tx, record, "withdrawn").await?,
                Effect::Delete => {
                    let event = ContentDeleted {
                        content_id: content_id.clone(),
                        residency,
                    };
                    self.add(tx, &event).await?;
                }
            }
        }
        Ok(())
    }

    /// Says that what edges hold of a published item is out of date.
    pub(crate) async fn tell_updated(
        &self,
        tx: &mut Tx,
        record: &ContentRecord,
        what: &str,
    ) -> Result<(), ContentError> {
        if record.status() == ContentStatus::Published {
            self.add_updated(tx, record, what).await?;
        }
        Ok(())
    }

    async fn add_updated(
        &self,
        tx: &mut Tx,
        record: &ContentRecord,
        what: &str,
    ) -> Result<(), ContentError> {
        let event = ContentUpdated {
            content_id: record.content_id.clone(),
            residency: record.residency,
            what: what.to_owned(),
        };
        self.add(tx, &event).await
    }

    async fn add<E: Event>(&self, tx: &mut Tx, event: &E) -> Result<(), ContentError> {
        let record = envelope::encode(event, SERVICE, &*self.parts.clock, &*self.parts.entropy)?;
        Ok(Outbox::add(tx, record).await?)
    }
}

fn sight_of(record: &ContentRecord, viewer: Option<&ViewerIdentity>) -> Sight {
    sight(
        &record.owner_id,
        record.status(),
        record.metadata.visibility,
        viewer,
    )
}

/// Only the owner gets past.
fn owned(record: &ContentRecord, viewer: &ViewerIdentity) -> Result<(), ContentError> {
    match sight_of(record, Some(viewer)) {
        Sight::Owner => Ok(()),
        Sight::Public => Err(ContentError::Forbidden),
        Sight::Gone => Err(ContentError::Gone),
        Sight::Hidden => Err(ContentError::NotFound),
    }
}
