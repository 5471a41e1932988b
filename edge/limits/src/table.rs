//! Where limits keep their state: a fixed number of places, whoever comes.
//!
//! The state of a limit is one time: when all that was taken is back (GCRA's theoretical arrival time). Once that has passed
//! the state says nothing, and its place is free. So what fills the table is debt, not the number of clients: somebody who
//! asks once from each of a million addresses owes a moment for each, and leaves as quickly as he came. Where all places
//! that a newcomer may take are owed, the one that owes least goes. One-shot clients so displace each other and never those
//! that have spent their burst, whom it takes as many heavy spenders to displace as the table has places. Which places a key
//! may take is decided by a secret of the process, so nobody can aim.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use governor::nanos::Nanos;
use governor::state::StateStore;
use mcsp_runtime::Entropy;
use parking_lot::Mutex;

use crate::clock::SteadyClock;
use crate::key::Key;

/// Places that one key may take.
const WAYS: usize = 8;
const SHARDS: usize = 64;
/// Shards that are counted at once: all of a large table would be a millisecond in which its thread serves nobody, and would take
/// the place of what that serves in the core's cache.
const COUNTED_AT_ONCE: usize = SHARDS / 8;
/// Places of a shard that wait to be told to other nodes.
const LISTED_MAX: usize = 256;

/// One key's state.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u128,
    /// When all that was taken is back, ns.
    whole_at_ns: u64,
    /// Taken here and not told to other nodes yet.
    untold: u32,
    is_listed: bool,
}

const FREE: Place = Place {
    key: 0,
    whole_at_ns: 0,
    untold: 0,
    is_listed: false,
};

#[derive(Debug)]
struct Shard {
    places: Box<[Place]>,
    /// Places with something to tell.
    listed: Vec<u32>,
    /// Places that said something when they were counted last.
    live: usize,
}

/// What many limits share.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    buckets_of_shard: u64,
    secret: [u64; 2],
    clock: Arc<SteadyClock>,
    forgotten: AtomicU64,
    next_shard: AtomicU64,
    next_counted: AtomicUsize,
}

impl Table {
    /// A table of `keys_max` places, rounded up to whole buckets. Takes 32 bytes a place, now and for good.
    pub(crate) fn new(keys_max: usize, clock: &Arc<SteadyClock>, entropy: &dyn Entropy) -> Self {
        let buckets = keys_max.div_ceil(WAYS * SHARDS).max(1);
        let shard = || {
            Mutex::new(Shard {
                places: vec![FREE; buckets * WAYS].into_boxed_slice(),
                listed: Vec::new(),
                live: 0,
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            buckets_of_shard: buckets as u64,
            secret: [entropy.next_u64(), entropy.next_u64()],
            clock: Arc::clone(clock),
            forgotten: AtomicU64::new(0),
            next_shard: AtomicU64::new(0),
            next_counted: AtomicUsize::new(0),
        }
    }

    /// A number that cannot be told from outside: two rounds of multiply and fold over secret numbers.
    fn scatter(&self, key: Key) -> u64 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product >> 64) as u64 ^ product as u64
        };
        let (high, low) = ((key.0 >> 64) as u64, key.0 as u64);
        let [first, second] = self.secret;
        let mixed = fold(low ^ first, 0x9e37_79b9_7f4a_7c15 ^ second);
        fold(mixed ^ high ^ second, first | 1)
    }

    /// Runs `update` over the key's shard and its places.
    fn with<T>(&self, key: Key, update: impl FnOnce(&mut Shard, std::ops::Range<usize>) -> T) -> T {
        let number = self.scatter(key);
        let shard = (number % SHARDS as u64) as usize;
        let bucket = (number >> 8) % self.buckets_of_shard;
        let start = bucket as usize * WAYS;
        update(&mut self.shards[shard].lock(), start..start + WAYS)
    }

    /// Takes `cells` of `period_ns` each, whether they are there or not, and no further than `debt_max_ns` ahead.
    pub(crate) fn debit(&self, key: Key, cells: u32, period_ns: u64, debt_max_ns: u64) {
        let now_ns = self.clock.last_ns();
        self.with(key, |shard, range| {
            let (place, _) = shard.place_of(key, range, now_ns, &self.forgotten);
            place.whole_at_ns = debited(place.whole_at_ns, now_ns, cells, period_ns, debt_max_ns);
        });
    }

    /// Sets when all is back.
    pub(crate) fn set(&self, key: Key, whole_at_ns: u64) {
        let now_ns = self.clock.last_ns();
        self.with(key, |shard, range| {
            let (place, _) = shard.place_of(key, range, now_ns, &self.forgotten);
            place.whole_at_ns = whole_at_ns;
        });
    }

    /// When all is back, where something is known.
    pub(crate) fn get(&self, key: Key) -> Option<u64> {
        self.with(key, |shard, range| shard.known(key, range))
    }

    /// Gives up to `max` keys with what was taken from them here since they were given last.
    pub(crate) fn take_untold(&self, max: usize, out: &mut Vec<(Key, u32)>) {
        let first = self.next_shard.fetch_add(1, Ordering::Relaxed);
        let end = out.len().saturating_add(max);
        for turn in 0..SHARDS as u64 {
            let index = (first.wrapping_add(turn) % SHARDS as u64) as usize;
            let mut shard = self.shards[index].lock();
            let Shard { places, listed, .. } = &mut *shard;
            while out.len() < end {
                let Some(index) = listed.pop() else { break };
                let Some(place) = places.get_mut(index as usize) else {
                    continue;
                };
                place.is_listed = false;
                if place.untold > 0 {
                    out.push((Key(place.key), std::mem::take(&mut place.untold)));
                }
            }
        }
    }

    /// Keys whose state says something, as they were counted when this was asked one of the last eight times.
    pub(crate) fn live(&self) -> usize {
        let now_ns = self.clock.last_ns();
        let first = self
            .next_counted
            .fetch_add(COUNTED_AT_ONCE, Ordering::Relaxed)
            % SHARDS;
        let live_of = |(number, shard): (usize, &Mutex<Shard>)| {
            let mut shard = shard.lock();
            if (first..first + COUNTED_AT_ONCE).contains(&number) {
                let live = shard.places.iter().filter(|p| p.whole_at_ns > now_ns);
                shard.live = live.count();
            }
            shard.live
        };
        self.shards.iter().enumerate().map(live_of).sum()
    }

    /// How often a state that still said something had to make room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().places.len())
            .sum()
    }
}

/// The time at which all is back, after `cells` more were taken.
pub(crate) fn debited(
    whole_at_ns: u64,
    now_ns: u64,
    cells: u32,
    period_ns: u64,
    debt_max_ns: u64,
) -> u64 {
    let more = period_ns.saturating_mul(u64::from(cells));
    let debt_end = now_ns.saturating_add(debt_max_ns);
    let taken = whole_at_ns.max(now_ns).saturating_add(more);
    taken.min(debt_end.max(whole_at_ns))
}

impl Shard {
    fn known(&self, key: Key, range: std::ops::Range<usize>) -> Option<u64> {
        let mut places = self.places[range].iter();
        let place = places.find(|place| place.key == key.0)?;
        Some(place.whole_at_ns)
    }

    /// The key's place, or one that it takes from whoever owes least; and its number.
    fn place_of(
        &mut self,
        key: Key,
        range: std::ops::Range<usize>,
        now_ns: u64,
        forgotten: &AtomicU64,
    ) -> (&mut Place, usize) {
        let start = range.start;
        let places = &mut self.places[range];
        let mut chosen = 0;
        let mut least_ns = u64::MAX;
        for (way, place) in places.iter().enumerate() {
            if place.key == key.0 {
                chosen = way;
                break;
            }
            if place.whole_at_ns < least_ns {
                (chosen, least_ns) = (way, place.whole_at_ns);
            }
        }
        let place = &mut places[chosen];
        if place.key != key.0 {
            if place.whole_at_ns > now_ns {
                forgotten.fetch_add(1, Ordering::Relaxed);
            }
            // A place that is listed stays so, with its new key.
            *place = Place {
                key: key.0,
                is_listed: place.is_listed,
                ..FREE
            };
        }
        (place, start + chosen)
    }
}

/// A table as one rule sees it.
#[derive(Debug, Clone)]
pub(crate) struct TableView {
    pub(crate) table: Arc<Table>,
    /// A key that owes more than this is worth telling other nodes of.
    pub(crate) tell_from_ns: u64,
}

impl StateStore for TableView {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let now_ns = self.table.clock.last_ns();
        self.table.with(*key, |shard, range| {
            let known = shard.known(*key, range.clone());
            // Who is refused and not known takes no place from anybody.
            let (answer, next) = judge(known.map(Nanos::new))?;
            let (place, index) = shard.place_of(*key, range, now_ns, &self.table.forgotten);
            if place.whole_at_ns <= now_ns {
                place.untold = 0;
            }
            place.untold = place.untold.saturating_add(1);
            place.whole_at_ns = next.as_u64();
            let is_hot = next.as_u64().saturating_sub(now_ns) > self.tell_from_ns;
            let is_to_list = is_hot && !place.is_listed;
            if is_to_list && shard.listed.len() < LISTED_MAX {
                shard.places[index].is_listed = true;
                shard.listed.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            Ok(answer)
        })
    }
}

/// The state of a limit that has one key only.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    whole_at_ns: AtomicU64,
    untold: AtomicU32,
}

impl Cell {
    pub(crate) fn debit(&self, now_ns: u64, cells: u32, period_ns: u64, debt_max_ns: u64) {
        let debit = |whole_at_ns| Some(debited(whole_at_ns, now_ns, cells, period_ns, debt_max_ns));
        // Never refuses, so it always comes back with `Ok`.
        let _ = self
            .whole_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, debit);
    }

    /// What was taken here since this was asked last.
    pub(crate) fn take_untold(&self) -> u32 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

/// A rule's state.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Keyed(TableView),
    One(Arc<Cell>),
}

impl StateStore for Store {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let cell = match self {
            Self::Keyed(view) => return view.measure_and_replace(key, judge),
            Self::One(cell) => cell,
        };
        let mut whole_at_ns = cell.whole_at_ns.load(Ordering::Relaxed);
        loop {
            let (answer, next) = judge(Some(Nanos::new(whole_at_ns)))?;
            let stored = cell.whole_at_ns.compare_exchange_weak(
                whole_at_ns,
                next.as_u64(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match stored {
                Ok(_) => {
                    cell.untold.fetch_add(1, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(found) => whole_at_ns = found,
            }
        }
    }
}

#[cfg(test)]
mod tests;
