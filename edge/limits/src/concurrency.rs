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
    /// The wider IPv6 network that it is in has.
    Aggregate,
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
            Self::Aggregate => "busy-aggregate",
            Self::Class => "busy-class",
            Self::Node => "busy-node",
        }
    }

    /// Is it the client's own doing, and so a 429, or the node's state, a 503?
    #[must_use]
    pub fn is_clients(self) -> bool {
        matches!(self, Self::Address | Self::Aggregate)
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
    ipv6_aggregate_prefix: u8,
    ipv6_aggregate_factor: u32,
}

/// Whose it is. Who owns many networks that count as one client each has them counted together as well: a second bound, wider
/// than the first.
#[derive(Debug, Clone, Copy)]
struct Owner {
    client: u128,
    aggregate: Option<u128>,
}

/// Marks the number of a wider network, so that it is nobody's own.
const AGGREGATE: u128 = 1 << 65;

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
            ipv6_aggregate_prefix: config.ipv6_aggregate_prefix,
            ipv6_aggregate_factor: config.ipv6_aggregate_factor,
        }
    }

    /// Who is counted; nobody whose address is not known or is exempt.
    fn owner(&self, address: Option<IpAddr>) -> Option<Owner> {
        let address = address?.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&address)) {
            return None;
        }
        let client = Network::of(address, self.ipv6_prefix);
        let aggregate = client.aggregate(self.ipv6_aggregate_prefix);
        Some(Owner {
            client: client.number(),
            aggregate: aggregate.map(|wider| wider.number() | AGGREGATE),
        })
    }

    /// Of a wider network, where one client may have so many.
    fn aggregate_max(&self, client_max: u32) -> u32 {
        client_max.saturating_mul(self.ipv6_aggregate_factor)
    }
}

/// A connection, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ConnectionGuard {
    occupancy: Arc<Occupancy>,
    owner: Option<Owner>,
}

/// A request, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct RequestGuard {
    occupancy: Arc<Occupancy>,
    owner: Option<Owner>,
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
    /// [`Busy::Address`] and [`Busy::Aggregate`].
    pub fn connection(self: &Arc<Self>, address: Option<IpAddr>) -> Result<ConnectionGuard, Busy> {
        let bounds = self.bounds.load();
        let owner = bounds.owner(address);
        let max = bounds.max.connections_address_max;
        self.enter(owner, [max, bounds.aggregate_max(max)], |of| {
            &mut of.connections
        })?;
        Ok(ConnectionGuard {
            occupancy: Arc::clone(self),
            owner,
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
            owner: None,
            class: Class::Plain,
        };
        if let (Some(count), Some(max)) = (of_class, class_max) {
            if !raise_shared(count, max) {
                return Err(Busy::Class);
            }
            guard.class = class;
        }
        let owner = bounds.owner(address);
        let max = bounds.max.requests_address_max;
        self.enter(owner, [max, bounds.aggregate_max(max)], |of| {
            &mut of.requests
        })?;
        guard.owner = owner;
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
        let of_shard = |shard: &Mutex<HashMap<u128, OfAddress>>| {
            let shard = shard.lock();
            shard.keys().filter(|key| *key & AGGREGATE == 0).count()
        };
        self.clients.iter().map(of_shard).sum()
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

    /// Counts one for a client and for the wider network that it is in, or for neither.
    fn enter(
        &self,
        owner: Option<Owner>,
        [client_max, aggregate_max]: [u32; 2],
        count: impl Fn(&mut OfAddress) -> &mut u32,
    ) -> Result<(), Busy> {
        let Some(Owner { client, aggregate }) = owner else {
            return Ok(());
        };
        if !self.enter_one(client, client_max, &count) {
            return Err(Busy::Address);
        }
        match aggregate {
            Some(wider) if !self.enter_one(wider, aggregate_max, &count) => {
                self.leave_one(client, &count);
                Err(Busy::Aggregate)
            }
            _ => Ok(()),
        }
    }

    fn enter_one(&self, key: u128, max: u32, count: &impl Fn(&mut OfAddress) -> &mut u32) -> bool {
        let mut shard = self.shard(key).lock();
        // Who has nothing under way may begin something: every bound is at least one.
        raise(count(shard.entry(key).or_default()), max)
    }

    fn leave(&self, owner: Option<Owner>, count: impl Fn(&mut OfAddress) -> &mut u32) {
        let Some(Owner { client, aggregate }) = owner else {
            return;
        };
        self.leave_one(client, &count);
        if let Some(wider) = aggregate {
            self.leave_one(wider, &count);
        }
    }

    fn leave_one(&self, key: u128, count: &impl Fn(&mut OfAddress) -> &mut u32) {
        let mut shard = self.shard(key).lock();
        let Some(of_address) = shard.get_mut(&key) else {
            return;
        };
        let left = count(of_address);
        *left = left.saturating_sub(1);
        if of_address.connections == 0 && of_address.requests == 0 {
            shard.remove(&key);
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
        self.occupancy.leave(self.owner, |of| &mut of.connections);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let occupancy = &self.occupancy;
        occupancy.leave(self.owner, |of| &mut of.requests);
        if let Some(count) = occupancy.of_class(self.class) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        occupancy.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
