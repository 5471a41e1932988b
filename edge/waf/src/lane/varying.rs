//! What differs between requests of the lane beside what it inspects: where the client is, what was counted of it before, when it
//! asks, and variables that rules made of any of it. A chain that such things decide is not settled by one plain request.

use super::derive::{CAPTURES, is_of_match, is_quiet, kinds_of, rules_of};
use crate::lang::variables::Variable;
use crate::operator::Operator;
use crate::ruleset::{
    Change, Disruptive, Effect, Flow, Member, Name, Rule, RuleSet, Text, TextPiece, Which,
};
use crate::transaction::{SIGNALS, Step, Transaction, is_stored};

/// What is known of a set's variables after some of its chains.
pub(super) struct Varying<'s> {
    set: &'s RuleSet,
    /// By slot: whether its value, or whether it has one, may differ.
    slots: Vec<bool>,
    /// Whether what was captured last was captured of what differs or is inspected.
    is_captured: bool,
    /// By slot: whether some rule asks about it.
    telling: &'s [bool],
}

/// What of a chain decides about it differs, and what it would do is more than bookkeeping: no plain request can stand for others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsettled;

impl<'s> Varying<'s> {
    pub(super) fn of(set: &'s RuleSet, telling: &'s [bool]) -> Self {
        Self {
            set,
            slots: vec![false; set.names.list.len()],
            is_captured: false,
            telling,
        }
    }

    /// Takes up what a chain came to, the next in order. `later` is what was tried after it.
    ///
    /// # Errors
    /// The chain came to it by what differs.
    pub(super) fn take(
        &mut self,
        plain: &mut Transaction,
        step: Step,
        later: &[Step],
    ) -> Result<(), Unsettled> {
        let rules = rules_of(self.set, step.head);
        let asked = match step.failed {
            Some(failed) => rules.iter().position(|rule| *rule == failed),
            None => None,
        };
        let (held, failed) = match asked {
            Some(at) => (&rules[..at], Some((rules[at], &rules[at + 1..]))),
            None => (&rules[..], None),
        };
        let mut varies = false;
        let mut is_own = false;
        for &rule in held {
            let decides = self.decides(rule);
            varies |= decides;
            is_own |= decides || kinds_of(self.set, rule).any();
            self.note(rule, is_own)?;
        }
        match failed {
            Some((failed, rest)) => {
                let settled = !self.decides(failed)
                    || rest
                        .iter()
                        .any(|rule| self.fails_anyway(plain, *rule, step.head, later))
                    || self.does_nothing(&rules, later);
                settled.then_some(()).ok_or(Unsettled)
            }
            // What it did with variables was noted, and it says nothing.
            None if varies => match self.is_silent(&rules) {
                true => Ok(()),
                false => Err(Unsettled),
            },
            None => Ok(()),
        }
    }

    /// Whether a rule's outcome depends on what differs and is not inspected.
    pub(super) fn decides(&self, rule: u32) -> bool {
        let rule = &self.set.rules[rule as usize];
        let Some(test) = &rule.test else {
            return false;
        };
        matches!(test.operator, Operator::Country)
            || rule.targets.iter().any(|target| self.is_varying(target))
            || self.is_varying_text(&test.argument)
    }

    /// Whether what a rule compares with differs: such an argument cannot be resolved once for all.
    pub(super) fn is_varying_argument(&self, rule: &Rule) -> bool {
        rule.test
            .as_ref()
            .is_some_and(|test| self.is_varying_text(&test.argument))
    }

    fn is_varying(&self, member: &Member) -> bool {
        match (&member.which, member.variable) {
            (Which::Slot(slot), Variable::Tx) => self.slot(*slot),
            (which, Variable::Tx) => self.slots.iter().enumerate().any(|(slot, varies)| {
                let name = self.set.names.list.get(slot);
                *varies
                    && name.is_some_and(|name| match which {
                        Which::All => true,
                        Which::Key(key) => key == name,
                        Which::Pattern(pattern) => pattern.is_match(name),
                        Which::Slot(meant) => *meant as usize == slot,
                    })
            }),
            (_, variable) => differs(variable),
        }
    }

    fn slot(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).copied().unwrap_or(true)
    }

    fn is_varying_text(&self, text: &Text) -> bool {
        text.0.iter().any(|piece| match piece {
            TextPiece::Plain(_) => false,
            // What was captured is looked after where chains are read, and where it is kept.
            TextPiece::Slot(slot) => self.slot(*slot) || self.is_signal(*slot),
            TextPiece::Value(variable, _) => differs(*variable) || is_of_request(*variable),
        })
    }

    fn is_signal(&self, slot: u32) -> bool {
        let name = self.set.names.list.get(slot as usize);
        name.is_some_and(|name| SIGNALS.iter().any(|signal| **name == *signal.as_bytes()))
    }

    /// Notes what a rule has done; of one whose match is its request's own, that it might not have done it.
    fn note(&mut self, rule: u32, is_own: bool) -> Result<(), Unsettled> {
        let rule = &self.set.rules[rule as usize];
        if rule.capture {
            self.is_captured = is_own;
        }
        for effect in &rule.effects {
            match effect {
                Effect::Set {
                    collection: Variable::Tx,
                    name,
                    change,
                } => {
                    let varies = is_own || self.is_varying_change(change);
                    match name {
                        Name::Slot(slot) if varies => {
                            if let Some(place) = self.slots.get_mut(*slot as usize) {
                                *place = true;
                            }
                        }
                        Name::Text(name) if varies || self.is_copied(name) => {
                            return Err(Unsettled);
                        }
                        _ => {}
                    }
                }
                Effect::Engine(_) | Effect::Remove(_) | Effect::RemoveTargets(_) if is_own => {
                    return Err(Unsettled);
                }
                // Collections that outlive a request differ anyway, and there is no body.
                _ => {}
            }
        }
        Ok(())
    }

    fn is_varying_change(&self, change: &Change) -> bool {
        match change {
            Change::Set(text) | Change::Add(text) | Change::Subtract(text) => self.is_copied(text),
            Change::Unset => false,
        }
    }

    /// Whether a text that is kept differs.
    fn is_copied(&self, text: &Text) -> bool {
        let is_capture =
            |piece: &TextPiece| matches!(piece, TextPiece::Slot(slot) if *slot < CAPTURES);
        self.is_varying_text(text) || self.is_captured && text.0.iter().any(is_capture)
    }

    /// Whether a later link of a chain fails for everybody: it asks about variables that are the same for all, and were not
    /// changed after the chain was tried.
    fn fails_anyway(&self, plain: &mut Transaction, index: u32, head: u32, later: &[Step]) -> bool {
        let rule = &self.set.rules[index as usize];
        let is_fixed = |target: &Member| match (&target.which, target.variable) {
            (Which::Slot(slot), Variable::Tx) => {
                *slot >= CAPTURES && !self.is_signal(*slot) && !self.is_set_in(*slot, later)
            }
            (_, variable) => is_stored(variable) && !is_of_match(variable),
        };
        rule.test.is_some()
            && rule.targets.iter().all(is_fixed)
            && !kinds_of(self.set, index).any()
            && !self.decides(index)
            // A rule that does not match does nothing; one that does ends the lane.
            && !plain.tries(self.set, index, head)
    }

    fn is_set_in(&self, slot: u32, steps: &[Step]) -> bool {
        steps.iter().any(|step| {
            rules_of(self.set, step.head).iter().any(|rule| {
                let mut effects = self.set.rules[*rule as usize].effects.iter();
                effects.any(|effect| match effect {
                    Effect::Set {
                        collection: Variable::Tx,
                        name: Name::Slot(set),
                        ..
                    } => *set == slot,
                    Effect::Set {
                        collection: Variable::Tx,
                        ..
                    } => true,
                    _ => false,
                })
            })
        })
    }

    /// Whether all that a chain does when it matches is to leave out chains after it that say nothing either, of those that ran.
    fn does_nothing(&self, rules: &[u32], later: &[Step]) -> bool {
        if !self.is_quiet(rules) {
            return false;
        }
        let left_out = self.left_out(rules);
        later
            .iter()
            .filter(|step| left_out.contains(&step.head))
            .all(|step| {
                let rules = rules_of(self.set, step.head);
                let end = rules.iter().position(|rule| Some(*rule) == step.failed);
                self.are_effects_quiet(&rules[..end.unwrap_or(rules.len())])
            })
    }

    /// Heads that a chain's match skips.
    fn left_out(&self, rules: &[u32]) -> &[u32] {
        let Some(head) = rules.first() else {
            return &[];
        };
        let flow = rules
            .iter()
            .map(|rule| self.set.rules[*rule as usize].flow)
            .rfind(|flow| *flow != Flow::Next);
        let of_phase = self.set.phases.iter().find_map(|heads| {
            let at = heads.iter().position(|known| known == head)?;
            Some((heads, at + 1))
        });
        let Some((heads, from)) = of_phase else {
            return &[];
        };
        let to = match flow {
            None | Some(Flow::Next) => from,
            Some(Flow::Skip(count)) => from.saturating_add(count as usize),
            Some(Flow::To(position)) => from.max(position as usize),
        };
        heads.get(from..to.min(heads.len())).unwrap_or_default()
    }

    fn is_silent(&self, rules: &[u32]) -> bool {
        self.is_quiet(rules) && self.left_out(rules).is_empty()
    }

    /// No log, no refusal, and nothing that others ask about.
    fn is_quiet(&self, rules: &[u32]) -> bool {
        let head = rules.first().map(|head| &self.set.rules[*head as usize]);
        head.is_some_and(|head| !head.log && head.disruptive == Disruptive::Pass)
            && self.are_effects_quiet(rules)
    }

    fn are_effects_quiet(&self, rules: &[u32]) -> bool {
        rules
            .iter()
            .flat_map(|rule| &self.set.rules[*rule as usize].effects)
            .all(|effect| is_quiet(effect, self.telling))
    }
}

/// What no two requests have in common, and what outlives them.
fn differs(variable: Variable) -> bool {
    use Variable as V;
    variable.is_persistent()
        || variable.tells_time()
        || matches!(
            variable,
            V::Geo | V::RemotePort | V::ServerPort | V::ServerAddr | V::UniqueId
        )
}

/// What a request says of itself: as a target it is inspected or taken to be as in a plain request, but nothing may be compared
/// with the plain one's.
fn is_of_request(variable: Variable) -> bool {
    use Variable as V;
    matches!(
        variable,
        V::RemoteAddr
            | V::RemoteHost
            | V::RequestHeaders
            | V::RequestHeadersNames
            | V::RequestLine
            | V::RequestUri
            | V::RequestUriRaw
            | V::RequestFilename
            | V::RequestBasename
            | V::PathInfo
            | V::ServerName
            | V::FullRequestLength
    )
}
