//! Origins of each region. Where they are, how they do and how they are spoken to is the business of
//! [`mcsp_edge_fetch`].

use std::collections::BTreeMap;
use std::sync::Arc;

use mcsp_runtime::SharedClock;

pub(crate) use mcsp_edge_fetch::{Lease, PeerIdentity, Pool};

use crate::config::{ProxyConfigError, UpstreamConfig};
use crate::outage::Outage;

/// A region's origins.
#[derive(Debug)]
pub(crate) struct Region {
    id: String,
    pub(crate) origin: Arc<Pool>,
    pub(crate) storage: Option<Arc<Pool>>,
    /// Whether they answer at all, of what is kept.
    pub(crate) outage: Arc<Outage>,
}

impl Region {
    /// Such as `ng-lagos`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Every region that this node can reach.
#[derive(Debug)]
pub(crate) struct Upstreams {
    regions: BTreeMap<String, Arc<Region>>,
}

impl Upstreams {
    /// Resolves every address. Blocks.
    pub(crate) fn new(
        config: &UpstreamConfig,
        clock: &SharedClock,
    ) -> Result<Self, ProxyConfigError> {
        let mut regions = BTreeMap::new();
        for region in &config.region {
            let pool = |addresses: &[String], name: &str| {
                Pool::resolve(addresses, name, config.pool_policy(), clock)
                    .map(Arc::new)
                    .map_err(|error| {
                        ProxyConfigError::new("upstream address", error.address, error.expected)
                    })
            };
            let known = Region {
                outage: Arc::new(Outage::new(region.id.clone())),
                id: region.id.clone(),
                origin: pool(&region.origin, &region.origin_server_name)?,
                storage: match region.storage.as_slice() {
                    [] => None,
                    addresses => Some(pool(addresses, &region.storage_server_name)?),
                },
            };
            if regions.insert(region.id.clone(), Arc::new(known)).is_some() {
                return Err(ProxyConfigError::new(
                    "upstream.region id",
                    &region.id,
                    "an id that no other region has",
                ));
            }
        }
        Ok(Self { regions })
    }

    /// In the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Region>> {
        self.regions.values()
    }

    pub(crate) fn region(&self, id: &str) -> Option<Arc<Region>> {
        self.regions.get(id).cloned()
    }
}
