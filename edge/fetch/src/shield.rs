//! The shield tier: which of a region's parents is asked for an object, so that the region's edges fetch it once.
//!
//! Each object has an order of preference among the parents, by rendezvous hashing (Thaler and Ravishankar 1998): it is
//! the same on every edge, and a parent that leaves or joins moves only its own objects. Each parent takes at most its
//! bounded load (Mirrokni, Thorup, Zadimoghaddam 2018): the first parent in the order that is below the bound is asked,
//! so that one object that everybody wants, or one slow parent, does not drown the rest.

/// How the load of each member is bounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharding {
    /// How much more than the average a member takes, above 1.
    pub load_factor: f64,
    /// What a member takes in any case.
    pub in_flight_floor: usize,
}

impl Sharding {
    /// How many requests a member may have in flight, one of `members` that have `in_flight` together, so that one more
    /// finds room.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn capacity(&self, in_flight: usize, members: usize) -> usize {
        // Counts of requests are far below 2^52, where a double is exact.
        let average = (in_flight + 1) as f64 / members.max(1) as f64;
        let bound = (average * self.load_factor.max(1.0)).ceil() as usize;
        bound.max(self.in_flight_floor).max(1)
    }
}

/// What an object or a member is told by: the same on every node and in every release.
#[must_use]
pub fn shard_hash(name: &[u8]) -> u64 {
    // FNV-1a, and a finaliser (SplitMix64) over it: on its own it mixes the last bytes little.
    let sum = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(sum)
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The places of `members` (their [`shard_hash`]es) in an object's order of preference, the first its home.
#[must_use]
pub(crate) fn preference(object: u64, members: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut ranked: Vec<(u64, usize)> = members
        .enumerate()
        .map(|(place, member)| (mix(object ^ mix(member)), place))
        .collect();
    ranked.sort_unstable_by(|one, other| other.cmp(one));
    ranked.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(names: &[String]) -> Vec<u64> {
        names
            .iter()
            .map(|name| shard_hash(name.as_bytes()))
            .collect()
    }

    fn object(nth: usize) -> u64 {
        shard_hash(format!("ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/{nth}.m4s").as_bytes())
    }

    /// Who gets each of `objects`, one after the other, none ever done.
    fn place_all(objects: usize, members: &[u64], sharding: Sharding) -> (Vec<u64>, Vec<usize>) {
        let mut loads = vec![0; members.len()];
        let owners = (0..objects)
            .map(|nth| {
                let capacity = sharding.capacity(nth, members.len());
                let place = preference(object(nth), members.iter().copied())
                    .into_iter()
                    .find(|place| loads[*place] < capacity)
                    .expect("one is always below the bound");
                loads[place] += 1;
                members[place]
            })
            .collect();
        (owners, loads)
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::hash_set("[a-z0-9]{1,12}", 2..16)
            .prop_map(|names| names.into_iter().collect())
    }

    const UNBOUNDED: Sharding = Sharding {
        load_factor: 1.25,
        in_flight_floor: usize::MAX,
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_member_takes_more_than_its_bound(
            names in names(),
            objects in 1_usize..3_000,
            percent in 5_u32..100,
        ) {
            let sharding = Sharding {
                load_factor: 1.0 + f64::from(percent) / 100.0,
                in_flight_floor: 1,
            };
            let (_, loads) = place_all(objects, &members(&names), sharding);
            let bound = (objects as f64 / names.len() as f64 * sharding.load_factor).ceil();
            prop_assert!(loads.iter().all(|load| *load as f64 <= bound), "{loads:?} above {bound}");
            prop_assert_eq!(loads.iter().sum::<usize>(), objects);
        }

        #[test]
        fn homes_are_spread_evenly(names in names()) {
            let objects = 1_000 * names.len();
            let (_, loads) = place_all(objects, &members(&names), UNBOUNDED);
            // Six standard deviations of 1000.
            prop_assert!(loads.iter().all(|load| (810..=1_190).contains(load)), "{loads:?}");
        }

        #[test]
        fn a_member_that_leaves_moves_its_own_objects_only(names in names(), leaving in any::<prop::sample::Index>()) {
            let before = members(&names);
            let gone = before[leaving.index(before.len())];
            let after: Vec<u64> = before.iter().copied().filter(|member| *member != gone).collect();
            let (owners_before, _) = place_all(2_000, &before, UNBOUNDED);
            let (owners_after, _) = place_all(2_000, &after, UNBOUNDED);
            for (was, is) in owners_before.iter().zip(&owners_after) {
                prop_assert!(was == is || *was == gone);
                prop_assert!(*is != gone);
            }
        }

        #[test]
        fn under_a_bound_a_member_that_leaves_moves_little_more(names in names(), leaving in any::<prop::sample::Index>()) {
            let sharding = Sharding { load_factor: 1.25, in_flight_floor: 1 };
            let before = members(&names);
            let gone = before[leaving.index(before.len())];
            let after: Vec<u64> = before.iter().copied().filter(|member| *member != gone).collect();
            let (owners_before, loads) = place_all(4_000, &before, sharding);
            let (owners_after, _) = place_all(4_000, &after, sharding);
            let moved = owners_before.iter().zip(&owners_after).filter(|(was, is)| was != is).count();
            let own = loads[before.iter().position(|member| *member == gone).unwrap()];
            // The rest moves because others overflow that did not, or no longer.
            prop_assert!(moved <= own + 4_000 / 5, "{moved} moved, {own} of them its own");
        }

        #[test]
        fn the_order_in_which_members_are_listed_makes_no_difference(names in names(), nth in 0_usize..10_000) {
            let forth = members(&names);
            let back: Vec<u64> = forth.iter().rev().copied().collect();
            let name_of = |members: &[u64]| -> Vec<u64> {
                preference(object(nth), members.iter().copied())
                    .into_iter()
                    .map(|place| members[place])
                    .collect()
            };
            prop_assert_eq!(name_of(&forth), name_of(&back));
        }
    }

    #[test]
    fn hashes_stay_what_they_are() {
        // Another hash in another release would move every object.
        assert_eq!(shard_hash(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(shard_hash(b"ng/a/1.m4s"), shard_hash(b"ng/a/1.m4s"));
        assert_ne!(shard_hash(b"ng/a/1.m4s"), shard_hash(b"ng/a/2.m4s"));
    }

    #[test]
    fn few_requests_do_not_overflow() {
        let sharding = Sharding {
            load_factor: 1.25,
            in_flight_floor: 32,
        };
        assert_eq!(sharding.capacity(0, 4), 32);
        assert_eq!(sharding.capacity(399, 4), 125);
    }
}
