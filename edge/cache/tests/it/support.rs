//! What every test of the engine needs.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mcsp_edge_cache::engine::{
    Backing, BodyPlan, Cache, CacheConfig, Entity, Filling, Join, Key, Lead, Lifetimes, Lookup,
    NewResponse, Purge, PurgeReport, PurgeSelector, ReadError, Reader, Refused, StoredHead,
    Variant, surrogate_keys,
};
use mcsp_runtime::{Clock as _, ManualClock};
use prometheus::Registry;

/// 2026-11-22; objects stay fresh for a minute.
pub(crate) const NOW_MS: i64 = 1_795_305_600_000;
pub(crate) const FRESH_MS: i64 = 60_000;
pub(crate) const CHUNK: usize = 256 << 10;

pub(crate) struct Harness {
    pub(crate) cache: Cache,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
}

pub(crate) fn small() -> CacheConfig {
    CacheConfig {
        memory_bytes: 8 << 20,
        object_bytes_max: 2 << 20,
        fill_bytes_max: 4 << 20,
        pinned_bytes_max: 2 << 20,
        stream_window_bytes: 64 << 10,
        waiters_max: 100,
        variants_max: 4,
        ..CacheConfig::default()
    }
}

/// A request that selects nothing in particular.
pub(crate) fn any() -> HeaderMap {
    HeaderMap::new()
}

pub(crate) fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect()
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with(small())
    }

    pub(crate) fn with(config: CacheConfig) -> Self {
        let clock = ManualClock::new(NOW_MS);
        let registry = Registry::new();
        let cache = Cache::open(config, clock.clone(), &registry).unwrap();
        Self {
            cache,
            clock,
            registry,
        }
    }

    pub(crate) fn backed(config: CacheConfig, backing: Backing) -> Self {
        let clock = ManualClock::new(NOW_MS);
        let registry = Registry::new();
        let cache = Cache::open_with(config, clock.clone(), &registry, backing).unwrap();
        Self {
            cache,
            clock,
            registry,
        }
    }

    pub(crate) fn head(&self, fields: &[(&str, &str)]) -> StoredHead {
        let now = self.clock.now_ms();
        let lifetimes = Lifetimes {
            received_ms: now,
            fresh_until_ms: now + FRESH_MS,
            ..Lifetimes::default()
        };
        StoredHead::new(StatusCode::OK, headers(fields), lifetimes)
    }

    /// A whole response without variants.
    pub(crate) fn whole(&self, len: Option<usize>, fields: &[(&str, &str)]) -> NewResponse {
        let head = self.head(fields);
        let tags = surrogate_keys(&head.headers).unwrap();
        NewResponse {
            head,
            body: BodyPlan::Whole {
                total_len: len.map(|len| len as u64),
            },
            variant: Variant::default(),
            tags,
        }
    }

    pub(crate) fn part(&self, start: usize, end: usize, total: usize) -> NewResponse {
        NewResponse {
            body: BodyPlan::Part {
                range: start as u64..end as u64,
                total_len: total as u64,
            },
            ..self.whole(None, &[])
        }
    }

    pub(crate) fn lead(&self, key: &str) -> Lead {
        lead(
            self.cache
                .join(Key::new(key), &any(), self.cache.ticket(), None),
        )
    }

    pub(crate) fn begin(&self, key: &str, len: Option<usize>) -> Filling {
        self.try_begin(key, len).unwrap()
    }

    pub(crate) fn try_begin(&self, key: &str, len: Option<usize>) -> Result<Filling, Refused> {
        self.lead(key).begin(self.whole(len, &[]))
    }

    /// Stores a response without suspending: nothing that is small streams.
    pub(crate) async fn store(&self, key: &str, body: &[u8], fields: &[(&str, &str)]) {
        let mut filling = self
            .lead(key)
            .begin(self.whole(Some(body.len()), fields))
            .unwrap();
        for piece in body.chunks(50_000) {
            filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        filling.complete().unwrap();
    }

    pub(crate) fn hit(&self, key: &str) -> Option<Arc<Entity>> {
        self.hit_for(key, &any())
    }

    pub(crate) fn hit_for(&self, key: &str, request: &HeaderMap) -> Option<Arc<Entity>> {
        match self.cache.lookup(Key::new(key), request) {
            Lookup::Hit(entity) => Some(entity),
            Lookup::OnDisk | Lookup::Miss(_) => None,
        }
    }

    /// From memory, or else from the disk.
    pub(crate) async fn hit_or_load(&self, key: &str, request: &HeaderMap) -> Option<Arc<Entity>> {
        let key = Key::new(key);
        let found = match self.cache.lookup(key, request) {
            Lookup::OnDisk => self.cache.load(key, request).await,
            found => found,
        };
        match found {
            Lookup::Hit(entity) => Some(entity),
            Lookup::OnDisk | Lookup::Miss(_) => None,
        }
    }

    pub(crate) fn purge(&self, selector: PurgeSelector, soft: bool) -> PurgeReport {
        self.cache.purge(&Purge { selector, soft })
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.unwrap().get_metric()[0].get_gauge().get_value()
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

pub(crate) fn lead(join: Join) -> Lead {
    match join {
        Join::Lead(lead) => lead,
        Join::Follow(follow) => panic!("somebody else leads: {follow:?}"),
    }
}

pub(crate) fn whole(entity: &Arc<Entity>) -> Reader {
    entity.reader(0..u64::MAX)
}

/// Reads to the end.
pub(crate) async fn drain(mut reader: Reader) -> Result<Vec<u8>, ReadError> {
    read_on(&mut reader).await
}

pub(crate) async fn read_on(reader: &mut Reader) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(piece) = reader.next().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Was exactly this read? Says where it differs, and does not print it all.
pub(crate) fn assert_read(read: &Result<Vec<u8>, ReadError>, wanted: &[u8]) {
    match read {
        Ok(read) if read == wanted => {}
        Ok(read) => {
            let at = read.iter().zip(wanted).position(|(a, b)| a != b);
            panic!(
                "{} bytes for {}, differing at {at:?}",
                read.len(),
                wanted.len()
            );
        }
        Err(error) => panic!("{error}"),
    }
}
