//! Whether objects have the bytes that they should have.

use std::collections::HashMap;

use mcsp_loadtest_measure::Against;
use parking_lot::Mutex;

/// Objects that are remembered; of more, lengths only are checked.
const OBJECTS_MAX: usize = 500_000;
/// Different bytes of one object that are remembered.
const VERSIONS_MAX: usize = 8;

/// What is to be thought of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// As they should be, as far as anybody knows.
    Right,
    /// Not those of the origin, or not what most users got.
    Wrong,
    /// Those of this object of the same item.
    OfAnother(String),
}

/// A length and a hash (XXH3-128) of an object's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Print {
    /// Bytes.
    pub bytes: u64,
    /// Their hash. It tells faults, not attackers.
    pub hash: u128,
}

#[derive(Debug, Default)]
struct Known {
    /// What the origin has.
    origin: Option<Print>,
    /// What users got, and how many of them.
    got: Vec<(Print, u64)>,
}

#[derive(Debug, Default)]
struct Version {
    hash: u128,
    first_us: u64,
}

/// What a worker knows of all objects.
#[derive(Debug, Default)]
pub struct References {
    objects: Mutex<HashMap<u128, Known>>,
    owners: Mutex<HashMap<Print, (u128, String)>>,
    manifests: Mutex<HashMap<u128, Vec<Version>>>,
}

fn key(text: &str) -> u128 {
    twox_hash::XxHash3_128::oneshot(text.as_bytes())
}

impl References {
    /// Whether the origin's bytes are known.
    #[must_use]
    pub fn knows_origin(&self, object: &str) -> bool {
        let objects = self.objects.lock();
        objects
            .get(&key(object))
            .is_some_and(|known| known.origin.is_some())
    }

    /// The origin has these.
    pub fn of_origin(&self, object: &str, print: Print) {
        let mut objects = self.objects.lock();
        if objects.len() < OBJECTS_MAX {
            objects.entry(key(object)).or_default().origin = Some(print);
        }
    }

    /// A user got these of `object`; of the item `item`, whose other objects have other bytes, when it is given. Without the origin's
    /// word, those that most got are right; of as many, those that came first. By what it was judged, too.
    pub fn judge(&self, item: Option<&str>, object: &str, print: Print) -> (Judgement, Against) {
        let object_key = key(object);
        let (is_right, against) = {
            let mut objects = self.objects.lock();
            let is_full = objects.len() >= OBJECTS_MAX;
            let known = match objects.get_mut(&object_key) {
                Some(known) => known,
                None if is_full => return (Judgement::Right, Against::Length),
                None => objects.entry(object_key).or_default(),
            };
            let has_room = known.got.len() < VERSIONS_MAX;
            match known.got.iter_mut().find(|(got, _)| *got == print) {
                Some((_, count)) => *count += 1,
                None if has_room => known.got.push((print, 1)),
                None => {}
            }
            // The last of several greatest is taken, so from the back.
            let most = known.got.iter().rev().max_by_key(|(_, count)| *count);
            match (known.origin, most) {
                (Some(origin), _) => (origin == print, Against::Origin),
                (None, Some((most, _))) => (*most == print, Against::Agreement),
                (None, None) => (true, Against::Agreement),
            }
        };
        let judgement = match item {
            Some(item) => self.judge_owner(item, object, print, is_right, against),
            None if is_right => Judgement::Right,
            None => Judgement::Wrong,
        };
        (judgement, against)
    }

    fn judge_owner(
        &self,
        item: &str,
        object: &str,
        print: Print,
        is_right: bool,
        against: Against,
    ) -> Judgement {
        let item_key = key(item);
        // What the origin has is right, whatever else has it too.
        let is_certain = is_right && against == Against::Origin;
        let mut owners = self.owners.lock();
        match owners.get(&print) {
            Some((of_item, owner))
                if !is_certain && *of_item == item_key && owner != object && print.bytes > 0 =>
            {
                Judgement::OfAnother(owner.clone())
            }
            _ if !is_right => Judgement::Wrong,
            Some(_) => Judgement::Right,
            None => {
                if owners.len() < OBJECTS_MAX {
                    owners.insert(print, (item_key, object.to_owned()));
                }
                Judgement::Right
            }
        }
    }

    /// A manifest with this hash came at `now_us`; for how long a newer one has been known, when this one is older, µs.
    pub fn manifest_age_us(&self, object: &str, hash: u128, now_us: u64) -> Option<u64> {
        let mut manifests = self.manifests.lock();
        let is_full = manifests.len() >= OBJECTS_MAX;
        let versions = match manifests.get_mut(&key(object)) {
            Some(versions) => versions,
            None if is_full => return None,
            None => manifests.entry(key(object)).or_default(),
        };
        match versions.iter().position(|version| version.hash == hash) {
            Some(index) => {
                let newer = versions.get(index + 1)?;
                Some(now_us.saturating_sub(newer.first_us))
            }
            None => {
                if versions.len() == VERSIONS_MAX {
                    versions.remove(0);
                }
                versions.push(Version {
                    hash,
                    first_us: now_us,
                });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(hash: u128) -> Print {
        Print { bytes: 9, hash }
    }

    #[test]
    fn most_users_are_right_and_the_origin_more_so() {
        let references = References::default();
        let judge = |hash| references.judge(Some("i"), "i/1", print(hash));
        assert_eq!(judge(1), (Judgement::Right, Against::Agreement));
        assert_eq!(judge(2), (Judgement::Wrong, Against::Agreement));
        assert_eq!(judge(2), (Judgement::Right, Against::Agreement));
        references.of_origin("i/1", print(1));
        assert_eq!(judge(2), (Judgement::Wrong, Against::Origin));
    }

    #[test]
    fn bytes_of_another_rendition_are_told_whichever_came_first() {
        let references = References::default();
        let judge = |item, object| references.judge(item, object, print(1)).0;
        judge(Some("i"), "i/v360/1");
        let of_another = Judgement::OfAnother("i/v360/1".to_owned());
        assert_eq!(judge(Some("i"), "i/v720/1"), of_another);
        // Two items may share bytes, and so may the beginnings of two renditions.
        assert_eq!(judge(Some("j"), "j/v360/1"), Judgement::Right);
        assert_eq!(judge(None, "i/a128/init.mp4"), Judgement::Right);
        // So may any two objects of which the origin says so.
        references.of_origin("i/v720/1", print(1));
        assert_eq!(judge(Some("i"), "i/v720/1"), Judgement::Right);
    }

    #[test]
    fn a_manifest_that_went_back_is_as_old_as_its_successor_is_known() {
        let references = References::default();
        assert_eq!(references.manifest_age_us("m", 1, 10), None);
        assert_eq!(references.manifest_age_us("m", 2, 50), None);
        assert_eq!(references.manifest_age_us("m", 2, 60), None);
        assert_eq!(references.manifest_age_us("m", 1, 90), Some(40));
    }
}
