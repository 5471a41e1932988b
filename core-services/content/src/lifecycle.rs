//! An item's life as a pure function.
//!
//! Events of different topics come in any order and more than once. So the record holds facts that are only ever
//! added, and the status is computed from them: whatever the order, the same facts give the same status.

use mcsp_api::rest::ContentStatus;

use crate::Moderation;

/// When each fact about an item was first learnt, Unix milliseconds. A fact that was learnt stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The file is whole and in the pipeline.
    pub initiated_ms: Option<i64>,
    /// A rendition is packaged.
    pub playable_ms: Option<i64>,
    /// The moderation gate held the item; from then on only an approval releases it.
    pub held_ms: Option<i64>,
    /// A person approved it.
    pub approved_ms: Option<i64>,
    /// It was published. Happens once.
    pub published_ms: Option<i64>,
    /// It may not be shown (a virus, somebody else's work).
    pub blocked_ms: Option<i64>,
    /// The file cannot be used.
    pub failed_ms: Option<i64>,
    /// Its owner, or an administrator, removed it.
    pub deleted_ms: Option<i64>,
}

/// What changes an item's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The upload is whole.
    Initiated,
    /// Renditions are packaged.
    Packaged,
    /// A person approved it.
    Approved,
    /// It may not be shown.
    Blocked,
    /// The file cannot be used.
    Failed,
    /// It is removed.
    Deleted,
}

/// What the world has to hear of a change, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A person has to look at it.
    RequestModeration,
    /// It can be played.
    Publish,
    /// It was published and may not be shown any more.
    Withdraw,
    /// It is gone.
    Delete,
}

impl Facts {
    /// The status that the facts add up to. `DELETED` outranks all; `BLOCKED` outranks all but that; what was
    /// published stays up when a later run of the pipeline fails.
    #[must_use]
    pub fn status(&self) -> ContentStatus {
        if self.deleted_ms.is_some() {
            ContentStatus::Deleted
        } else if self.blocked_ms.is_some() {
            ContentStatus::Blocked
        } else if self.published_ms.is_some() {
            ContentStatus::Published
        } else if self.playable_ms.is_some() {
            ContentStatus::PendingModeration
        } else if self.failed_ms.is_some() {
            ContentStatus::Failed
        } else if self.initiated_ms.is_some() {
            ContentStatus::Processing
        } else {
            ContentStatus::Draft
        }
    }

    /// Adds what `trigger` says, at `now_ms`, and tells what the world has to hear. A repeat adds nothing and tells
    /// nothing.
    #[must_use]
    pub fn advance(
        mut self,
        trigger: Trigger,
        gate: Moderation,
        now_ms: i64,
    ) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let fact = match trigger {
            Trigger::Initiated => &mut self.initiated_ms,
            Trigger::Packaged => &mut self.playable_ms,
            Trigger::Approved => &mut self.approved_ms,
            Trigger::Blocked => &mut self.blocked_ms,
            Trigger::Failed => &mut self.failed_ms,
            Trigger::Deleted => &mut self.deleted_ms,
        };
        let is_new = fact.is_none();
        fact.get_or_insert(now_ms);

        match trigger {
            Trigger::Deleted if is_new => effects.push(Effect::Delete),
            Trigger::Blocked
                if is_new && self.published_ms.is_some() && self.deleted_ms.is_none() =>
            {
                effects.push(Effect::Withdraw);
            }
            _ => {}
        }
        let may_be_released = self.playable_ms.is_some()
            && self.published_ms.is_none()
            && self.blocked_ms.is_none()
            && self.deleted_ms.is_none();
        if may_be_released {
            let passes_gate = gate == Moderation::Off && self.held_ms.is_none();
            if self.approved_ms.is_some() || passes_gate {
                self.published_ms = Some(now_ms);
                effects.push(Effect::Publish);
            } else if self.held_ms.is_none() {
                self.held_ms = Some(now_ms);
                effects.push(Effect::RequestModeration);
            }
        }
        (self, effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trigger() -> impl Strategy<Value = Trigger> {
        prop_oneof![
            Just(Trigger::Initiated),
            Just(Trigger::Packaged),
            Just(Trigger::Approved),
            Just(Trigger::Blocked),
            Just(Trigger::Failed),
            Just(Trigger::Deleted),
        ]
    }

    fn gate() -> impl Strategy<Value = Moderation> {
        prop_oneof![Just(Moderation::Hold), Just(Moderation::Off)]
    }

    fn run(triggers: &[Trigger], gate: Moderation) -> (Facts, Vec<Effect>) {
        let mut facts = Facts::default();
        let mut effects = Vec::new();
        for (now_ms, trigger) in (1..).zip(triggers) {
            let (next, new) = facts.advance(*trigger, gate, now_ms);
            facts = next;
            effects.extend(new);
        }
        (facts, effects)
    }

    proptest! {
        #[test]
        fn deleted_is_for_ever(before in prop::collection::vec(trigger(), 0..8), after in prop::collection::vec(trigger(), 0..8), gate in gate()) {
            let mut all = before;
            all.push(Trigger::Deleted);
            let (mut facts, _) = run(&all, gate);
            for trigger in after {
                let (next, effects) = facts.advance(trigger, gate, 99);
                prop_assert_eq!(next.status(), ContentStatus::Deleted);
                prop_assert!(effects.is_empty(), "{:?} told {:?}", trigger, effects);
                facts = next;
            }
        }

        #[test]
        fn each_effect_happens_at_most_once(triggers in prop::collection::vec((trigger(), gate()), 0..24)) {
            let mut facts = Facts::default();
            let mut effects = Vec::new();
            for (trigger, gate) in triggers {
                let (next, new) = facts.advance(trigger, gate, 1);
                facts = next;
                effects.extend(new);
            }
            for effect in [Effect::Publish, Effect::RequestModeration, Effect::Withdraw, Effect::Delete] {
                prop_assert!(effects.iter().filter(|e| **e == effect).count() <= 1, "{:?}", effects);
            }
        }

        #[test]
        fn nothing_held_is_published_without_approval(triggers in prop::collection::vec((trigger(), gate()), 0..24)) {
            let mut facts = Facts::default();
            for (trigger, gate) in triggers {
                if trigger == Trigger::Approved {
                    continue;
                }
                let before = facts;
                let (next, effects) = facts.advance(trigger, gate, 1);
                if before.held_ms.is_some() || gate == Moderation::Hold {
                    prop_assert!(!effects.contains(&Effect::Publish));
                }
                facts = next;
            }
        }

        #[test]
        fn order_and_repeats_do_not_change_the_status(triggers in prop::collection::vec(trigger(), 0..10), gate in gate(), seed in any::<u64>()) {
            let mut shuffled: Vec<_> = triggers.iter().chain(&triggers).copied().collect();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(run(&triggers, gate).0.status(), run(&shuffled, gate).0.status());
        }
    }

    #[test]
    fn the_usual_lives() {
        use ContentStatus as S;
        use Trigger as T;
        let cases: [(&[Trigger], Moderation, ContentStatus, &[Effect]); 9] = [
            (&[], Moderation::Hold, S::Draft, &[]),
            (&[T::Initiated], Moderation::Hold, S::Processing, &[]),
            (
                &[T::Initiated, T::Packaged],
                Moderation::Off,
                S::Published,
                &[Effect::Publish],
            ),
            (
                &[T::Initiated, T::Packaged],
                Moderation::Hold,
                S::PendingModeration,
                &[Effect::RequestModeration],
            ),
            (
                &[T::Initiated, T::Packaged, T::Approved],
                Moderation::Hold,
                S::Published,
                &[Effect::RequestModeration, Effect::Publish],
            ),
            (
                &[T::Approved, T::Packaged],
                Moderation::Hold,
                S::Published,
                &[Effect::Publish],
            ),
            (&[T::Initiated, T::Failed], Moderation::Off, S::Failed, &[]),
            (
                &[T::Failed, T::Initiated, T::Packaged],
                Moderation::Off,
                S::Published,
                &[Effect::Publish],
            ),
            (
                &[T::Packaged, T::Blocked, T::Approved],
                Moderation::Off,
                S::Blocked,
                &[Effect::Publish, Effect::Withdraw],
            ),
        ];
        for (triggers, gate, status, effects) in cases {
            let (facts, told) = run(triggers, gate);
            assert_eq!(
                (facts.status(), told.as_slice()),
                (status, effects),
                "{triggers:?} {gate:?}"
            );
        }
    }
}
