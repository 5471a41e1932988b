//! The addresses of one kind of upstream: the least-loaded healthy one first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use mcsp_runtime::SharedClock;
use thiserror::Error;

use crate::addresses::{self, Address, Name};
use crate::gate::Gate;
use crate::shield::{Sharding, preference};

/// How much a pool is asked, and when an address of it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// Failures in a row after which an address is left alone, at least 1. Default 3.
    pub failures_max: u32,
    /// For how long at first, ms; twice as long each time that it fails again right after. Default 2000.
    pub unhealthy_ms: u64,
    /// For how long at most, ms; never shorter than `unhealthy_ms`. Default 2000.
    pub unhealthy_ms_max: u64,
    /// Requests that a [`crate::Fetcher`] makes of the pool at once; more wait for their turn. Default 1024; at least 1.
    pub in_flight_max: usize,
    /// Requests that may wait for their turn; more are refused at once. Default 4096.
    pub waiting_max: usize,
    /// How often the names are looked up again, while the pool is asked, ms. Default 10000.
    pub lookup_ms: u64,
}

impl PoolPolicy {
    fn lookup_ms(&self) -> i64 {
        i64::try_from(self.lookup_ms).unwrap_or(i64::MAX)
    }

    /// For how long an address is left alone that was so `before` times in a row.
    fn backoff_ms(&self, before: u32) -> i64 {
        let doubled = self.unhealthy_ms.saturating_mul(1 << before.min(16));
        let bound = self.unhealthy_ms_max.max(self.unhealthy_ms);
        i64::try_from(doubled.min(bound)).unwrap_or(i64::MAX)
    }
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            failures_max: 3,
            unhealthy_ms: 2_000,
            unhealthy_ms_max: 2_000,
            in_flight_max: 1_024,
            waiting_max: 4_096,
            lookup_ms: 10_000,
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
    names: Vec<Name>,
    /// What the names stand for, as far as is known.
    addresses: ArcSwap<Vec<Arc<Address>>>,
    /// When they are next looked up, Unix milliseconds; never where they are addresses themselves.
    lookup_due_ms: AtomicI64,
    policy: PoolPolicy,
    gate: Arc<Gate>,
    clock: SharedClock,
}

/// One request's use of an address; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    address: Arc<Address>,
    place: usize,
    /// The first since the address was left alone: whether it is back hangs on this one.
    is_probe: bool,
}

/// How an address does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressState {
    /// A parent's id; absent for origins.
    pub id: Option<String>,
    /// Where it is.
    pub address: SocketAddr,
    /// Requests under way.
    pub in_flight: usize,
    /// Failures in a row.
    pub failures: u32,
    /// For how long it is left alone still, ms; 0 for one that is healthy.
    pub unhealthy_ms: u64,
}

impl Pool {
    /// Looks each `host:port` up. Blocks.
    ///
    /// # Errors
    /// When one is not of this form or has no address, or when there are none.
    pub fn resolve(
        addresses: &[String],
        server_name: &str,
        policy: PoolPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        let names = addresses.iter().map(|address| Name {
            text: address.clone(),
            parent: None,
        });
        Self::of(names.collect(), server_name, policy, clock)
    }

    /// Of addresses that have names of their own, such as parents. Blocks.
    ///
    /// # Errors
    /// As [`Pool::resolve`].
    pub(crate) fn of(
        names: Vec<Name>,
        server_name: &str,
        policy: PoolPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        let found = addresses::look_up(&names)?;
        if found.is_empty() {
            let texts: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
            return Err(ResolveError {
                address: texts.join(", "),
                expected: "a name with an address".to_owned(),
            });
        }
        let lookup_due_ms = if addresses::may_change(&names) {
            clock.now_ms().saturating_add(policy.lookup_ms())
        } else {
            i64::MAX
        };
        Ok(Self {
            server_name: server_name.to_owned(),
            names,
            addresses: ArcSwap::from_pointee(found),
            lookup_due_ms: AtomicI64::new(lookup_due_ms),
            policy,
            gate: Gate::new(policy.in_flight_max, policy.waiting_max),
            clock: Arc::clone(clock),
        })
    }

    /// Looks the names up again beside the request that finds it is time; needs a runtime.
    pub(crate) fn look_up_if_due(self: &Arc<Self>) {
        let now_ms = self.clock.now_ms();
        let due_ms = self.lookup_due_ms.load(Ordering::Relaxed);
        if now_ms < due_ms {
            return;
        }
        let next_ms = now_ms.saturating_add(self.policy.lookup_ms());
        let is_ours = self
            .lookup_due_ms
            .compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if is_ours {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                let before = pool.addresses.load_full();
                if let Some(found) = addresses::look_up_again(&pool.names, &before).await {
                    pool.addresses.store(Arc::new(found));
                }
            });
        }
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
        let addresses = self.addresses.load();
        let (place, address) = addresses
            .iter()
            .enumerate()
            .filter(|(place, _)| !tried.contains(place))
            .min_by_key(|(_, address)| rank(address))?;
        address.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(self.lease_of(address, place, false))
    }

    /// Its place among those in flight is taken.
    fn lease_of(self: &Arc<Self>, address: &Arc<Address>, place: usize, is_probe: bool) -> Lease {
        Lease {
            pool: Arc::clone(self),
            address: Arc::clone(address),
            place,
            is_probe,
        }
    }

    /// Takes the healthy address that `object` prefers among those below their bound, by [`preference`]. Of one that
    /// was left alone and may be back, one request at a time finds out. `None` when there is none.
    #[must_use]
    pub(crate) fn lease_for(
        self: &Arc<Self>,
        object: u64,
        sharding: Sharding,
        tried: &[usize],
    ) -> Option<Lease> {
        let now_ms = self.clock.now_ms();
        let addresses = self.addresses.load();
        let is_usable = |place: usize| {
            !tried.contains(&place)
                && addresses.get(place).is_some_and(|address| {
                    address.unhealthy_until_ms.load(Ordering::Relaxed) <= now_ms
                })
        };
        let mut order = preference(object, addresses.iter().map(|address| address.shard));
        order.retain(|place| is_usable(*place));
        let usable = || {
            order
                .iter()
                .filter_map(|place| Some((*place, addresses.get(*place)?)))
        };
        let in_flight = usable()
            .map(|(_, address)| address.in_flight.load(Ordering::Relaxed))
            .sum();
        let capacity = sharding.capacity(in_flight, order.len());
        // The bound lets one in, unless others came since it was worked out.
        for bound in [capacity, usize::MAX] {
            for (place, address) in usable() {
                if let Some(is_probe) = self.enter(address, bound, now_ms) {
                    return Some(self.lease_of(address, place, is_probe));
                }
            }
        }
        None
    }

    /// Takes a place among those in flight at an address, `bound` of which there may be; says whether the request is the one
    /// that finds out how the address does.
    fn enter(&self, address: &Address, bound: usize, now_ms: i64) -> Option<bool> {
        let until_ms = address.unhealthy_until_ms.load(Ordering::Relaxed);
        let is_probe = until_ms != i64::MIN;
        if until_ms > now_ms {
            return None;
        }
        address
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |load| {
                (load < bound).then_some(load + 1)
            })
            .ok()?;
        let next_ms = now_ms.saturating_add(self.policy.backoff_ms(0));
        let is_another = is_probe
            && address
                .unhealthy_until_ms
                .compare_exchange(until_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_err();
        if is_another {
            address.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(is_probe)
    }

    /// Is there an address whose place is not in `tried`?
    #[must_use]
    pub fn has_another(&self, tried: &[usize]) -> bool {
        (0..self.addresses.load().len()).any(|place| !tried.contains(&place))
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// How each address does, in order of place.
    #[must_use]
    pub fn states(&self) -> Vec<AddressState> {
        let now_ms = self.clock.now_ms();
        let state = |address: &Arc<Address>| AddressState {
            id: address.parent.as_ref().map(|parent| parent.id.clone()),
            address: address.socket,
            in_flight: address.in_flight.load(Ordering::Relaxed),
            failures: address.failures.load(Ordering::Relaxed),
            unhealthy_ms: u64::try_from(
                address
                    .unhealthy_until_ms
                    .load(Ordering::Relaxed)
                    .saturating_sub(now_ms),
            )
            .unwrap_or(0),
        };
        self.addresses.load().iter().map(state).collect()
    }

    /// The places of the addresses of which `is_it` is true.
    pub(crate) fn places(&self, is_it: impl Fn(&Address) -> bool) -> Vec<usize> {
        let addresses = self.addresses.load();
        let places = addresses.iter().enumerate();
        places
            .filter(|(_, address)| is_it(address))
            .map(|(place, _)| place)
            .collect()
    }

    /// Every address, in order of place, at the moment.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.addresses.load();
        addresses.iter().map(|address| address.socket).collect()
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

    /// Where to connect to.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.address.socket
    }

    /// What its certificate is checked against, and the `Host` it is asked for.
    #[must_use]
    pub fn server_name(&self) -> &str {
        match &self.address.parent {
            Some(parent) => &parent.server_name,
            None => &self.pool.server_name,
        }
    }

    /// The address answered.
    pub fn succeeded(&self) {
        let address = &self.address;
        address.failures.store(0, Ordering::Relaxed);
        address.backoffs.store(0, Ordering::Relaxed);
        address
            .unhealthy_until_ms
            .store(i64::MIN, Ordering::Relaxed);
    }

    /// The address could not be reached, broke off or did not answer in time.
    pub fn failed(&self) {
        let policy = self.pool.policy;
        let address = &self.address;
        let failures = address.failures.fetch_add(1, Ordering::Relaxed);
        if failures.saturating_add(1) < policy.failures_max {
            return;
        }
        let now_ms = self.pool.clock.now_ms();
        let until_ms = address.unhealthy_until_ms.load(Ordering::Relaxed);
        // Many that fail together are one failure.
        if until_ms > now_ms && !self.is_probe {
            return;
        }
        let before = address.backoffs.fetch_add(1, Ordering::Relaxed);
        address.unhealthy_until_ms.store(
            now_ms.saturating_add(policy.backoff_ms(before)),
            Ordering::Relaxed,
        );
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.address.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
