//! The parents of each region, as configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mcsp_api::Residency;
use mcsp_edge_fetch::{ParentAddress, Parents};
use mcsp_identity::{DNS_SUFFIX, EDGE_NAMESPACE};
use mcsp_pop_config::{PopManifest, PopSet, Trust};
use mcsp_runtime::SharedClock;

use super::config::{ParentConfig, ShieldConfig};
use super::state::ParentState;
use crate::config::ProxyConfigError;
use crate::upstream::Upstreams;

/// The parents of a region.
#[derive(Debug)]
pub(crate) struct RegionParents {
    pub(super) region: String,
    pub(super) parents: Parents,
    /// The PoP of each, by its id.
    pops: BTreeMap<String, String>,
    /// The ids of those that stand in Nigeria.
    in_nigeria: BTreeSet<String>,
}

impl RegionParents {
    /// May the parent have bytes of this residency? Who is not known to stand in Nigeria does not.
    pub(super) fn may_carry(&self, id: &str, residency: Residency) -> bool {
        residency == Residency::Global || self.in_nigeria.contains(id)
    }
}

/// The parents of all regions.
#[derive(Debug, Default)]
pub(crate) struct AllParents(BTreeMap<String, Arc<RegionParents>>);

impl AllParents {
    /// Looks each up in the PoP configuration and resolves its address, so it blocks. `own` is the node's PoP.
    pub(crate) fn new(
        config: &ShieldConfig,
        own: &PopManifest,
        pops: &PopSet,
        upstreams: &Upstreams,
        clock: &SharedClock,
    ) -> Result<Self, ProxyConfigError> {
        let mut by_region: BTreeMap<&str, Vec<(&ParentConfig, &PopManifest)>> = BTreeMap::new();
        for parent in &config.parent {
            let Some(pop) = pops.get(&parent.pop) else {
                let expected = "a PoP of the PoP configuration";
                return Err(parent.fault("pop", &parent.pop, expected));
            };
            if pop.region != own.region {
                let expected =
                    format!("a PoP whose home region is {:?}, as this one's", own.region);
                return Err(parent.fault("pop", &parent.pop, expected));
            }
            // What a parent says is believed as an origin is.
            if pop.trust != Trust::Own && pop.id != own.id {
                let expected = "a PoP of our own, or this one";
                return Err(parent.fault("pop", &parent.pop, expected));
            }
            if upstreams.region(&parent.region).is_none() {
                let expected = "the id of a [[proxy.upstream.region]]";
                return Err(parent.fault("region", &parent.region, expected));
            }
            let of_region = by_region.entry(parent.region.as_str()).or_default();
            of_region.push((parent, pop));
        }
        let mut all = BTreeMap::new();
        for (region, members) in by_region {
            let addresses: Vec<ParentAddress> = members
                .iter()
                .map(|(parent, pop)| ParentAddress {
                    id: parent.id.clone(),
                    server_name: format!("{}.{EDGE_NAMESPACE}.{DNS_SUFFIX}", pop.id),
                    address: parent.address.clone(),
                })
                .collect();
            let parents =
                Parents::resolve(&addresses, config.parent_policy(), clock).map_err(|error| {
                    ProxyConfigError::new("shield.parent address", error.address, error.expected)
                })?;
            let in_nigeria = members
                .iter()
                .filter(|(_, pop)| Residency::Ng.allows_country(Some(pop.country.as_str())));
            let known = RegionParents {
                region: region.to_owned(),
                parents,
                pops: members
                    .iter()
                    .map(|(parent, pop)| (parent.id.clone(), pop.id.clone()))
                    .collect(),
                in_nigeria: in_nigeria.map(|(parent, _)| parent.id.clone()).collect(),
            };
            all.insert(region.to_owned(), Arc::new(known));
        }
        Ok(Self(all))
    }

    pub(crate) fn of_region(&self, region: &str) -> Option<Arc<RegionParents>> {
        self.0.get(region).cloned()
    }

    pub(super) fn states(&self) -> Vec<ParentState> {
        let of_region = |known: &Arc<RegionParents>| {
            let states = known.parents.states().into_iter();
            let states = states.map(|state| {
                let id = state.id.unwrap_or_default();
                ParentState {
                    region: known.region.clone(),
                    pop: known.pops.get(&id).cloned().unwrap_or_default(),
                    id,
                    address: state.address,
                    is_healthy: state.unhealthy_ms == 0,
                    unhealthy_ms: state.unhealthy_ms,
                    failures: state.failures,
                    in_flight: state.in_flight,
                }
            });
            states.collect::<Vec<_>>()
        };
        self.0.values().flat_map(of_region).collect()
    }
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::ManualClock;

    use super::*;
    use crate::config::{RegionUpstream, UpstreamConfig};

    const REGIONS: &str = r#"
[[region]]
id = "ng-lagos"
code = "ng"
country = "NG"
[[region]]
id = "global-london"
code = "gl"
country = "GB"
"#;

    fn pop(id: &str, country: &str, trust: &str, region: &str) -> String {
        format!(
            "id = \"{id}\"\nname = \"{id}\"\ncountry = \"{country}\"\nlatitude = 6.5\nlongitude = 3.4\n\
             trust = \"{trust}\"\nregion = \"{region}\"\nbase_urls = [\"https://{id}.example\"]\n"
        )
    }

    /// The parents in these PoPs of a node in Lagos, or of one of a partner.
    fn parents_of(own: &str, of: &[&str]) -> Result<AllParents, String> {
        let pops = [
            ("acc1", pop("acc1", "GH", "own", "ng-lagos")),
            ("los1", pop("los1", "NG", "own", "ng-lagos")),
            ("lhr1", pop("lhr1", "GB", "own", "global-london")),
            ("mtn1", pop("mtn1", "NG", "partner", "ng-lagos")),
        ];
        let pops = pops.iter().map(|(id, text)| (*id, text.as_str()));
        let pops = PopSet::from_toml(REGIONS, pops).unwrap();
        let clock: SharedClock = ManualClock::new(0);
        let upstream = UpstreamConfig {
            region: vec![RegionUpstream {
                id: "ng-lagos".to_owned(),
                origin: vec!["127.0.0.1:1".to_owned()],
                origin_server_name: "origin.test".to_owned(),
                storage: Vec::new(),
                storage_server_name: String::new(),
            }],
            ..UpstreamConfig::default()
        };
        let upstreams = Upstreams::new(&upstream, &clock).unwrap();
        let parent = |pop: &&str| ParentConfig {
            id: format!("{pop}-p"),
            pop: (*pop).to_owned(),
            region: "ng-lagos".to_owned(),
            address: "127.0.0.1:2".to_owned(),
        };
        let config = ShieldConfig {
            parent: of.iter().map(parent).collect(),
            ..ShieldConfig::default()
        };
        let own = pops.get(own).unwrap();
        AllParents::new(&config, own, &pops, &upstreams, &clock).map_err(|error| error.to_string())
    }

    #[test]
    fn bytes_of_nigeria_are_asked_of_parents_in_nigeria() {
        let all = parents_of("los1", &["acc1", "los1"]).unwrap();
        let known = all.of_region("ng-lagos").unwrap();
        let may =
            |residency| ["acc1-p", "los1-p", "unknown"].map(|id| known.may_carry(id, residency));
        assert_eq!(may(Residency::Ng), [false, true, false]);
        assert_eq!(may(Residency::Global), [true; 3]);
        assert!(all.of_region("global-london").is_none());
        let pops: Vec<String> = all.states().into_iter().map(|state| state.pop).collect();
        assert_eq!(pops, ["acc1", "los1"]);
    }

    #[test]
    fn a_partners_node_is_no_parent_but_in_its_own_pop() {
        let said = parents_of("los1", &["mtn1"]).unwrap_err();
        assert_eq!(
            said,
            "shield.parent \"mtn1-p\" pop = mtn1: expected a PoP of our own, or this one"
        );
        parents_of("mtn1", &["mtn1", "los1"]).unwrap();
    }

    #[test]
    fn a_parent_follows_the_feed_that_its_children_follow() {
        let said = parents_of("los1", &["lhr1"]).unwrap_err();
        assert!(
            said.contains("pop = lhr1: expected a PoP whose home region is"),
            "{said}"
        );
    }
}
