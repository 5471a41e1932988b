//! Ways to the outside that stop answering at a chosen call, as for a process that dies there.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_events::{
    Assignment, EventError, EventLog, NewRecord, PartitionState, Position, Record, SharedEventLog,
};
use mcsp_media_pipeline::ItemStore;
use mcsp_objects::{
    ListPage, ObjectBody, ObjectError, ObjectMeta, ObjectStore, PartMeta, SharedObjects,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Counts calls down; from the chosen one on nothing goes on.
#[derive(Debug)]
pub(crate) struct CrashPoint {
    left: AtomicI64,
    reached: Notify,
}

impl CrashPoint {
    pub(crate) fn at(call: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(call),
            reached: Notify::new(),
        })
    }

    pub(crate) fn never() -> Arc<Self> {
        Self::at(i64::MAX)
    }

    /// How many calls there were, of a point that is never reached.
    pub(crate) fn calls(&self) -> i64 {
        i64::MAX - self.left.load(Ordering::SeqCst)
    }

    pub(crate) async fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.reached.notify_one();
        std::future::pending::<()>().await;
    }

    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }
}

/// A log whose effects may be the last thing that a process did, or what it died before.
#[derive(Debug)]
pub(crate) struct CrashingLog {
    pub(crate) inner: SharedEventLog,
    pub(crate) point: Arc<CrashPoint>,
}

#[async_trait]
impl EventLog for CrashingLog {
    async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        kept: Duration,
    ) -> Result<(), EventError> {
        self.inner.ensure_topic(topic, partitions, kept).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, EventError> {
        self.point.pass().await;
        let appended = self.inner.append(records).await;
        self.point.pass().await;
        appended
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, EventError> {
        self.inner
            .read(topic, partition, from_offset, records_max, wait)
            .await
    }

    async fn ready(
        &self,
        positions: &[Position],
        wait: Duration,
    ) -> Result<Vec<Position>, EventError> {
        self.inner.ready(positions, wait).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
    ) -> Result<Assignment, EventError> {
        self.inner
            .join(group, member, topics, session_timeout)
            .await
    }

    async fn heartbeat(&self, group: &str, member: &str) -> Result<Assignment, EventError> {
        self.inner.heartbeat(group, member).await
    }

    async fn leave(&self, group: &str, member: &str) -> Result<(), EventError> {
        self.inner.leave(group, member).await
    }

    async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        topic: &str,
        partition: u32,
        next_offset: u64,
    ) -> Result<(), EventError> {
        self.point.pass().await;
        self.inner
            .commit(group, member, generation, topic, partition, next_offset)
            .await
    }

    async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<u64, EventError> {
        self.inner.committed(group, topic, partition).await
    }

    async fn describe(&self, topic: &str) -> Result<Vec<PartitionState>, EventError> {
        self.inner.describe(topic).await
    }
}

/// A store likewise; it also remembers the order of what was put.
#[derive(Debug, Clone)]
pub(crate) struct CrashingStore {
    inner: SharedObjects,
    bucket: String,
    point: Arc<CrashPoint>,
    puts: Arc<Mutex<Vec<String>>>,
}

impl CrashingStore {
    pub(crate) fn around(store: ItemStore, point: Arc<CrashPoint>) -> Self {
        Self {
            inner: store.objects,
            bucket: store.bucket,
            point,
            puts: Arc::default(),
        }
    }

    pub(crate) fn item_store(&self) -> ItemStore {
        ItemStore {
            objects: Arc::new(self.clone()),
            bucket: self.bucket.clone(),
        }
    }

    /// Names in the order in which their objects were stored.
    pub(crate) fn puts(&self) -> Vec<String> {
        self.puts.lock().clone()
    }

    async fn stored(&self, key: &str) {
        self.puts.lock().push(key.to_owned());
        self.point.pass().await;
    }
}

#[async_trait]
impl ObjectStore for CrashingStore {
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError> {
        self.point.pass().await;
        let meta = self.inner.put(bucket, key, media_type, body).await;
        self.stored(key).await;
        meta
    }

    async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        media_type: &str,
        path: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        self.point.pass().await;
        let meta = self.inner.put_file(bucket, key, media_type, path).await;
        self.stored(key).await;
        meta
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        self.point.pass().await;
        self.inner.get(bucket, key, range).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta, ObjectError> {
        self.inner.head(bucket, key).await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        self.inner.delete(bucket, key).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, ObjectError> {
        self.inner.list(bucket, prefix, after).await
    }

    async fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        media_type: &str,
    ) -> Result<String, ObjectError> {
        self.inner.create_multipart(bucket, key, media_type).await
    }

    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        self.inner.list_parts(bucket, key, upload_id).await
    }

    async fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        self.inner
            .complete_multipart(bucket, key, upload_id, parts)
            .await
    }

    async fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        self.inner.abort_multipart(bucket, key, upload_id).await
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
