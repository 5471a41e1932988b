//! The task that looks after the disk: whether it is still there, and whether it works again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::medium::{MediumError, Panicked, RecordStore, Trouble, settle};
use super::record::RecordKey;
use super::tier::{Shared, whole_ms};

/// How often the task looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// How often a healthy disk is looked at.
const CHECK_EVERY_MS: i64 = 5_000;

pub(super) fn spawn(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut closing = shared.closing.subscribe();
        let mut upkeep = Upkeep {
            shared: &shared,
            next_check_ms: 0,
            probes: 0,
        };
        loop {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(TICK) => {}
            }
            // A reopening that is cut off by the closing puts what it opened to rest.
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = upkeep.tick() => {}
            }
        }
    });
}

struct Upkeep<'a> {
    shared: &'a Shared,
    next_check_ms: i64,
    probes: u64,
}

impl Upkeep<'_> {
    async fn tick(&mut self) {
        let shared = self.shared;
        let now_ms = shared.clock.now_ms();
        let (is_degraded, is_probe_due) = {
            let health = shared.health.lock();
            (health.is_degraded(), health.is_probe_due(now_ms))
        };
        if is_probe_due {
            match self.recover().await {
                Ok(store) => self.resume(store),
                Err(error) => {
                    let now_ms = shared.clock.now_ms();
                    shared
                        .health
                        .lock()
                        .probe_failed(error.trouble, error.to_string(), now_ms);
                }
            }
        } else if !is_degraded && now_ms >= self.next_check_ms {
            self.next_check_ms = now_ms + CHECK_EVERY_MS;
            self.check().await;
        }
    }

    async fn check(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let metrics = &self.shared.metrics;
        if let Some(store) = self.shared.live() {
            metrics.spare_bytes.set(gauge(store.spare_bytes()));
            metrics.blocks_unmapped.set(gauge(store.blocks_unmapped()));
        }
        match self.in_time(self.shared.medium.check()).await {
            Ok(bytes) => {
                self.shared.bytes.store(bytes, Ordering::Relaxed);
                metrics.bytes.set(gauge(bytes));
            }
            Err(error) => self.shared.degrade(error.trouble, error.to_string()),
        }
    }

    /// A store that works: the parked one if it does again, else another.
    async fn recover(&mut self) -> Result<Arc<dyn RecordStore>, MediumError> {
        let shared = self.shared;
        self.in_time(shared.medium.probe()).await?;
        let parked = shared.parked.lock().clone();
        if let Some(store) = parked {
            self.probes += 1;
            let key = RecordKey::Probe(self.probes);
            if self
                .in_time(async { Ok(works(&*store, key).await == Ok(true)) })
                .await?
            {
                shared.parked.lock().take();
                return Ok(store);
            }
            // It answers in time but keeps nothing.
            drop(store);
            shared.parked.lock().take();
        }
        shared.medium.open().await
    }

    fn resume(&mut self, store: Arc<dyn RecordStore>) {
        let shared = self.shared;
        let mut live = shared.live.write();
        // Whoever closes says so before it takes the store away.
        if *shared.closing.borrow() {
            return;
        }
        let mut health = shared.health.lock();
        health.recovered(shared.clock.now_ms());
        shared.metrics.degraded.set(0);
        *live = Some(store);
        self.next_check_ms = 0;
    }

    async fn in_time<T>(
        &self,
        act: impl Future<Output = Result<T, MediumError>>,
    ) -> Result<T, MediumError> {
        let timeout = self.shared.write_timeout;
        tokio::time::timeout(timeout, act)
            .await
            .unwrap_or_else(|_| {
                Err(MediumError {
                    trouble: Trouble::Slow,
                    path: self.shared.dir.clone(),
                    reason: format!("no answer within {} ms", whole_ms(timeout)),
                })
            })
    }
}

/// Whether a record that is written can be read.
async fn works(store: &dyn RecordStore, key: RecordKey) -> Result<bool, Panicked> {
    let content = Bytes::from_static(b"probe");
    // Everything that was asked of it before comes first.
    settle(store).await?;
    store.put(key, content.clone());
    settle(store).await?;
    let is_kept = store.contains(key)
        && matches!(store.load(key).await, Ok(Some(found)) if found.content == content);
    store.delete(key);
    Ok(is_kept)
}
