//! Any store, with seeded faults.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_runtime::{FAULT_MARK, FaultPlan};

use crate::{KeyValue, KvError, SharedKv, Swap};

#[derive(Debug)]
pub(crate) struct FaultyKv {
    inner: SharedKv,
    plan: FaultPlan,
}

impl FaultyKv {
    pub(crate) fn new(inner: SharedKv, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    async fn before(&self, operation: &str) -> Result<(), KvError> {
        let delay = self.plan.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.plan.fails() {
            return Err(KvError::Unavailable(format!("{FAULT_MARK} at {operation}")));
        }
        Ok(())
    }

    /// A write that was done and may be reported as failed.
    fn after<T>(&self, operation: &str, output: T) -> Result<T, KvError> {
        if self.plan.loses_acknowledgement() {
            return Err(KvError::Unavailable(format!(
                "{FAULT_MARK} at acknowledgement of {operation}"
            )));
        }
        Ok(output)
    }
}

#[async_trait]
impl KeyValue for FaultyKv {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KvError> {
        self.before("get").await?;
        self.inner.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), KvError> {
        self.before("put").await?;
        let done = self.inner.put(key, value, ttl).await?;
        self.after("put", done)
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        self.before("delete").await?;
        let existed = self.inner.delete(key).await?;
        self.after("delete", existed)
    }

    async fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        self.before("increment").await?;
        let count = self.inner.increment(key, by, ttl).await?;
        self.after("increment", count)
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<Swap, KvError> {
        self.before("compare_and_set").await?;
        let swap = self
            .inner
            .compare_and_set(key, expected, value, ttl)
            .await?;
        self.after("compare_and_set", swap)
    }

    async fn scan(
        &self,
        prefix: &str,
        after: &str,
        entries_max: u32,
    ) -> Result<Vec<(String, Bytes)>, KvError> {
        self.before("scan").await?;
        self.inner.scan(prefix, after, entries_max).await
    }
}
