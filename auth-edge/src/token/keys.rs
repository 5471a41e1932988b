//! The keys of all regions, by id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::jose::JwsKey;

/// A key of a region.
#[derive(Debug)]
pub(super) struct VerifyKey {
    pub(super) region: Arc<str>,
    pub(super) key: JwsKey,
    /// When the region's keys were last known to be current, Unix milliseconds. Shared by all of them.
    pub(super) confirmed_ms: Arc<AtomicI64>,
}

/// What one region publishes.
#[derive(Debug)]
pub(super) struct RegionKeys {
    pub(super) jwks_json: Box<str>,
    pub(super) keys: Vec<JwsKey>,
    pub(super) confirmed_ms: Arc<AtomicI64>,
}

/// The union of all regions' keys, by key id. Two regions may use the same id; both keys are tried.
#[derive(Debug, Default)]
pub(super) struct KeyUnion {
    by_kid: HashMap<String, Vec<VerifyKey>>,
}

impl KeyUnion {
    pub(super) fn build<'a>(sets: impl Iterator<Item = (&'a String, &'a RegionKeys)>) -> Self {
        let mut by_kid: HashMap<String, Vec<VerifyKey>> = HashMap::new();
        for (region, set) in sets {
            let region: Arc<str> = region.as_str().into();
            for key in &set.keys {
                by_kid.entry(key.kid.clone()).or_default().push(VerifyKey {
                    region: Arc::clone(&region),
                    key: key.clone(),
                    confirmed_ms: Arc::clone(&set.confirmed_ms),
                });
            }
        }
        Self { by_kid }
    }

    pub(super) fn find(&self, kid: &str) -> &[VerifyKey] {
        self.by_kid.get(kid).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_kid.is_empty()
    }
}
