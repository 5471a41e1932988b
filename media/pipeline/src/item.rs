//! One item's files: where they are, and how they get there.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::{Probe, refusal};
use mcsp_media_transcode::{Ladder, PassNews, mezzanine_path};
use mcsp_objects::ObjectBody;
use tokio::sync::mpsc;

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

    /// Runs a pass over the source, and brings each rendition into object storage as it is finished; a copy stays here.
    /// A rendition that does not get there does not hold back the others.
    pub(crate) async fn encode(
        &self,
        context: &Context,
        probe: &Probe,
        rungs: Rungs,
        reporter: &StageReporter,
        on_kept: &dyn OnKept,
    ) -> Result<Encoded, StageError> {
        let source = self.source(context.encoder.source_bytes_max()).await?;
        let ladder = rungs.ladder(probe);
        let reservation = self.lease.reserve(pass_bytes(probe, &ladder))?;
        let attempt = self.lease.temporary();
        tokio::fs::create_dir(attempt.path()).await?;
        let request = EncodeRequest {
            source: &source,
            out_dir: attempt.path(),
            probe,
            rungs,
        };
        // A place for each rendition, which is told of once.
        let (tell, mut told) = mpsc::channel(ladder.ids().len().max(1));
        let reporter = reporter.clone();
        let on_news = Box::new(move |news| match news {
            PassNews::At(permille) => reporter.at(permille),
            PassNews::Made(info) => {
                // Whatever is not told of here is found at the end.
                let _ = tell.try_send(info);
            }
        });
        let mut keeper = Keeper {
            item: self,
            made_in: attempt.path(),
            on_kept,
            kept: Vec::new(),
            bytes: 0,
            failure: None,
        };
        let keep_as_made = async {
            while let Some(info) = told.recv().await {
                keeper.keep(&info).await;
            }
        };
        let encode = context.encoder.encode(request, on_news);
        let (encoded, ()) = tokio::join!(encode, keep_as_made);
        if let Ok(encoded) = &encoded {
            for info in &encoded.renditions {
                keeper.keep(info).await;
            }
        }
        reservation.keep(keeper.bytes);
        match (encoded, keeper.failure) {
            (Ok(encoded), None) => Ok(encoded),
            (Ok(_), Some(failure)) => Err(failure),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Puts a mezzanine and its description into object storage.
    async fn put_mezzanine(&self, dir: &Path, info: &RenditionInfo) -> Result<(), StageError> {
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

/// Told of each rendition when its mezzanine is in object storage.
#[async_trait]
pub(crate) trait OnKept: Sync {
    /// Notes it, so that it need not be made again.
    async fn kept(&self, info: &RenditionInfo) -> Result<(), StageError>;
}

/// Keeps what a pass makes.
struct Keeper<'a> {
    item: &'a Item,
    /// The pass's folder.
    made_in: &'a Path,
    on_kept: &'a dyn OnKept,
    /// The ids of what was dealt with.
    kept: Vec<String>,
    /// Of what is in scratch.
    bytes: u64,
    /// The first.
    failure: Option<StageError>,
}

impl Keeper<'_> {
    /// Once for each rendition, however often it is told of.
    async fn keep(&mut self, info: &RenditionInfo) {
        if self.kept.contains(&info.id) {
            return;
        }
        self.kept.push(info.id.clone());
        if let Err(error) = self.try_keep(info).await {
            tracing::warn!(rendition_id = info.id, %error, "rendition was not kept");
            self.failure.get_or_insert(error);
        }
    }

    async fn try_keep(&mut self, info: &RenditionInfo) -> Result<(), StageError> {
        let dir = self.item.lease.dir().join(WORK_DIR);
        tokio::fs::create_dir_all(&dir).await?;
        let path = mezzanine_path(&dir, &info.id);
        tokio::fs::rename(mezzanine_path(self.made_in, &info.id), &path).await?;
        self.bytes += tokio::fs::metadata(&path).await?.len();
        self.item.put_mezzanine(&dir, info).await?;
        self.on_kept.kept(info).await
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
