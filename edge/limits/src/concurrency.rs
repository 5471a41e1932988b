//! What is served at once: connections and requests, of one client and of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::class::Class;
use crate::config::{ConcurrencyConfig, LimitsConfig};
use crate::key::Network;

const SHARDS: usize = 32;
/// Of the requests that may be under way, one in so many is for streams only.
const STREAMS_SHARE: u32 = 10;

/// Why something is not begun now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// This client has as much under way as it may.
    Address,
    /// The class of requests has.
    Class,
    /// The node has.
    Node,
}

impl Busy {
    /// A word for logs and `Cache-Status`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Address => "busy-address",
            Self::Class => "busy-class",
            Self::Node => "busy-node",
        }
    }

    /// Is it the client's own doing, and so a 429, or the node's state, a 503?
    #[must_use]
    pub fn is_clients(self) -> bool {
        self == Self::Address
    }
}

#[derive(Debug, Default)]
struct OfAddress {
    connections: u32,
    requests: u32,
}

/// What is under way. Its memory is bounded by what is: a client without a connection and a request is not known.
#[derive(Debug)]
pub struct Occupancy {
    bounds: ArcSwap<Bounds>,
    requests: AtomicU32,
    api_requests: AtomicU32,
    upload_requests: AtomicU32,
    clients: [Mutex<HashMap<u128, OfAddress>>; SHARDS],
}

/// How much may be under way, and of whom it is counted.
#[derive(Debug)]
struct Bounds {
    max: ConcurrencyConfig,
    exempt: Vec<IpNet>,
    ipv6_prefix: u8,
}

impl ConcurrencyConfig {
    /// Requests of its kind, all together.
    fn of_class(&self, class: Class) -> Option<u32> {
        match class {
            Class::Play | Class::Renewal | Class::ApiRead | Class::ApiWrite | Class::Login => {
                Some(self.api_requests_max)
            }
            Class::Upload => Some(self.upload_requests_max),
            _ => None,
        }
    }
}

impl Bounds {
    fn of(config: &LimitsConfig) -> Self {
        Self {
            max: config.concurrency.clone(),
            exempt: config.exempt.clone(),
            ipv6_prefix: config.ipv6_prefix,
        }
    }

    /// Who is counted; nobody whose address is not known or is exempt.
    fn client(&self, address: Option<IpAddr>) -> Option<u128> {
        let address = address?.to_canonical();
        let is_exempt = self.exempt.iter().any(|network| network.contains(&address));
        (!is_exempt).then(|| Network::of(address, self.ipv6_prefix).number())
    }
}

/// A connection, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ConnectionGuard {
    occupancy: Arc<Occupancy>,
    client: Option<u128>,
}

/// A request, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct RequestGuard {
    occupancy: Arc<Occupancy>,
    client: Option<u128>,
    class: Class,
}

impl Occupancy {
    /// Of a node on which nothing is under way.
    #[must_use]
    pub fn new(config: &LimitsConfig) -> Arc<Self> {
        Arc::new(Self {
            bounds: ArcSwap::from_pointee(Bounds::of(config)),
            requests: AtomicU32::new(0),
            api_requests: AtomicU32::new(0),
            upload_requests: AtomicU32::new(0),
            clients: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Goes by other bounds from now on; what is under way stays so, even where it is more than may be.
    pub fn reload(&self, config: &LimitsConfig) {
        self.bounds.store(Arc::new(Bounds::of(config)));
    }

    /// Begins a connection.
    ///
    /// # Errors
    /// [`Busy::Address`].
    pub fn connection(self: &Arc<Self>, address: Option<IpAddr>) -> Result<ConnectionGuard, Busy> {
        let bounds = self.bounds.load();
        let client = bounds.client(address);
        let max = bounds.max.connections_address_max;
        self.enter(client, |client| raise(&mut client.connections, max))?;
        Ok(ConnectionGuard {
            occupancy: Arc::clone(self),
            client,
        })
    }

    /// Begins a request.
    ///
    /// # Errors
    /// What has too much under way.
    pub fn request(
        self: &Arc<Self>,
        class: Class,
        address: Option<IpAddr>,
    ) -> Result<RequestGuard, Busy> {
        let bounds = self.bounds.load();
        let of_class = self.of_class(class);
        let class_max = of_class.and(bounds.max.of_class(class));
        let all_max = bounds.max.requests_max;
        let max = match class.is_of_a_stream() || class == Class::Plain {
            true => all_max,
            false => all_max - all_max / STREAMS_SHARE,
        };
        if !raise_shared(&self.requests, max) {
            return Err(Busy::Node);
        }
        // From here on the guard gives back what was taken, as far as it was.
        let mut guard = RequestGuard {
            occupancy: Arc::clone(self),
            client: None,
            class: Class::Plain,
        };
        if let (Some(count), Some(max)) = (of_class, class_max) {
            if !raise_shared(count, max) {
                return Err(Busy::Class);
            }
            guard.class = class;
        }
        let client = bounds.client(address);
        let max = bounds.max.requests_address_max;
        self.enter(client, |client| raise(&mut client.requests, max))?;
        guard.client = client;
        Ok(guard)
    }

    /// Requests under way.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// As many as there may be.
    #[must_use]
    pub fn requests_max(&self) -> u32 {
        self.bounds.load().max.requests_max
    }

    /// Clients with something under way.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.iter().map(|shard| shard.lock().len()).sum()
    }

    fn of_class(&self, class: Class) -> Option<&AtomicU32> {
        match class {
            Class::Play | Class::Renewal | Class::ApiRead | Class::ApiWrite | Class::Login => {
                Some(&self.api_requests)
            }
            Class::Upload => Some(&self.upload_requests),
            _ => None,
        }
    }

    fn shard(&self, client: u128) -> &Mutex<HashMap<u128, OfAddress>> {
        let mixed = (client as u64 ^ (client >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.clients[(mixed >> 59) as usize % SHARDS]
    }

    fn enter(
        &self,
        client: Option<u128>,
        raise: impl FnOnce(&mut OfAddress) -> bool,
    ) -> Result<(), Busy> {
        let Some(client) = client else {
            return Ok(());
        };
        let mut shard = self.shard(client).lock();
        // Who has nothing under way may begin something: every bound is at least one.
        if raise(shard.entry(client).or_default()) {
            Ok(())
        } else {
            Err(Busy::Address)
        }
    }

    fn leave(&self, client: Option<u128>, lower: impl FnOnce(&mut OfAddress)) {
        let Some(client) = client else { return };
        let mut shard = self.shard(client).lock();
        let Some(of_address) = shard.get_mut(&client) else {
            return;
        };
        lower(of_address);
        if of_address.connections == 0 && of_address.requests == 0 {
            shard.remove(&client);
        }
        // A flood's memory is given back.
        if shard.capacity() > 1_024 && shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit();
        }
    }
}

fn raise(count: &mut u32, max: u32) -> bool {
    let is_room = *count < max;
    *count += u32::from(is_room);
    is_room
}

fn raise_shared(count: &AtomicU32, max: u32) -> bool {
    if count.fetch_add(1, Ordering::Relaxed) < max {
        return true;
    }
    count.fetch_sub(1, Ordering::Relaxed);
    false
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.occupancy.leave(self.client, |client| {
            client.connections = client.connections.saturating_sub(1);
        });
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let occupancy = &self.occupancy;
        occupancy.leave(self.client, |client| {
            client.requests = client.requests.saturating_sub(1);
        });
        if let Some(count) = occupancy.of_class(self.class) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        occupancy.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
