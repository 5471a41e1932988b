//! Where users come from, and what they play on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::random::Random;
use crate::trace::Trace;

/// A kind of device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Names it in reports.
    pub name: String,
    /// Its share among the devices' weights.
    #[serde(default = "one")]
    pub weight: f64,
    /// Height of its screen, lines; 0: any.
    #[serde(default)]
    pub max_height: u32,
    /// What its link carries; without bounds when nothing is said.
    #[serde(default)]
    pub bandwidth: Trace,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            name: "any".to_owned(),
            weight: 1.0,
            max_height: 0,
            bandwidth: Trace::default(),
        }
    }
}

/// Where users come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Names it in reports.
    pub name: String,
    /// Its share among the places' weights.
    #[serde(default = "one")]
    pub weight: f64,
    /// The addresses that its users' connections come from; the machine must have them.
    pub source_addresses: IpNet,
    /// The API's base for its users, when it is not `targets.api`.
    #[serde(default)]
    pub api: Option<Url>,
}

pub(crate) fn one() -> f64 {
    1.0
}

impl Place {
    /// One of its hosts' addresses; never the network's or the broadcast address where there are others.
    #[must_use]
    pub fn address(&self, random: &mut Random) -> IpAddr {
        match self.source_addresses {
            IpNet::V4(net) => {
                let size = 1_u64 << (32 - u32::from(net.prefix_len()));
                let (first, hosts) = if size > 2 { (1, size - 2) } else { (0, size) };
                let host = u32::try_from(first + random.below(hosts)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(net.network()) | host))
            }
            IpNet::V6(net) => {
                let bits = 128 - u32::from(net.prefix_len());
                let host = if bits >= 64 {
                    u128::from(random.next_u64())
                } else {
                    u128::from(random.below(1_u64 << bits))
                };
                IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) | host))
            }
        }
    }
}
