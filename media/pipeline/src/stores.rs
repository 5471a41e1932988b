//! Which handle leads to an item's objects.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use futures::StreamExt;
use mcsp_api::Residency;
use mcsp_objects::{ObjectBody, ObjectError, ObjectMeta, SharedObjects};
use tokio::io::AsyncWriteExt;

use crate::error::StageError;

/// Gathered before a write to disk, bytes.
const WRITE_BYTES: usize = 1 << 20;

/// One bucket as the holder of its credentials sees it.
#[derive(Debug, Clone)]
pub struct ItemStore {
    /// The store.
    pub objects: SharedObjects,
    /// The bucket.
    pub bucket: String,
}

impl ItemStore {
    pub(crate) async fn put(
        &self,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError> {
        self.objects
            .put(&self.bucket, key, content_type, body)
            .await
    }

    pub(crate) async fn put_file(
        &self,
        key: &str,
        content_type: &str,
        path: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        self.objects
            .put_file(&self.bucket, key, content_type, path)
            .await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<ObjectBody, ObjectError> {
        self.objects.get(&self.bucket, key, None).await
    }
}

/// Writes an object's bytes to a new file; fails unless all of them came.
pub(crate) async fn write_body(mut body: ObjectBody, path: &Path) -> Result<(), StageError> {
    let file = tokio::fs::File::create(path).await?;
    let mut file = tokio::io::BufWriter::with_capacity(WRITE_BYTES, file);
    let mut bytes = 0_u64;
    while let Some(chunk) = body.stream.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    if bytes == body.meta.size_bytes {
        return Ok(());
    }
    Err(StageError::Away(format!(
        "{}: {bytes} of {} bytes came",
        body.meta.key, body.meta.size_bytes
    )))
}

/// The handles of a worker, by residency. A worker outside Nigeria has none for `NG`, and with it no way to a byte.
#[derive(Debug, Clone)]
pub struct Stores {
    by_residency: BTreeMap<&'static str, ItemStore>,
}

impl Stores {
    /// The handles: `ng` only where the worker is in Nigeria.
    #[must_use]
    pub fn new(global: ItemStore, ng: Option<ItemStore>) -> Self {
        let ng = ng.map(|store| (Residency::Ng.prefix(), store));
        Self {
            by_residency: [(Residency::Global.prefix(), global)]
                .into_iter()
                .chain(ng)
                .collect(),
        }
    }

    pub(crate) fn of(&self, residency: Residency) -> Option<&ItemStore> {
        self.by_residency.get(residency.prefix())
    }
}
