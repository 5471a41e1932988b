//! What an operator may set of the shield tier.

use std::fmt::Display;
use std::net::SocketAddr;

use mcsp_edge_fetch::{ParentPolicy, Patience, PoolPolicy, Sharding};
use serde::{Deserialize, Serialize};

use crate::config::ProxyConfigError;

/// Parents of one node, at most.
const PARENTS_MAX: usize = 64;

/// The shield tier: the parents that the node asks before it asks an origin, and whether it is a parent itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShieldConfig {
    /// The parents of all regions. Default none: origins are asked; at most 64.
    pub parent: Vec<ParentConfig>,
    /// Where children ask this node. Default none: it is not a parent.
    pub listener: Option<ShieldListenerConfig>,
    /// How much more than the average a parent is asked at once before its objects overflow to the next. Default 1.25;
    /// 1.05 to 10.
    pub load_factor: f64,
    /// Requests in flight that a parent is always given before its objects overflow: few requests are no load, and
    /// spreading them costs hits. Default 32; 1 to 10000.
    pub in_flight_floor: usize,
    /// Requests in flight at the parents of a region together; more wait for their turn. Default 1024; 1 to 100000.
    pub in_flight_max: usize,
    /// How many parents one request may ask before it goes to the origin. Default 2; 1 to 8.
    pub tries_max: usize,
    /// TCP, and TLS on top of it, ms each. Default 500; 10 to 60000.
    pub connect_timeout_ms: u64,
    /// How long each parent is waited for from the request to the end of its answer's head, its own origin included, ms.
    /// Default 3000; 50 to 120000.
    pub head_timeout_ms: u64,
    /// Failures in a row after which a parent is left alone. Default 3; 1 to 100.
    pub failures_max: u32,
    /// For how long at first, ms; twice as long each time that it fails again right after. Default 1000; 10 to 600000.
    pub unhealthy_ms: u64,
    /// For how long at most, ms. Default 30000; `unhealthy_ms` to 600000.
    pub unhealthy_ms_max: u64,
}

/// One parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentConfig {
    /// What its share of the objects is told by: the same on every node that asks it, whatever address they ask it at.
    /// Required; no other parent of the region has it.
    pub id: String,
    /// The PoP that it is a node of, which its certificate must say: one of our own, or this one, since what it says is
    /// believed; and one whose home region is this PoP's: how far both are with the feed is compared. Required.
    pub pop: String,
    /// The region whose objects it is asked for, such as `ng-lagos`. Required.
    pub region: String,
    /// `host:port` of its [`ShieldListenerConfig::address`]. Required.
    pub address: String,
}

/// Where children ask a parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShieldListenerConfig {
    /// Where to listen; port 0 takes any free one. mTLS with the node's identity; edge nodes only. Required.
    pub address: SocketAddr,
    /// Open connections; more are closed at once. Default 4096; 1 to 1000000.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Requests of children at once; more are told to go elsewhere. Default 4096; 1 to 1000000.
    #[serde(default = "requests_max")]
    pub requests_max: usize,
    /// How long a request of a child that is further with the feed than this node waits for it to catch up, ms. Default
    /// 500; 0 to 10000.
    #[serde(default = "catch_up_ms")]
    pub catch_up_ms: u64,
}

fn connections_max() -> usize {
    4_096
}

fn requests_max() -> usize {
    4_096
}

fn catch_up_ms() -> u64 {
    500
}

impl Default for ShieldConfig {
    fn default() -> Self {
        Self {
            parent: Vec::new(),
            listener: None,
            load_factor: 1.25,
            in_flight_floor: 32,
            in_flight_max: 1_024,
            tries_max: 2,
            connect_timeout_ms: 500,
            head_timeout_ms: 3_000,
            failures_max: 3,
            unhealthy_ms: 1_000,
            unhealthy_ms_max: 30_000,
        }
    }
}

fn between<T: PartialOrd + Display>(
    key: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), ProxyConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    let expected = format!("{low} to {high}");
    Err(ProxyConfigError::new(
        format!("shield.{key}"),
        value,
        expected,
    ))
}

impl ShieldConfig {
    /// Checks every value that can be checked without the PoP configuration.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), ProxyConfigError> {
        let parents = &self.parent;
        between("parent (entries)", parents.len(), 0, PARENTS_MAX)?;
        between("load_factor", self.load_factor, 1.05, 10.0)?;
        between("in_flight_floor", self.in_flight_floor, 1, 10_000)?;
        between("in_flight_max", self.in_flight_max, 1, 100_000)?;
        between("tries_max", self.tries_max, 1, 8)?;
        between("connect_timeout_ms", self.connect_timeout_ms, 10, 60_000)?;
        between("head_timeout_ms", self.head_timeout_ms, 50, 120_000)?;
        between("failures_max", self.failures_max, 1, 100)?;
        between("unhealthy_ms", self.unhealthy_ms, 10, 600_000)?;
        let longest_ms = self.unhealthy_ms_max;
        between("unhealthy_ms_max", longest_ms, self.unhealthy_ms, 600_000)?;
        if let Some(listener) = &self.listener {
            let connections_max = listener.connections_max;
            between("listener.connections_max", connections_max, 1, 1_000_000)?;
            between("listener.requests_max", listener.requests_max, 1, 1_000_000)?;
            between("listener.catch_up_ms", listener.catch_up_ms, 0, 10_000)?;
        }
        for (nth, parent) in parents.iter().enumerate() {
            for (key, value) in [
                ("id", &parent.id),
                ("pop", &parent.pop),
                ("region", &parent.region),
                ("address", &parent.address),
            ] {
                if value.is_empty() {
                    return Err(parent.fault(key, "\"\"", "a value"));
                }
            }
            let mut before = parents.iter().take(nth);
            if before.any(|other| (&other.id, &other.region) == (&parent.id, &parent.region)) {
                let expected = "an id that no other parent of the region has";
                return Err(parent.fault("id", &parent.id, expected));
            }
        }
        Ok(())
    }

    /// Without a region there is nothing that parents or children could be asked for.
    pub(crate) fn check_for_no_region(&self) -> Result<(), ProxyConfigError> {
        let expected = "none, since there is no [[proxy.upstream.region]]";
        if let Some(parent) = self.parent.first() {
            return Err(ProxyConfigError::new("shield.parent", &parent.id, expected));
        }
        if let Some(listener) = &self.listener {
            let key = "shield.listener.address";
            return Err(ProxyConfigError::new(key, listener.address, expected));
        }
        Ok(())
    }

    pub(crate) fn parent_policy(&self) -> ParentPolicy {
        ParentPolicy {
            sharding: Sharding {
                load_factor: self.load_factor,
                in_flight_floor: self.in_flight_floor,
            },
            tries_max: self.tries_max,
            patience: Patience {
                connect_timeout_ms: self.connect_timeout_ms,
                head_timeout_ms: self.head_timeout_ms,
            },
            pool: PoolPolicy {
                failures_max: self.failures_max,
                unhealthy_ms: self.unhealthy_ms,
                unhealthy_ms_max: self.unhealthy_ms_max,
                in_flight_max: self.in_flight_max,
                ..PoolPolicy::default()
            },
        }
    }
}

impl ParentConfig {
    pub(crate) fn fault(
        &self,
        key: &str,
        value: impl Display,
        expected: impl Into<String>,
    ) -> ProxyConfigError {
        let key = format!("shield.parent {:?} {key}", self.id);
        ProxyConfigError::new(key, value, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(id: &str) -> ParentConfig {
        ParentConfig {
            id: id.to_owned(),
            pop: "los1".to_owned(),
            region: "ng-lagos".to_owned(),
            address: "127.0.0.1:1".to_owned(),
        }
    }

    fn said(config: &ShieldConfig) -> String {
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        ShieldConfig::default().validate().unwrap();
        let mut config = ShieldConfig {
            parent: vec![parent("a"), parent("a")],
            ..ShieldConfig::default()
        };
        assert_eq!(
            said(&config),
            "shield.parent \"a\" id = a: expected an id that no other parent of the region has"
        );
        config.parent[1].region = "global-london".to_owned();
        config.validate().unwrap();
        config.parent[1].pop.clear();
        assert_eq!(
            said(&config),
            "shield.parent \"a\" pop = \"\": expected a value"
        );
        let config = ShieldConfig {
            unhealthy_ms: 40_000,
            ..ShieldConfig::default()
        };
        assert_eq!(
            said(&config),
            "shield.unhealthy_ms_max = 30000: expected 40000 to 600000"
        );
    }
}
