//! One item's files: where they are, and how they get there.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::try_join_all;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::{Probe, refusal};
use mcsp_media_transcode::{Ladder, mezzanine_path};
use mcsp_objects::ObjectBody;

use crate::context::Context;
use crate::encoder::{EncodeRequest, Encoded, Rungs};
use crate::error::StageError;
use crate::names::{ItemNames, content_type};
use crate::progress::StageReporter;
use crate::scratch::Lease;
use crate::stores::{ItemStore, write_body};

const WORK_DIR: &str = "work";
/// What a pass may write beyond what its bitrates say: headers, rounding, an encoder's burst.
const PASS_BYTES_SPARE: u64 = 16 << 20;

/// One item as a stage works on it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) names: ItemNames,
    pub(crate) store: ItemStore,
    pub(crate) lease: Lease,
}

impl Item {
    /// The creator's original on this machine's disk, fetched unless it is there.
    pub(crate) async fn source(&self, bytes_max: u64) -> Result<PathBuf, StageError> {
        let path = self.lease.dir().join("source");
        let _fetching = self.lease.fetching().lock().await;
        if is_there(&path).await {
            return Ok(path);
        }
        let body = self.store.get(&self.names.source()).await?;
        let size_bytes = body.meta.size_bytes;
        if size_bytes > bytes_max {
            return Err(StageError::Refused {
                code: refusal::TOO_LARGE.to_owned(),
                reason: format!(
                    "The file has {size_bytes} bytes, and up to {bytes_max} are taken. Export it at a lower bitrate."
                ),
            });
        }
        self.fetch(body, &path).await?;
        Ok(path)
    }

    /// A rendition's mezzanine on this machine's disk, fetched unless it is there.
    pub(crate) async fn mezzanine(&self, rendition_id: &str) -> Result<PathBuf, StageError> {
        let dir = self.lease.dir().join(WORK_DIR);
        let path = mezzanine_path(&dir, rendition_id);
        let _fetching = self.lease.fetching().lock().await;
        if is_there(&path).await {
            return Ok(path);
        }
        tokio::fs::create_dir_all(&dir).await?;
        let body = self.store.get(&self.names.mezzanine(rendition_id)).await?;
        self.fetch(body, &path).await?;
        Ok(path)
    }

    /// Forgets this machine's copy of a mezzanine.
    pub(crate) async fn forget_mezzanine(&self, rendition_id: &str) -> Result<(), StageError> {
        let path = mezzanine_path(&self.lease.dir().join(WORK_DIR), rendition_id);
        Ok(tokio::fs::remove_file(path).await?)
    }

    async fn fetch(&self, body: ObjectBody, path: &Path) -> Result<(), StageError> {
        let size_bytes = body.meta.size_bytes;
        let reservation = self.lease.reserve(size_bytes)?;
        let part = self.lease.temporary();
        write_body(body, part.path()).await?;
        tokio::fs::rename(part.path(), path).await?;
        reservation.keep(size_bytes);
        Ok(())
    }

    /// Runs a pass over the source, and brings what it made into object storage; a copy stays here.
    pub(crate) async fn encode(
        &self,
        context: &Context,
        probe: &Probe,
        rungs: Rungs,
        reporter: &StageReporter,
    ) -> Result<Encoded, StageError> {
        let source = self.source(context.encoder.source_bytes_max()).await?;
        let reservation = self
            .lease
            .reserve(pass_bytes(probe, &rungs.ladder(probe)))?;
        let attempt = self.lease.temporary();
        tokio::fs::create_dir(attempt.path()).await?;
        let request = EncodeRequest {
            source: &source,
            out_dir: attempt.path(),
            probe,
            rungs,
        };
        let reporter = reporter.clone();
        let on_progress = Box::new(move |permille| reporter.at(permille));
        let encoded = context.encoder.encode(request, on_progress).await?;
        let dir = self.lease.dir().join(WORK_DIR);
        tokio::fs::create_dir_all(&dir).await?;
        let mut bytes = 0;
        for info in &encoded.renditions {
            let path = mezzanine_path(&dir, &info.id);
            tokio::fs::rename(mezzanine_path(attempt.path(), &info.id), &path).await?;
            bytes += tokio::fs::metadata(&path).await?.len();
        }
        reservation.keep(bytes);
        let stored = encoded.renditions.iter().map(|info| self.keep(&dir, info));
        try_join_all(stored).await?;
        Ok(encoded)
    }

    /// Puts a mezzanine and its description into object storage.
    async fn keep(&self, dir: &Path, info: &RenditionInfo) -> Result<(), StageError> {
        let key = self.names.mezzanine(&info.id);
        let path = mezzanine_path(dir, &info.id);
        let media_type = content_type(&key, info.is_video());
        self.store.put_file(&key, media_type, &path).await?;
        let text =
            serde_json::to_vec(info).map_err(|error| StageError::Retry(error.to_string()))?;
        let key = self.names.description(&info.id);
        let media_type = content_type(&key, info.is_video());
        self.store.put(&key, media_type, Bytes::from(text)).await?;
        Ok(())
    }
}

async fn is_there(path: &Path) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(false)
}

/// About as much as a pass will write: its caps for as long as the source says it is, and a quarter more.
fn pass_bytes(probe: &Probe, ladder: &Ladder) -> u64 {
    let video = ladder.video.iter().map(|rung| u64::from(rung.bitrate_bps));
    let audio = ladder.audio.iter().map(|rung| u64::from(rung.bitrate_bps));
    let bps: u64 = video.chain(audio).sum();
    let media_bytes = (bps / 8).saturating_mul(probe.duration_ms) / 1000;
    // A source that does not say how long it is rarely grows.
    let media_bytes = if probe.duration_ms == 0 {
        probe.size_bytes
    } else {
        media_bytes
    };
    media_bytes + media_bytes / 4 + PASS_BYTES_SPARE
}
