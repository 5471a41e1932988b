//! The addresses of one kind of upstream: the least-loaded healthy one first.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use mcsp_runtime::SharedClock;

use thiserror::Error;

use crate::gate::Gate;
use crate::shield::{Sharding, ShieldConfig, preference, shard_hash};

/// How much a pool is asked, and when an address of it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// Failures in a row after which an address is left alone, at least 1. Default 3.
    pub failures_max: u32,
    /// For how long, ms. Default 2000.
    pub unhealthy_ms: u64,
    /// Requests that a [`crate::Fetcher`] makes of the pool at once; more wait for their turn. Default 1024; at least 1.
    pub in_flight_max: usize,
    /// Requests that may wait for their turn; more are refused at once. Default 4096.
    pub waiting_max: usize,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            failures_max: 3,
            unhealthy_ms: 2_000,
            in_flight_max: 1_024,
            waiting_max: 4_096,
        }
    }
}

/// A pool's addresses are not addresses.
#[derive(Debug, Error)]
#[error("{address}: expected {expected}")]
pub struct ResolveError {
    /// What was given.
    pub address: String,
    /// What was expected of it.
    pub expected: String,
}

/// Addresses that are asked under one name.
#[derive(Debug)]
pub struct Pool {
    server_name: String,
    addresses: Vec<Address>,
    policy: PoolPolicy,
    gate: Arc<Gate>,
    clock: SharedClock,
}

#[derive(Debug)]
struct Address {
    socket: SocketAddr,
    /// What its share of the objects is told by, where they are shared out.
    shard: u64,
    in_flight: AtomicUsize,
    /// In a row.
    failures: AtomicU32,
    /// Left alone until then, Unix milliseconds.
    unhealthy_until_ms: AtomicI64,
}

/// One request's use of an address; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    place: usize,
}

impl Pool {
    /// Resolves each `host:port` once. Blocks.
    ///
    /// # Errors
    /// When one is not of this form or has no address, or when there are none.
    pub fn resolve(
        addresses: &[String],
        server_name: &str,
        policy: PoolPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        let mut known: Vec<Address> = Vec::new();
        for address in addresses {
            let found = address.to_socket_addrs().map_err(|error| ResolveError {
                address: address.clone(),
                expected: format!("host:port ({error})"),
            })?;
            for socket in found {
                if known.iter().all(|address| address.socket != socket) {
                    let shard = shard_hash(socket.to_string().as_bytes());
                    known.push(Address::new(socket, shard));
                }
            }
        }
        Self::of(known, server_name, policy, clock)
    }

    /// The parents of one region, among which objects are shared out: one address each, told by its id. Blocks.
    ///
    /// # Errors
    /// When an address is not of the form `host:port` or resolves to nothing, or the region has no parents.
    pub fn of_parents(
        shield: &ShieldConfig,
        region: &str,
        policy: PoolPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        let mut known = Vec::new();
        for parent in &shield.parent {
            if parent.region != region {
                continue;
            }
            let mut found = parent
                .address
                .to_socket_addrs()
                .map_err(|error| ResolveError {
                    address: parent.address.clone(),
                    expected: format!("host:port ({error})"),
                })?;
            let shard = shard_hash(parent.id.as_bytes());
            known.extend(found.next().map(|socket| Address::new(socket, shard)));
        }
        Self::of(known, &shield.server_name, policy, clock)
    }

    fn of(
        addresses: Vec<Address>,
        server_name: &str,
        policy: PoolPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        if addresses.is_empty() {
            return Err(ResolveError {
                address: server_name.to_owned(),
                expected: "a name with an address".to_owned(),
            });
        }
        Ok(Self {
            server_name: server_name.to_owned(),
            addresses,
            policy,
            gate: Gate::new(policy.in_flight_max, policy.waiting_max),
            clock: Arc::clone(clock),
        })
    }

    /// What its certificates are checked against, and the `Host` it is asked for.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Takes the least-loaded healthy address whose place is not in `tried`; if none is healthy, the one that is due
    /// soonest: an outage of all ends with somebody trying. `None` when every place was tried.
    #[must_use]
    pub fn lease(self: &Arc<Self>, tried: &[usize]) -> Option<Lease> {
        let now_ms = self.clock.now_ms();
        let rank = |address: &Address| {
            let until_ms = address.unhealthy_until_ms.load(Ordering::Relaxed);
            (
                until_ms.max(now_ms),
                address.in_flight.load(Ordering::Relaxed),
            )
        };
        let (place, address) = self
            .addresses
            .iter()
            .enumerate()
            .filter(|(place, _)| !tried.contains(place))
            .min_by_key(|(_, address)| rank(address))?;
        address.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Lease {
            pool: Arc::clone(self),
            place,
        })
    }

    /// Takes the healthy address that `object` prefers among those below their bound, by [`crate::preference`]; where no
    /// address is healthy, as [`Pool::lease`] does.
    #[must_use]
    pub fn lease_for(
        self: &Arc<Self>,
        object: u64,
        sharding: Sharding,
        tried: &[usize],
    ) -> Option<Lease> {
        let now_ms = self.clock.now_ms();
        let is_usable = |place: &usize, address: &Address| {
            !tried.contains(place) && address.unhealthy_until_ms.load(Ordering::Relaxed) <= now_ms
        };
        let usable = || {
            self.addresses
                .iter()
                .enumerate()
                .filter(|(place, address)| is_usable(place, address))
        };
        let (members, in_flight) = usable().fold((0, 0), |(members, sum), (_, address)| {
            (members + 1, sum + address.in_flight.load(Ordering::Relaxed))
        });
        let capacity = sharding.capacity(in_flight, members);
        let order = preference(object, self.addresses.iter().map(|address| address.shard));
        for place in order {
            let Some(address) = self.addresses.get(place) else {
                continue;
            };
            let taken = is_usable(&place, address)
                && address
                    .in_flight
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |load| {
                        (load < capacity).then_some(load + 1)
                    })
                    .is_ok();
            if taken {
                return Some(Lease {
                    pool: Arc::clone(self),
                    place,
                });
            }
        }
        self.lease(tried)
    }

    /// Is there an address whose place is not in `tried`?
    #[must_use]
    pub fn has_another(&self, tried: &[usize]) -> bool {
        (0..self.addresses.len()).any(|place| !tried.contains(&place))
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Every address, in order of place.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| address.socket)
    }
}

impl Address {
    fn new(socket: SocketAddr, shard: u64) -> Self {
        Self {
            socket,
            shard,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            unhealthy_until_ms: AtomicI64::new(i64::MIN),
        }
    }
}

impl Lease {
    /// Whose address it is.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The address's place in its pool, as [`Pool::lease`] takes it in `tried`.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    fn address(&self) -> Option<&Address> {
        self.pool.addresses.get(self.place)
    }

    /// Where to connect to.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        self.address().map(|address| address.socket)
    }

    /// The address answered.
    pub fn succeeded(&self) {
        if let Some(address) = self.address() {
            address.failures.store(0, Ordering::Relaxed);
            address
                .unhealthy_until_ms
                .store(i64::MIN, Ordering::Relaxed);
        }
    }

    /// The address could not be reached, broke off or did not answer in time.
    pub fn failed(&self) {
        let policy = self.pool.policy;
        if let Some(address) = self.address()
            && address.failures.fetch_add(1, Ordering::Relaxed) + 1 >= policy.failures_max
        {
            let unhealthy_ms = i64::try_from(policy.unhealthy_ms).unwrap_or(i64::MAX);
            let until_ms = self.pool.clock.now_ms().saturating_add(unhealthy_ms);
            address
                .unhealthy_until_ms
                .store(until_ms, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(address) = self.address() {
            address.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcsp_runtime::ManualClock;

    use super::*;

    fn pool(clock: &Arc<ManualClock>) -> Arc<Pool> {
        let clock: SharedClock = Arc::clone(clock) as SharedClock;
        let addresses = [
            "127.0.0.1:1".to_owned(),
            "127.0.0.1:2".to_owned(),
            "127.0.0.1:3".to_owned(),
        ];
        Arc::new(Pool::resolve(&addresses, "origin", PoolPolicy::default(), &clock).unwrap())
    }

    fn port(lease: &Lease) -> u16 {
        lease.socket().unwrap().port()
    }

    #[test]
    fn load_spreads_and_comes_back() {
        let pool = pool(&ManualClock::new(0));
        let leases: Vec<_> = (0..3).map(|_| pool.lease(&[]).unwrap()).collect();
        assert_eq!(leases.iter().map(port).collect::<Vec<_>>(), [1, 2, 3]);
        drop(leases.into_iter().nth(1));
        // The first and the last were dropped too.
        assert_eq!(port(&pool.lease(&[]).unwrap()), 1);
    }

    #[test]
    fn a_failing_address_is_left_alone_for_a_while() {
        let clock = ManualClock::new(0);
        let pool = pool(&clock);
        for _ in 0..3 {
            let lease = pool.lease(&[1, 2]).unwrap();
            assert_eq!(port(&lease), 1, "not yet, or the only one left");
            lease.failed();
        }
        assert_eq!(port(&pool.lease(&[]).unwrap()), 2);
        clock.advance(Duration::from_millis(2_000));
        let lease = pool.lease(&[]).unwrap();
        assert_eq!(port(&lease), 1, "it is tried again");
        lease.failed();
        drop(lease);
        assert_eq!(
            port(&pool.lease(&[]).unwrap()),
            2,
            "and one failure more is enough"
        );
        clock.advance(Duration::from_millis(2_000));
        let lease = pool.lease(&[]).unwrap();
        lease.succeeded();
        drop(lease);
        assert_eq!(port(&pool.lease(&[]).unwrap()), 1);
    }

    #[test]
    fn when_all_fail_the_one_due_soonest_is_tried() {
        let clock = ManualClock::new(0);
        let pool = pool(&clock);
        for place in [2, 0, 1] {
            let others: Vec<usize> = (0..3).filter(|other| *other != place).collect();
            for _ in 0..3 {
                pool.lease(&others).unwrap().failed();
            }
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(port(&pool.lease(&[]).unwrap()), 3);
        assert!(pool.lease(&[0, 1, 2]).is_none());
        assert!(pool.has_another(&[0, 1]) && !pool.has_another(&[0, 1, 2]));
    }

    #[test]
    fn an_object_keeps_to_its_address_until_that_is_full_or_fails() {
        let clock = ManualClock::new(0);
        let pool = pool(&clock);
        let sharding = Sharding {
            load_factor: 1.25,
            in_flight_floor: 2,
        };
        let home = pool.lease_for(7, sharding, &[]).unwrap();
        let again = pool.lease_for(7, sharding, &[]).unwrap();
        assert_eq!(home.place(), again.place());
        let overflow = pool.lease_for(7, sharding, &[]).unwrap();
        assert_ne!(overflow.place(), home.place(), "two are its bound");
        drop(again);
        assert_eq!(
            pool.lease_for(7, sharding, &[]).unwrap().place(),
            home.place()
        );
        for _ in 0..3 {
            home.failed();
        }
        let second = pool.lease_for(7, sharding, &[]).unwrap();
        assert_eq!(
            second.place(),
            overflow.place(),
            "the next in the same order"
        );
        let third = pool.lease_for(7, sharding, &[second.place()]).unwrap();
        let last = pool
            .lease_for(7, sharding, &[second.place(), third.place()])
            .unwrap();
        assert_eq!(last.place(), home.place(), "the only one left is tried");
        clock.advance(Duration::from_millis(2_000));
        drop(last);
        assert_eq!(
            pool.lease_for(7, sharding, &[]).unwrap().place(),
            home.place()
        );
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let clock: SharedClock = ManualClock::new(0);
        let error =
            Pool::resolve(&["nowhere".to_owned()], "o", PoolPolicy::default(), &clock).unwrap_err();
        assert!(
            error.to_string().starts_with("nowhere: expected host:port"),
            "{error}"
        );
    }
}
