//! From mezzanines to what viewers ask for: segments and playlists first, manifests last, so that whatever a manifest
//! lists is there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use mcsp_api::events::{Packaged, RenditionRef, TranscodingCompleted};
use mcsp_db::Tx;
use mcsp_media_package::{
    DASH_MANIFEST, HLS_MASTER, HLS_MEDIA, PackageError, RenditionInfo, SegmentPart, TrackKind,
    compose_dash, compose_hls_master, compose_hls_media, mezzanine_parts,
};

use super::Stage;
use crate::context::Context;
use crate::error::StageError;
use crate::item::Item;
use crate::names::content_type;
use crate::progress::StageReporter;
use crate::store;

/// A segment of four seconds of the highest rung has a tenth of this.
const SEGMENT_BYTES_MAX: u64 = 128 << 20;

/// Publishes renditions.
pub(crate) struct PackageStage;

#[async_trait]
impl Stage for PackageStage {
    const GROUP: &'static str = "media-package";
    const NAME: &'static str = "package";
    type Event = TranscodingCompleted;
    /// All that the manifests list.
    type Effect = Vec<RenditionInfo>;

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &TranscodingCompleted,
        reporter: &StageReporter,
    ) -> Result<Vec<RenditionInfo>, StageError> {
        reporter.started(&event.rendition_ids.join(", "));
        let stored = store::renditions(&context.db, &event.content_id).await?;
        let is_new = |id: &String| event.rendition_ids.contains(id);
        if let Some(id) = event
            .rendition_ids
            .iter()
            .find(|id| stored.iter().all(|rendition| rendition.info.id != **id))
        {
            return Err(StageError::Retry(format!(
                "nothing is known of rendition {id}"
            )));
        }
        let mut fresh = Vec::new();
        for rendition in stored.iter().filter(|rendition| is_new(&rendition.info.id)) {
            fresh.push(Mezzanine::open(item, &rendition.info).await?);
        }
        put_renditions(context, item, fresh).await?;
        let listed: Vec<RenditionInfo> = stored
            .into_iter()
            .filter(|rendition| rendition.packaged || is_new(&rendition.info.id))
            .map(|rendition| rendition.info)
            .collect();
        put_manifests(item, &listed).await?;
        if event.last {
            item.lease.discard();
        }
        Ok(listed)
    }

    async fn apply(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        listed: Vec<RenditionInfo>,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let id = &event.content_id;
        for rendition_id in &event.rendition_ids {
            store::set_packaged(tx, id, rendition_id, context.clock.now_ms()).await?;
        }
        let durations = listed.iter().map(RenditionInfo::duration_ms);
        let packaged = Packaged {
            content_id: id.clone(),
            residency: event.residency,
            media_type: event.media_type,
            duration_ms: durations.max().unwrap_or(event.duration_ms),
            renditions: listed.iter().map(rendition_ref).collect(),
            last: event.last,
        };
        context.emit(tx, &packaged).await?;
        let note = event.rendition_ids.join(", ");
        context.progress.of(id, Self::NAME).finished(&note);
        Ok(())
    }
}

fn rendition_ref(info: &RenditionInfo) -> RenditionRef {
    let height = match &info.track {
        TrackKind::Video { height, .. } => *height,
        TrackKind::Audio { .. } => 0,
    };
    RenditionRef {
        rendition_id: info.id.clone(),
        bandwidth_bps: info.peak_bps(),
        height,
    }
}

/// A mezzanine whose parts are known.
struct Mezzanine {
    info: RenditionInfo,
    file: Arc<File>,
    parts: Vec<SegmentPart>,
}

impl Mezzanine {
    /// Opens the copy on this machine; one that is not what it should be is fetched again, once.
    async fn open(item: &Item, info: &RenditionInfo) -> Result<Self, StageError> {
        let path = item.mezzanine(&info.id).await?;
        match Self::read(&path, info).await {
            Err(StageError::Retry(reason)) => {
                tracing::warn!(rendition_id = info.id, reason, "mezzanine is fetched again");
                item.forget_mezzanine(&info.id).await?;
                let path = item.mezzanine(&info.id).await?;
                Self::read(&path, info).await
            }
            other => other,
        }
    }

    async fn read(path: &Path, info: &RenditionInfo) -> Result<Self, StageError> {
        let (path, info) = (path.to_owned(), info.clone());
        let read = move || {
            let mut file = File::open(path)?;
            let parts = mezzanine_parts(&mut file, &info)?;
            if let Some(part) = parts
                .iter()
                .find(|part| part.size_bytes > SEGMENT_BYTES_MAX)
            {
                let size_bytes = part.size_bytes;
                return Err(PackageError::Corrupt(format!(
                    "{} has {size_bytes} bytes",
                    part.name
                )));
            }
            Ok(Self {
                info,
                file: Arc::new(file),
                parts,
            })
        };
        Ok(tokio::task::spawn_blocking(read).await??)
    }
}

/// Puts segments and media playlists of all these renditions, a bounded number at a time.
async fn put_renditions(
    context: &Context,
    item: &Item,
    renditions: Vec<Mezzanine>,
) -> Result<(), StageError> {
    let mut uploads = Vec::new();
    for Mezzanine { info, file, parts } in renditions {
        let playlist = Bytes::from(compose_hls_media(&info)?);
        uploads.push(Upload {
            key: item.names.rendition(&info.id, HLS_MEDIA),
            is_video: info.is_video(),
            body: Body::Whole(playlist),
        });
        uploads.extend(parts.into_iter().map(|part| Upload {
            key: item.names.rendition(&info.id, &part.name),
            is_video: info.is_video(),
            body: Body::Part(Arc::clone(&file), part),
        }));
    }
    stream::iter(uploads)
        .map(|upload| upload.send(item))
        .buffer_unordered(context.uploads_max)
        .try_collect::<()>()
        .await
}

struct Upload {
    key: String,
    is_video: bool,
    body: Body,
}

enum Body {
    Whole(Bytes),
    Part(Arc<File>, SegmentPart),
}

impl Upload {
    async fn send(self, item: &Item) -> Result<(), StageError> {
        let body = match self.body {
            Body::Whole(bytes) => bytes,
            Body::Part(file, part) => {
                tokio::task::spawn_blocking(move || read_part(&file, &part)).await??
            }
        };
        let media_type = content_type(&self.key, self.is_video);
        item.store.put(&self.key, media_type, body).await?;
        Ok(())
    }
}

fn read_part(file: &File, part: &SegmentPart) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(part.size_bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, part.offset)?;
    Ok(Bytes::from(bytes))
}

async fn put_manifests(item: &Item, listed: &[RenditionInfo]) -> Result<(), StageError> {
    let put = async |name: &str, text: String| {
        let key = item.names.published(name);
        let media_type = content_type(name, true);
        item.store.put(&key, media_type, Bytes::from(text)).await
    };
    let (hls, dash) = (compose_hls_master(listed)?, compose_dash(listed)?);
    futures::try_join!(put(HLS_MASTER, hls), put(DASH_MANIFEST, dash))?;
    Ok(())
}
