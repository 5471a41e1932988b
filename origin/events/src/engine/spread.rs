//! Spreads partitions over members: even to within one, and moving as few as it can.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::Slot;

/// Each member's topics.
type Subscriptions<'a> = BTreeMap<&'a str, &'a BTreeSet<String>>;
/// How many partitions each member has.
type Load = BTreeMap<String, usize>;

/// Who should have each partition. `holders` says who has it now (a member that takes the topic); members take only
/// topics they subscribe to.
pub(super) fn spread(
    holders: BTreeMap<Slot, Option<String>>,
    subscriptions: &Subscriptions<'_>,
) -> BTreeMap<Slot, String> {
    let mut load: Load = subscriptions
        .keys()
        .map(|name| ((*name).to_owned(), 0))
        .collect();
    for holder in holders.values().flatten() {
        *load.entry(holder.clone()).or_default() += 1;
    }
    let mut wanted = BTreeMap::new();
    for (slot, holder) in holders {
        if let Some(holder) = holder {
            wanted.insert(slot, holder);
        } else if let Some((name, _)) = least_loaded(&load, subscriptions, &slot.0) {
            *load.entry(name.clone()).or_default() += 1;
            wanted.insert(slot, name);
        }
    }
    even_out(&mut wanted, &mut load, subscriptions);
    wanted
}

/// Moves one partition at a time over the widest gap, until no gap is wider than one.
fn even_out(
    wanted: &mut BTreeMap<Slot, String>,
    load: &mut Load,
    subscriptions: &Subscriptions<'_>,
) {
    let topics: BTreeSet<String> = wanted.keys().map(|(topic, _)| topic.clone()).collect();
    // Each move narrows a gap by two, so as many moves as there are partitions are always enough.
    for _ in 0..wanted.len() {
        let least: BTreeMap<&String, (String, usize)> = topics
            .iter()
            .filter_map(|topic| Some((topic, least_loaded(load, subscriptions, topic)?)))
            .collect();
        let widest = wanted
            .iter()
            .filter_map(|(slot, holder)| {
                let (name, count) = least.get(&slot.0)?;
                let gap = load.get(holder)?.checked_sub(*count)?;
                (gap > 1).then(|| (gap, slot.clone(), name.clone()))
            })
            .max_by_key(|(gap, ..)| *gap);
        let Some((_, slot, to)) = widest else {
            return;
        };
        if let Some(from) = wanted.insert(slot, to.clone()) {
            *load.entry(from).or_default() -= 1;
            *load.entry(to).or_default() += 1;
        }
    }
}

fn least_loaded(
    load: &Load,
    subscriptions: &Subscriptions<'_>,
    topic: &str,
) -> Option<(String, usize)> {
    load.iter()
        .filter(|(name, _)| {
            subscriptions
                .get(name.as_str())
                .is_some_and(|topics| topics.contains(topic))
        })
        .min_by_key(|(_, count)| **count)
        .map(|(name, count)| (name.clone(), *count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spreads_evenly_and_moves_little(members in 1_usize..8, partitions in 0_u32..60, seed in any::<u64>()) {
            let topics: BTreeSet<String> = ["t".to_owned()].into();
            let names: Vec<String> = (0..members).map(|i| format!("m{i}")).collect();
            let subscriptions = names.iter().map(|name| (name.as_str(), &topics)).collect();
            let holders: BTreeMap<Slot, Option<String>> = (0..partitions)
                .map(|p| {
                    let pick = (seed.rotate_left(p) % (members as u64 + 1)) as usize;
                    (("t".to_owned(), p), names.get(pick).cloned())
                })
                .collect();
            let wanted = spread(holders.clone(), &subscriptions);
            prop_assert_eq!(wanted.len(), partitions as usize);
            let counts: Vec<usize> = names.iter().map(|n| wanted.values().filter(|h| *h == n).count()).collect();
            let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(max - min <= 1, "{:?}", counts);
            // Nobody who ends with less than the most gave anything away.
            for name in &names {
                let had = holders.values().filter(|h| h.as_ref() == Some(name)).count();
                let has = wanted.values().filter(|h| *h == name).count();
                let kept = holders.iter().filter(|(s, h)| h.as_ref() == Some(name) && wanted[*s] == *name).count();
                prop_assert!(kept == had.min(has), "{} had {}, has {}, kept {}", name, had, has, kept);
            }
        }
    }
}
