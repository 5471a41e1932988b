//! What the pipeline and the moderators tell the content service.
//!
//! Each effect is in the transaction in which the consumer notes the event's id, and each is written so that a late,
//! repeated or misplaced event is harmless: facts are only added ([`crate::lifecycle`]), lists only grow.

use async_trait::async_trait;
use mcsp_api::ContentId;
use mcsp_api::events::{
    ArtReady, Event, ModerationApproved, Packaged, StageProgress, UploadBlocked, UploadInitiated,
};
use mcsp_api::rest::ContentStage;
use mcsp_db::Tx;
use mcsp_events::Record;
use mcsp_events::consumer::{HandleError, Handler};
use mcsp_events::envelope;

use crate::error::ContentError;
use crate::lifecycle::Trigger;
use crate::record::ContentRecord;
use crate::service::ContentService;
use crate::store;

/// Codes of [`UploadBlocked`] that say "may not be shown" rather than "cannot be used".
const BLOCKING_CODES: [&str; 3] = ["virus", "copyright", "policy"];
/// The longest text a stage or a reason may bring, characters.
const NOTE_CHARS_MAX: usize = 500;
/// The most thumbnails an item lists.
const THUMBNAILS_MAX: usize = 32;

/// The consumer of everything that changes a content record; group `content`.
#[derive(Debug, Clone)]
pub struct ContentEvents {
    service: ContentService,
}

impl ContentEvents {
    /// The consumer of `service`.
    #[must_use]
    pub fn new(service: ContentService) -> Self {
        Self { service }
    }

    async fn apply(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        match record.position.topic.as_str() {
            topic if topic == UploadInitiated::TOPIC.name => {
                let event = envelope::decode::<UploadInitiated>(record)?.payload;
                self.on_trigger(tx, &event.content_id, Trigger::Initiated, None)
                    .await
            }
            topic if topic == UploadBlocked::TOPIC.name => {
                let event = envelope::decode::<UploadBlocked>(record)?.payload;
                let blocks = BLOCKING_CODES.contains(&event.code.as_str());
                let trigger = if blocks {
                    Trigger::Blocked
                } else {
                    Trigger::Failed
                };
                self.on_trigger(tx, &event.content_id, trigger, Some(&event.reason))
                    .await
            }
            topic if topic == ModerationApproved::TOPIC.name => {
                let event = envelope::decode::<ModerationApproved>(record)?.payload;
                self.on_trigger(tx, &event.content_id, Trigger::Approved, None)
                    .await
            }
            topic if topic == Packaged::TOPIC.name => {
                self.on_packaged(tx, &envelope::decode::<Packaged>(record)?.payload)
                    .await
            }
            topic if topic == ArtReady::TOPIC.name => {
                self.on_art(tx, envelope::decode::<ArtReady>(record)?.payload)
                    .await
            }
            topic if topic == StageProgress::TOPIC.name => {
                let event = envelope::decode::<StageProgress>(record)?.payload;
                self.on_progress(tx, event, record.timestamp_ms).await
            }
            topic => return Err(HandleError::Poison(format!("no rule for topic {topic:?}"))),
        }
        .map_err(handle_error)
    }

    async fn on_trigger(
        &self,
        tx: &mut Tx,
        id: &ContentId,
        trigger: Trigger,
        reason: Option<&str>,
    ) -> Result<(), ContentError> {
        let mut record = known(tx, id).await?;
        let effects = self.service.advance(&mut record, trigger);
        if record.facts.deleted_ms.is_none()
            && let Some(reason) = reason
        {
            record.status_reason = Some(clip(reason));
        }
        store::save(tx.conn(), &record).await?;
        self.service.tell(tx, &record, &effects).await
    }

    async fn on_packaged(&self, tx: &mut Tx, event: &Packaged) -> Result<(), ContentError> {
        let mut record = known(tx, &event.content_id).await?;
        if event.residency != record.residency {
            return Err(ContentError::Conflict(format!(
                "packaged as {} what is {}",
                event.residency, record.residency
            )));
        }
        if record.facts.deleted_ms.is_some() {
            return Ok(());
        }
        let was_published = record.facts.published_ms.is_some();
        let changed = record.merge_renditions(&event.renditions, event.last, event.duration_ms);
        record.media_type = event.media_type;
        let effects = self.service.advance(&mut record, Trigger::Packaged);
        if record.facts.published_ms.is_some() && record.facts.blocked_ms.is_none() {
            // An earlier run's failure is history once the item plays.
            record.status_reason = None;
        }
        store::save(tx.conn(), &record).await?;
        self.service.tell(tx, &record, &effects).await?;
        if was_published && changed {
            self.service.tell_updated(tx, &record, "renditions").await?;
        }
        Ok(())
    }

    async fn on_art(&self, tx: &mut Tx, event: ArtReady) -> Result<(), ContentError> {
        let mut record = known(tx, &event.content_id).await?;
        if record.facts.deleted_ms.is_some() || record.thumbnails == event.thumbnails {
            return Ok(());
        }
        record.thumbnails = event.thumbnails;
        record.thumbnails.truncate(THUMBNAILS_MAX);
        store::save(tx.conn(), &record).await?;
        self.service.tell_updated(tx, &record, "art").await
    }

    async fn on_progress(
        &self,
        tx: &mut Tx,
        event: StageProgress,
        timestamp_ms: i64,
    ) -> Result<(), ContentError> {
        let stage = ContentStage {
            stage: clip(&event.stage),
            state: clip(&event.state),
            percent: event.percent.min(100),
            note: clip(&event.note),
            updated_ms: timestamp_ms,
        };
        store::put_stage(tx.conn(), &event.content_id, &stage).await
    }
}

#[async_trait]
impl Handler for ContentEvents {
    const GROUP: &'static str = crate::SERVICE;

    fn topics(&self) -> Vec<String> {
        [
            UploadInitiated::TOPIC,
            UploadBlocked::TOPIC,
            StageProgress::TOPIC,
            Packaged::TOPIC,
            ArtReady::TOPIC,
            ModerationApproved::TOPIC,
        ]
        .iter()
        .map(|topic| topic.name.to_owned())
        .collect()
    }

    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        self.apply(record, tx).await
    }
}

/// The draft is created before anybody can upload, so an event about an unknown item is a mistake somewhere else.
async fn known(tx: &mut Tx, id: &ContentId) -> Result<ContentRecord, ContentError> {
    store::load(tx.conn(), id)
        .await?
        .ok_or(ContentError::NotFound)
}

fn handle_error(error: ContentError) -> HandleError {
    if error.is_retryable() {
        HandleError::Away(error.to_string())
    } else {
        HandleError::Poison(error.to_string())
    }
}

fn clip(text: &str) -> String {
    text.chars().take(NOTE_CHARS_MAX).collect()
}
