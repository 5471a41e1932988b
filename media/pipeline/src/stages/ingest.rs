//! From an uploaded file to media of a known kind, or to a reason why not.

use async_trait::async_trait;
use mcsp_api::events::{MediaType, UploadCompleted, UploadInitiated};
use mcsp_db::Tx;
use mcsp_media_probe::Probe;

use super::Stage;
use crate::context::Context;
use crate::error::StageError;
use crate::item::Item;
use crate::progress::StageReporter;
use crate::store;

/// Fetches the source and asks what it is.
pub(crate) struct Ingest;

#[async_trait]
impl Stage for Ingest {
    const GROUP: &'static str = "media-ingest";
    const NAME: &'static str = "validate";
    type Event = UploadInitiated;
    type Effect = Probe;

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        _event: &UploadInitiated,
        reporter: &StageReporter,
    ) -> Result<Probe, StageError> {
        reporter.started("");
        let source = item.source(context.encoder.source_bytes_max()).await?;
        Ok(context.encoder.probe(&source).await?)
    }

    async fn apply(
        &self,
        context: &Context,
        event: &UploadInitiated,
        probe: Probe,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        // The file has the last word, whatever its creator said it is.
        let media_type = if probe.video.is_some() {
            MediaType::Video
        } else {
            MediaType::Audio
        };
        let now_ms = context.clock.now_ms();
        let id = &event.content_id;
        store::put_item(tx, id, event.residency, media_type, &probe, now_ms).await?;
        let completed = UploadCompleted {
            content_id: id.clone(),
            owner_id: event.owner_id.clone(),
            residency: event.residency,
            media_type,
            duration_ms: probe.duration_ms,
        };
        context.emit(tx, &completed).await?;
        context.progress.of(id, Self::NAME).finished("");
        Ok(())
    }
}
