//! The pass that decodes all of the source: full validation, and the renditions that are published first.

use async_trait::async_trait;
use mcsp_api::events::{TranscodingCompleted, UploadCompleted};
use mcsp_db::Tx;
use mcsp_media_package::RenditionInfo;
use mcsp_media_transcode::Ladder;

use super::Stage;
use crate::context::Context;
use crate::encoder::{Encoded, Rungs};
use crate::error::StageError;
use crate::item::{Item, OnKept};
use crate::progress::StageReporter;
use crate::{metrics, store};

/// Makes the lowest renditions.
pub(crate) struct Lowest;

/// What the pass made.
pub(crate) struct LowestMade {
    encoded: Encoded,
    /// Nothing more will come.
    last: bool,
}

/// The lowest renditions join together: a picture would be published without its sound.
struct Together;

#[async_trait]
impl OnKept for Together {
    async fn kept(&self, _info: &RenditionInfo) -> Result<(), StageError> {
        Ok(())
    }
}

#[async_trait]
impl Stage for Lowest {
    const GROUP: &'static str = "media-lowest";
    const NAME: &'static str = "transcode";
    type Event = UploadCompleted;
    type Effect = LowestMade;

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &UploadCompleted,
        reporter: &StageReporter,
    ) -> Result<LowestMade, StageError> {
        reporter.started("first rendition");
        let probe = context.probe(&event.content_id, item).await?;
        let encoded = item
            .encode(context, &probe, Rungs::Lowest, reporter, &Together)
            .await?;
        metrics::encode_cpu(Self::NAME, encoded.cpu_ms);
        if encoded.renditions.is_empty() {
            return Err(StageError::Retry("the pass made no rendition".to_owned()));
        }
        Ok(LowestMade {
            encoded,
            last: Ladder::for_source(&probe).rest().is_empty(),
        })
    }

    async fn apply(
        &self,
        context: &Context,
        event: &UploadCompleted,
        made: LowestMade,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let (id, renditions) = (&event.content_id, &made.encoded.renditions);
        store::put_renditions(tx, id, renditions, context.clock.now_ms()).await?;
        let rendition_ids: Vec<String> = renditions.iter().map(|info| info.id.clone()).collect();
        let note = rendition_ids.join(", ");
        let completed = TranscodingCompleted {
            content_id: id.clone(),
            residency: event.residency,
            media_type: event.media_type,
            rendition_ids,
            lowest: true,
            last: made.last,
            duration_ms: made.encoded.duration_ms,
        };
        context.emit(tx, &completed).await?;
        context.progress.of(id, Self::NAME).finished(&note);
        Ok(())
    }
}
