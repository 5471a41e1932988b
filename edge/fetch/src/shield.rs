//! The shield tier: which of a region's parents is asked for an object, so that the region's edges fetch it once.
//!
//! Each object has an order of preference among the parents, by rendezvous hashing (Thaler and Ravishankar 1998): it is
//! the same on every edge, and a parent that leaves or joins moves only its own objects. Each parent takes at most its
//! bounded load (Mirrokni, Thorup, Zadimoghaddam 2018): the first parent in the order that is below the bound is asked,
//! so that one object that everybody wants, or one slow parent, does not drown the rest.

use serde::{Deserialize, Serialize};

use crate::config::{FetchConfigError, between};

/// Parents of one node, at most.
const PARENTS_MAX: usize = 64;

/// One parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentConfig {
    /// What its share of the objects is told by: the same on every edge that asks it, whatever address they ask it at.
    /// Required.
    pub id: String,
    /// The region whose objects it is asked for, such as `ng-lagos`. Required.
    pub region: String,
    /// `host:port` where it speaks mTLS. Required.
    pub address: String,
}

/// Parents that are asked before an origin is. Without parents, origins are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShieldConfig {
    /// The parents of all regions. Default none; at most 64.
    pub parent: Vec<ParentConfig>,
    /// The name that their certificates are checked against; required where there are parents.
    pub server_name: String,
    /// How much more than the average a parent is asked at once before its objects overflow to the next. Default 1.25;
    /// 1.05 to 10.
    pub load_factor: f64,
    /// Requests in flight that a parent is always given before its objects overflow: few requests are no load, and
    /// spreading them costs hits. Default 32; 1 to 10000.
    pub in_flight_floor: usize,
}

impl Default for ShieldConfig {
    fn default() -> Self {
        Self {
            parent: Vec::new(),
            server_name: String::new(),
            load_factor: 1.25,
            in_flight_floor: 32,
        }
    }
}

impl ShieldConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), FetchConfigError> {
        let parents = &self.parent;
        between("shield.parent (entries)", parents.len(), 0, PARENTS_MAX)?;
        between("shield.load_factor", self.load_factor, 1.05, 10.0)?;
        between("shield.in_flight_floor", self.in_flight_floor, 1, 10_000)?;
        if !parents.is_empty() && self.server_name.is_empty() {
            return Err(FetchConfigError::new(
                "shield.server_name",
                "\"\"",
                "a host name",
            ));
        }
        for (nth, parent) in parents.iter().enumerate() {
            for (key, value) in [
                ("shield.parent id", &parent.id),
                ("shield.parent region", &parent.region),
                ("shield.parent address", &parent.address),
            ] {
                if value.is_empty() {
                    return Err(FetchConfigError::new(key, "\"\"", "a value"));
                }
            }
            let mut before = parents.iter().take(nth);
            if before.any(|other| (&other.id, &other.region) == (&parent.id, &parent.region)) {
                return Err(FetchConfigError::new(
                    "shield.parent id",
                    &parent.id,
                    "an id that no other parent of the region has",
                ));
            }
        }
        Ok(())
    }

    /// How load is bounded.
    #[must_use]
    pub fn sharding(&self) -> Sharding {
        Sharding {
            load_factor: self.load_factor,
            in_flight_floor: self.in_flight_floor,
        }
    }
}

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
pub fn preference(object: u64, members: impl Iterator<Item = u64>) -> Vec<usize> {
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
        let sharding = ShieldConfig::default().sharding();
        assert_eq!(sharding.capacity(0, 4), 32);
        assert_eq!(sharding.capacity(399, 4), 125);
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        ShieldConfig::default().validate().unwrap();
        let parent = |id: &str| ParentConfig {
            id: id.to_owned(),
            region: "ng-lagos".to_owned(),
            address: "127.0.0.1:1".to_owned(),
        };
        let config = ShieldConfig {
            parent: vec![parent("a"), parent("a")],
            server_name: "shield.test".to_owned(),
            ..ShieldConfig::default()
        };
        let said = config.validate().unwrap_err().to_string();
        assert_eq!(
            said,
            "shield.parent id = a: expected an id that no other parent of the region has"
        );
        let config = ShieldConfig {
            server_name: String::new(),
            ..config
        };
        let said = config.validate().unwrap_err().to_string();
        assert_eq!(said, "shield.server_name = \"\": expected a host name");
    }
}
