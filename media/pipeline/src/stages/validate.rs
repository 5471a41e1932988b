//! Probes what was uploaded.

use std::sync::Arc;

use mcsp_api::ContentId;
use mcsp_api::events::{MediaType, UploadCompleted, UploadInitiated};

use super::PROBE;
use crate::outgoing::Outgoing;
use crate::pipeline::Shared;
use crate::stage::{Done, Stage, StageError};

/// Is the file what it was said to be? The container's word; the first pass decodes it in full.
pub(crate) struct Validate {
    shared: Arc<Shared>,
}

impl Validate {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }
}

impl Stage for Validate {
    const NAME: &'static str = "validate";
    const GROUP: &'static str = "media-validate";
    type Event = UploadInitiated;

    fn content_id(event: &UploadInitiated) -> &ContentId {
        &event.content_id
    }

    async fn work(&self, event: &UploadInitiated) -> Result<Done, StageError> {
        self.shared.progress.started(&event.content_id, Self::NAME);
        let item = self
            .shared
            .buckets
            .item(event.residency, &event.content_id)?;
        let source = self.shared.scratch.source(&item).await?;
        let probed = self.shared.transcoder.probe(&source.path).await;
        if probed.as_ref().is_err_and(|error| !error.is_retryable()) {
            self.shared.scratch.forget(&event.content_id);
        }
        let probe = probed?;
        item.put_json(PROBE, &probe).await?;
        Ok(Done::Events(vec![Outgoing::UploadCompleted(
            UploadCompleted {
                content_id: event.content_id.clone(),
                owner_id: event.owner_id.clone(),
                residency: event.residency,
                media_type: if probe.video.is_some() {
                    MediaType::Video
                } else {
                    MediaType::Audio
                },
                duration_ms: probe.duration_ms,
            },
        )]))
    }
}
