//! What every test of the cache needs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mcsp_edge_cache::{CacheConfig, EdgeCache, Purge, PurgeReport, PurgeSelector};
use mcsp_runtime::ManualClock;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta, HitHandler, MissHandler, Storage};
use pingora_http::ResponseHeader;
use prometheus::Registry;

/// 2026-11-22; objects stay fresh for a minute.
pub(crate) const NOW_MS: u64 = 1_795_305_600_000;
pub(crate) const FRESH_S: u64 = 60;

pub(crate) struct Harness {
    pub(crate) cache: &'static EdgeCache,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
}

pub(crate) fn small() -> CacheConfig {
    CacheConfig {
        memory_bytes: 1 << 20,
        object_bytes_max: 64 << 10,
        fill_bytes_max: 256 << 10,
        ..CacheConfig::default()
    }
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with(small())
    }

    pub(crate) fn with(config: CacheConfig) -> Self {
        let clock = ManualClock::new(NOW_MS.try_into().unwrap());
        let registry = Registry::new();
        let cache = EdgeCache::open(config, clock.clone(), &registry).unwrap();
        Self {
            cache,
            clock,
            registry,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        use mcsp_runtime::Clock as _;
        UNIX_EPOCH + Duration::from_millis(self.clock.now_ms().try_into().unwrap())
    }

    pub(crate) fn meta(&self, headers: &[(&'static str, String)]) -> CacheMeta {
        let mut header = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            header.append_header(*name, value).unwrap();
        }
        let now = self.now();
        CacheMeta::new(now + Duration::from_secs(FRESH_S), now, 0, 3600, header)
    }

    pub(crate) async fn begin(
        &self,
        key: &CacheKey,
        headers: &[(&'static str, String)],
    ) -> MissHandler {
        self.cache
            .get_miss_handler(key, &self.meta(headers), &Span::inactive().handle())
            .await
            .unwrap()
    }

    pub(crate) async fn store(&self, path: &str, body: &[u8], headers: &[(&'static str, String)]) {
        let mut writer = self.begin(&self.cache.key(path), headers).await;
        for chunk in body.chunks(1000) {
            writer
                .write_body(Bytes::copy_from_slice(chunk), false)
                .await
                .unwrap();
        }
        writer.finish().await.unwrap();
    }

    pub(crate) async fn lookup(&self, path: &str) -> Option<(CacheMeta, HitHandler)> {
        self.cache
            .lookup(&self.cache.key(path), &Span::inactive().handle())
            .await
            .unwrap()
    }

    pub(crate) fn purge(&self, selector: PurgeSelector, soft: bool) -> PurgeReport {
        self.cache.purge(&Purge { selector, soft })
    }

    pub(crate) fn counter(&self, name: &str, label: &str) -> u64 {
        self.registry
            .gather()
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric())
            .filter(|metric| metric.get_label().iter().any(|pair| pair.value() == label))
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

/// Reads to the end; the error is pingora's error type.
pub(crate) async fn drain(reader: &mut HitHandler) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match reader.read_body().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(error) => return Err(error.etype().as_str().to_owned()),
        }
    }
}

pub(crate) fn length(bytes: usize) -> (&'static str, String) {
    ("content-length", bytes.to_string())
}
