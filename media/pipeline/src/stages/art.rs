//! Thumbnails of the first rendition.

use async_trait::async_trait;
use futures::future::try_join_all;
use mcsp_api::events::{ArtReady, MediaType, TranscodingCompleted};
use mcsp_db::Tx;

use super::Stage;
use crate::context::Context;
use crate::error::StageError;
use crate::item::Item;
use crate::names::content_type;
use crate::progress::StageReporter;
use crate::store;

/// Room for a few pictures of a rendition's size, bytes.
const ART_BYTES_MAX: u64 = 32 << 20;

/// Makes thumbnails.
pub(crate) struct Art;

#[async_trait]
impl Stage for Art {
    const GROUP: &'static str = "media-art";
    const NAME: &'static str = "art";
    type Event = TranscodingCompleted;
    /// Names inside the item.
    type Effect = Vec<String>;

    fn skips(&self, event: &TranscodingCompleted) -> bool {
        !event.lowest || event.media_type != MediaType::Video
    }

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &TranscodingCompleted,
        reporter: &StageReporter,
    ) -> Result<Vec<String>, StageError> {
        let stored = store::renditions(&context.db, &event.content_id).await?;
        let is_wanted = |id: &str| event.rendition_ids.iter().any(|wanted| wanted == id);
        let info = stored
            .iter()
            .map(|rendition| &rendition.info)
            .find(|info| info.is_video() && is_wanted(&info.id))
            .ok_or_else(|| StageError::Retry("nothing is known of the rendition".to_owned()))?;
        reporter.started("");
        let mezzanine = item.mezzanine(&info.id).await?;
        let _room = item.lease.reserve(ART_BYTES_MAX)?;
        let dir = item.lease.temporary();
        tokio::fs::create_dir(dir.path()).await?;
        let encoder = &context.encoder;
        let files = encoder.thumbnails(&mezzanine, info, dir.path()).await?;
        let stored = files.iter().map(async |file| {
            let name = format!("art/{file}");
            let key = item.names.published(&name);
            let path = dir.path().join(file);
            item.store
                .put_file(&key, content_type(file, true), &path)
                .await?;
            Ok::<_, StageError>(name)
        });
        try_join_all(stored).await
    }

    async fn apply(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        thumbnails: Vec<String>,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let ready = ArtReady {
            content_id: event.content_id.clone(),
            thumbnails,
        };
        context.emit(tx, &ready).await?;
        let reporter = context.progress.of(&event.content_id, Self::NAME);
        reporter.finished("");
        Ok(())
    }

    /// An item plays without pictures of it.
    async fn give_up(
        &self,
        _context: &Context,
        _event: &TranscodingCompleted,
        _tx: &mut Tx,
    ) -> Result<(), StageError> {
        Ok(())
    }
}
