//! A store that fails on purpose, for tests and chaos: what it does is decided by a seed.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use mcsp_runtime::{Entropy, FAULT_MARK, SeededEntropy};
use std::sync::Arc;

use crate::{ListPage, ObjectBody, ObjectError, ObjectMeta, ObjectStore, PartMeta, SharedObjects};

/// What goes wrong, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Decides everything below.
    pub seed: u64,
    /// Of the calls, this share fails: half of them before they took effect, half after, as when an answer is lost.
    /// 0 to 1, default 0.
    pub error_rate: f64,
    /// Of the reads, this share breaks off midway. 0 to 1, default 0.
    pub torn_rate: f64,
    /// Each call waits for 0 to this. Default 0.
    pub delay_max_ms: u64,
}

/// A decorator that makes any store fail as [`Faults`] says.
pub struct FaultyObjects {
    inner: SharedObjects,
    faults: Faults,
    dice: Arc<SeededEntropy>,
}

impl fmt::Debug for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyObjects")
            .field("faults", &self.faults)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// What the dice decided for one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    FailsBefore,
    FailsAfter,
}

impl FaultyObjects {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: SharedObjects, faults: Faults) -> Self {
        Self {
            inner,
            faults,
            dice: SeededEntropy::new(faults.seed),
        }
    }

    /// 0 (included) to 1 (excluded).
    fn roll(&self) -> f64 {
        let bits = u32::try_from(self.dice.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    async fn fate(&self) -> Fate {
        if self.faults.delay_max_ms > 0 {
            let delay_ms = self.dice.next_u64() % (self.faults.delay_max_ms + 1);
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        match self.roll() {
            roll if roll < self.faults.error_rate / 2.0 => Fate::FailsBefore,
            roll if roll < self.faults.error_rate => Fate::FailsAfter,
            _ => Fate::Well,
        }
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, ObjectError>> + Send,
    ) -> Result<T, ObjectError> {
        let fault = || ObjectError::Unavailable(FAULT_MARK.to_owned());
        match self.fate().await {
            Fate::Well => call.await,
            Fate::FailsBefore => Err(fault()),
            Fate::FailsAfter => {
                call.await?;
                Err(fault())
            }
        }
    }
}

/// Breaks a body off after `bytes`.
fn torn(
    body: BoxStream<'static, Result<Bytes, ObjectError>>,
    bytes: u64,
) -> BoxStream<'static, Result<Bytes, ObjectError>> {
    stream::unfold(Some((body, bytes)), |state| async move {
        let (mut body, left) = state?;
        let torn = || {
            Some((
                Err(ObjectError::Unavailable("injected torn read".to_owned())),
                None,
            ))
        };
        if left == 0 {
            return torn();
        }
        match body.next().await {
            Some(Ok(mut chunk)) => {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - u64::try_from(chunk.len()).unwrap_or(left);
                Some((Ok(chunk), Some((body, left))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => torn(),
        }
    })
    .boxed()
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError> {
        self.call(self.inner.put(bucket, key, content_type, body))
            .await
    }

    async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        path: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        self.call(self.inner.put_file(bucket, key, content_type, path))
            .await
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        let mut body = self.call(self.inner.get(bucket, key, range)).await?;
        if self.roll() < self.faults.torn_rate {
            let bytes = body.range.end - body.range.start;
            let kept = if bytes == 0 {
                0
            } else {
                self.dice.next_u64() % bytes
            };
            body.stream = torn(body.stream, kept);
        }
        Ok(body)
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta, ObjectError> {
        self.call(self.inner.head(bucket, key)).await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        self.call(self.inner.delete(bucket, key)).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, ObjectError> {
        self.call(self.inner.list(bucket, prefix, after)).await
    }

    async fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ObjectError> {
        self.call(self.inner.create_multipart(bucket, key, content_type))
            .await
    }

    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        self.call(self.inner.list_parts(bucket, key, upload_id))
            .await
    }

    async fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        self.call(self.inner.complete_multipart(bucket, key, upload_id, parts))
            .await
    }

    async fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        self.call(self.inner.abort_multipart(bucket, key, upload_id))
            .await
    }

    fn presign_part(
        &self,
        public_base: &str,
        bucket: &str,
        key: &str,
        upload_id: &str,
        part_number: u32,
        life: Duration,
    ) -> Result<String, ObjectError> {
        self.inner
            .presign_part(public_base, bucket, key, upload_id, part_number, life)
    }
}
