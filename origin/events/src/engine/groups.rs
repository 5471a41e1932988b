//! Consumer groups: who is a member, and which partitions are whose. No input or output here; the clock and the
//! topics' shape are arguments. Membership is in memory: after a restart every member is fenced and joins again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::spread::spread;
use crate::{Assignment, EventError};

/// The most members of a group.
const MEMBERS_MAX: usize = 1000;
/// The most groups that have members.
const GROUPS_MAX: usize = 10_000;

/// A partition of a topic.
pub(super) type Slot = (String, u32);

/// What groups need to know of topics.
pub(super) trait Shape {
    /// How many partitions the topic has; `None` when there is no such topic.
    fn partitions(&self, topic: &str) -> Option<u32>;
    /// Rises when the answers change.
    fn version(&self) -> u64;
}

/// Every group that has members.
#[derive(Debug)]
pub(super) struct Groups {
    /// Rises with every change of any group, and over restarts.
    generation: u64,
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    generation: u64,
    shape_version: u64,
    members: BTreeMap<String, Member>,
    slots: BTreeMap<Slot, Ownership>,
}

#[derive(Debug)]
struct Member {
    topics: BTreeSet<String>,
    timeout_ms: i64,
    deadline_ms: i64,
}

#[derive(Debug, Default)]
struct Ownership {
    owner: Option<String>,
    /// The generation in which the owner got it.
    since: u64,
    /// Who gets it once the owner was told, when that is somebody else.
    next: Option<String>,
}

impl Groups {
    /// `boots` is how often the log was opened; generations of a later opening are higher.
    pub(super) fn new(boots: u64) -> Self {
        Self {
            generation: boots << 32,
            groups: HashMap::new(),
        }
    }

    pub(super) fn join(
        &mut self,
        group_name: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
        now_ms: i64,
        shape: &dyn Shape,
    ) -> Result<Assignment, EventError> {
        for topic in topics {
            if shape.partitions(topic).is_none() {
                return Err(EventError::UnknownTopic(topic.clone()));
            }
        }
        if !self.groups.contains_key(group_name) && self.groups.len() >= GROUPS_MAX {
            return Err(EventError::Invalid(format!(
                "more than {GROUPS_MAX} groups"
            )));
        }
        let group = self.groups.entry(group_name.to_owned()).or_default();
        if !group.members.contains_key(member) && group.members.len() >= MEMBERS_MAX {
            return Err(EventError::Invalid(format!(
                "group {group_name:?} has {MEMBERS_MAX} members already"
            )));
        }
        let timeout_ms = i64::try_from(session_timeout.as_millis()).unwrap_or(i64::MAX);
        // Whoever had the name before is another process now: what it still does is fenced.
        self.generation += 1;
        group.refence(member, self.generation);
        group.members.insert(
            member.to_owned(),
            Member {
                topics: topics.iter().cloned().collect(),
                timeout_ms,
                deadline_ms: now_ms.saturating_add(timeout_ms),
            },
        );
        group.rebalance(&mut self.generation, now_ms, shape);
        group.hand_over(member, &mut self.generation);
        Ok(group.assignment(member))
    }

    pub(super) fn heartbeat(
        &mut self,
        group_name: &str,
        member: &str,
        now_ms: i64,
        shape: &dyn Shape,
    ) -> Result<Assignment, EventError> {
        let fenced = || fenced(group_name, member);
        let group = self.groups.get_mut(group_name).ok_or_else(fenced)?;
        if group.expire(now_ms) || group.shape_version != shape.version() {
            group.rebalance(&mut self.generation, now_ms, shape);
        }
        let Some(state) = group.members.get_mut(member) else {
            self.drop_if_empty(group_name);
            return Err(fenced());
        };
        state.deadline_ms = now_ms.saturating_add(state.timeout_ms);
        group.hand_over(member, &mut self.generation);
        Ok(group.assignment(member))
    }

    pub(super) fn leave(&mut self, group_name: &str, member: &str, now_ms: i64, shape: &dyn Shape) {
        let Some(group) = self.groups.get_mut(group_name) else {
            return;
        };
        if group.members.remove(member).is_some() {
            group.rebalance(&mut self.generation, now_ms, shape);
        }
        self.drop_if_empty(group_name);
    }

    /// May the member commit for the partition? Asked by the writer just before the commit is written, so that no
    /// commit of an earlier owner comes after one of a later owner.
    pub(super) fn check_commit(
        &self,
        group_name: &str,
        member: &str,
        generation: u64,
        slot: &Slot,
        now_ms: i64,
    ) -> Result<(), EventError> {
        let owns = || {
            let group = self.groups.get(group_name)?;
            let state = group.members.get(member)?;
            let ownership = group.slots.get(slot)?;
            let owned = ownership.owner.as_deref() == Some(member)
                && (ownership.since..=group.generation).contains(&generation)
                && state.deadline_ms >= now_ms;
            owned.then_some(())
        };
        owns().ok_or_else(|| fenced(group_name, member))
    }

    fn drop_if_empty(&mut self, group_name: &str) {
        if self
            .groups
            .get(group_name)
            .is_some_and(|group| group.members.is_empty())
        {
            self.groups.remove(group_name);
        }
    }
}

fn fenced(group: &str, member: &str) -> EventError {
    EventError::Fenced {
        group: group.to_owned(),
        member: member.to_owned(),
    }
}

impl Group {
    /// Removes members whose session has ended; true when there were any.
    fn expire(&mut self, now_ms: i64) -> bool {
        let before = self.members.len();
        self.members
            .retain(|_, member| member.deadline_ms >= now_ms);
        self.members.len() != before
    }

    fn refence(&mut self, member: &str, generation: u64) {
        let mut any = false;
        for ownership in self.slots.values_mut() {
            if ownership.owner.as_deref() == Some(member) {
                ownership.since = generation;
                any = true;
            }
        }
        if any {
            self.generation = generation;
        }
    }

    /// Decides anew who gets what. Partitions without a living owner change hands at once.
    fn rebalance(&mut self, generation: &mut u64, now_ms: i64, shape: &dyn Shape) {
        self.expire(now_ms);
        self.shape_version = shape.version();
        let topics: BTreeSet<&String> = self
            .members
            .values()
            .flat_map(|member| &member.topics)
            .collect();
        let mut slots = BTreeMap::new();
        for topic in topics {
            for partition in 0..shape.partitions(topic).unwrap_or(0) {
                let slot = (topic.clone(), partition);
                let mut ownership = self.slots.remove(&slot).unwrap_or_default();
                let live = |name: &String| {
                    self.members
                        .get(name)
                        .is_some_and(|m| m.topics.contains(topic))
                };
                ownership.owner = ownership.owner.filter(live);
                ownership.next = ownership.next.filter(live);
                slots.insert(slot, ownership);
            }
        }
        self.slots = slots;
        let holders = self
            .slots
            .iter()
            .map(|(slot, o)| (slot.clone(), o.next.clone().or_else(|| o.owner.clone())))
            .collect();
        let subscriptions = self
            .members
            .iter()
            .map(|(name, m)| (name.as_str(), &m.topics))
            .collect();
        let wanted = spread(holders, &subscriptions);
        *generation += 1;
        self.generation = *generation;
        for (slot, member) in wanted {
            let Some(ownership) = self.slots.get_mut(&slot) else {
                continue;
            };
            if ownership.owner.is_none() {
                ownership.owner = Some(member);
                ownership.since = *generation;
                ownership.next = None;
            } else {
                ownership.next = (ownership.owner.as_ref() != Some(&member)).then_some(member);
            }
        }
    }

    /// The member is about to be told its assignment, so what it has to give up goes to its next owner.
    fn hand_over(&mut self, member: &str, generation: &mut u64) {
        let giving_up = |o: &Ownership| o.owner.as_deref() == Some(member) && o.next.is_some();
        if !self.slots.values().any(giving_up) {
            return;
        }
        *generation += 1;
        self.generation = *generation;
        for ownership in self.slots.values_mut() {
            if giving_up(ownership) {
                ownership.owner = ownership.next.take();
                ownership.since = *generation;
            }
        }
    }

    fn assignment(&self, member: &str) -> Assignment {
        let partitions = self
            .slots
            .iter()
            .filter(|(_, ownership)| ownership.owner.as_deref() == Some(member))
            .map(|(slot, _)| slot.clone())
            .collect();
        Assignment {
            generation: self.generation,
            partitions,
        }
    }
}
