//! What every store must do, whatever keeps its bytes: the suite that each engine runs in its tests.
//!
//! It needs an empty bucket, and leaves it empty when it succeeds.

macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

mod multipart;
mod names;
mod whole;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use thiserror::Error;

use crate::{ObjectError, ObjectMeta, SharedObjects};

/// How the suite stores a part: the trait only gives URLs for that, and what carries them differs.
#[async_trait]
pub trait PartSender: Send + Sync {
    /// Stores a part of an upload; an error says why it was not taken.
    async fn send(
        &self,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<(), String>;
}

/// What a store does not do as it must.
#[derive(Debug, Error)]
#[error("object store contract, {case}: {reason}")]
pub struct ContractFailure {
    case: &'static str,
    reason: String,
}

/// Why one case failed.
type Outcome<T = ()> = Result<T, String>;

/// Runs every case against `bucket` of `store`.
///
/// # Errors
/// [`ContractFailure`] names the first case that failed.
pub async fn run(
    store: &SharedObjects,
    bucket: &str,
    parts: &dyn PartSender,
) -> Result<(), ContractFailure> {
    let suite = Suite {
        store,
        bucket,
        parts,
    };
    let named = |case: &'static str| move |reason: String| ContractFailure { case, reason };
    suite
        .stores_and_reads()
        .await
        .map_err(named("stores and reads"))?;
    suite.ranges().await.map_err(named("ranges"))?;
    suite.replaces().await.map_err(named("replaces"))?;
    suite.misses().await.map_err(named("misses"))?;
    suite.odd_names().await.map_err(named("odd names"))?;
    suite.lists().await.map_err(named("lists"))?;
    suite.files().await.map_err(named("files"))?;
    suite.multipart().await.map_err(named("multipart"))?;
    suite
        .multipart_refusals()
        .await
        .map_err(named("multipart refusals"))?;
    suite
        .multipart_replaced()
        .await
        .map_err(named("multipart replaced"))?;
    suite
        .is_empty()
        .await
        .map_err(named("leaves nothing behind"))
}

/// Reads a body to its end.
///
/// # Errors
/// The error that broke it off.
pub async fn read_all(mut body: crate::ObjectBody) -> Result<Bytes, ObjectError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes.freeze())
}

/// Bytes that differ from place to place, so that a stitch in the wrong place shows.
fn pattern(bytes: usize, seed: u8) -> Bytes {
    (0..bytes)
        .map(|index| (index % 251).to_le_bytes()[0].wrapping_add(seed))
        .collect()
}

fn text(error: ObjectError) -> String {
    error.to_string()
}

struct Suite<'a> {
    store: &'a SharedObjects,
    bucket: &'a str,
    parts: &'a dyn PartSender,
}

impl Suite<'_> {
    async fn put(&self, key: &str, body: &Bytes) -> Outcome<ObjectMeta> {
        self.store
            .put(self.bucket, key, "video/mp4", body.clone())
            .await
            .map_err(text)
    }

    async fn read(&self, key: &str, range: Option<std::ops::Range<u64>>) -> Outcome<Bytes> {
        let body = self
            .store
            .get(self.bucket, key, range)
            .await
            .map_err(text)?;
        read_all(body).await.map_err(text)
    }

    async fn delete(&self, key: &str) -> Outcome {
        self.store.delete(self.bucket, key).await.map_err(text)
    }

    async fn is_empty(&self) -> Outcome {
        let left = self.store.list(self.bucket, "", None).await.map_err(text)?;
        ensure!(left.objects.is_empty(), "{:?}", left.objects);
        Ok(())
    }
}
