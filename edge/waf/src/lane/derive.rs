//! The lane's rules, worked out from a rule set: what is left of it when everything about a request is fixed but what the lane
//! inspects.
//!
//! A plain request for media, in each form that its line can have, goes through all rules once. A chain that failed there by
//! something that is not inspected fails for every request of the lane, a chain that was skipped is skipped, and the others are
//! kept with the links that look at what is inspected. A link that depends on anything else is taken to match, so that mistakes
//! cost time and not safety. Where something decides that is neither inspected nor the same for all, there is no lane.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::varying::Varying;
use super::{Chain, INSPECTED, Kind, Kinds, LINES, Lane, Link, Look};
use crate::collections::Collections;
use crate::lang::variables::Variable;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::ruleset::{
    Change, Disruptive, Effect, Flow, Member, Name, Rule, RuleSet, Text, TextPiece, Which,
};
use crate::ticks::Ticks;
use crate::transaction::{Client, Environment, Transaction};
use crate::verdict::Outcome;

/// Slots that captures go into.
pub(super) const CAPTURES: u32 = 10;

/// The lane of a rule set; `None` if a plain request for media does not pass it in silence, if a rule whose match is more than
/// bookkeeping matches every one, or if what is not inspected decides about them.
pub(super) fn derive(policy: &Policy, generation: u64) -> Option<Lane> {
    let mut chains = chains_of(policy, &LINES[0])?;
    let mut lines = 1;
    for (place, line) in LINES.iter().enumerate().skip(1) {
        let Some(more) = chains_of(policy, line) else {
            continue;
        };
        lines |= 1 << place;
        for chain in more {
            if !chains.contains(&chain) {
                chains.push(chain);
            }
        }
    }
    Some(Lane::new(policy.set.as_ref(), chains, lines, generation))
}

/// The chains of a rule set that tell requests with a line of this kind from each other.
fn chains_of(policy: &Policy, (method, protocol): &(&[u8], &[u8])) -> Option<Vec<Chain>> {
    let set = policy.set.as_ref();
    let environment = Arc::new(Environment {
        limits: Limits {
            scratch_bytes_max: 64 << 20,
            ..Limits::default()
        },
        ticks: Arc::new(StillTicks),
        effort: Arc::new(StillTicks),
        collections: Collections::new(16),
    });
    let mut plain = Transaction::under(policy, &environment, client());
    plain.trace();
    plain.request_line(method, b"/media/abc/global/c_ng_1/v360/1.m4s", protocol);
    for (name, value) in [
        ("Host", "media.example.org"),
        ("User-Agent", "Mozilla/5.0"),
        ("Accept", "*/*"),
        ("Referer", "https://media.example.org/"),
        ("Range", "bytes=0-1"),
    ] {
        plain.request_header(name.as_bytes(), value.as_bytes());
    }
    let passes = plain.request_head_done() == Outcome::Pass
        && plain.request_body_done() == Outcome::Pass
        && plain.matches().is_empty();
    if !passes {
        return None;
    }
    let telling = telling_slots(set);
    let mut varying = Varying::of(set, &telling);
    let mut chains = Vec::new();
    let steps = plain.traced().to_vec();
    for (place, step) in steps.iter().enumerate() {
        let later = steps.get(place + 1..).unwrap_or_default();
        varying.take(&mut plain, *step, later).ok()?;
        let rules = rules_of(set, step.head);
        if !rules.iter().any(|index| kinds_of(set, *index).any()) {
            continue;
        }
        match step.failed {
            Some(failed) if kinds_of(set, failed).any() || depends(set, failed) => {}
            Some(_) => continue,
            None if is_bookkeeping(set, &rules, &telling) => continue,
            None => return None,
        }
        chains.push(chain(set, &plain, &rules, &telling, &varying));
    }
    Some(chains)
}

/// The clock of the one plain request.
#[derive(Debug)]
struct StillTicks;

impl Ticks for StillTicks {
    fn now_us(&self) -> u64 {
        0
    }
}

fn client() -> Client {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    Client {
        address,
        port: 40_000,
        server: address,
        server_port: 443,
        country: None,
        signals: Default::default(),
        id: String::new(),
        now_ms: 0,
    }
}

pub(super) fn rules_of(set: &RuleSet, head: u32) -> Vec<u32> {
    let mut rules = vec![head];
    let mut next = set.rules[head as usize].next;
    while let Some(index) = next {
        rules.push(index);
        next = set.rules[index as usize].next;
    }
    rules
}

/// Which inspected values a rule's targets name.
pub(super) fn kinds_of(set: &RuleSet, rule: u32) -> Looks {
    let rule = &set.rules[rule as usize];
    let mut looks = Looks::default();
    for kind in INSPECTED {
        let named = |member: &&Member| {
            member.variable == kind.variable() && names(set, &member.which, kind)
        };
        if rule.exclusions.iter().any(|member| named(&member)) {
            continue;
        }
        for target in rule.targets.iter().filter(named) {
            match (target.count, &target.which) {
                (false, _) => looks.values.insert(kind),
                (true, Which::All) => {}
                (true, _) => looks.counts.insert(kind),
            }
        }
    }
    looks
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looks {
    values: Kinds,
    counts: Kinds,
}

impl Looks {
    pub(super) fn any(self) -> bool {
        !self.values.is_empty() || !self.counts.is_empty()
    }
}

fn names(set: &RuleSet, which: &Which, kind: Kind) -> bool {
    match (which, kind.name()) {
        (Which::All, _) => true,
        (Which::Key(key), Some(name)) => **key == *name.as_bytes(),
        (Which::Pattern(pattern), Some(name)) => pattern.is_match(name.as_bytes()),
        (Which::Slot(slot), Some(name)) => set
            .names
            .list
            .get(*slot as usize)
            .is_some_and(|known| **known == *name.as_bytes()),
        _ => false,
    }
}

/// Whether a rule looks at what the links before it matched.
fn depends(set: &RuleSet, rule: u32) -> bool {
    let rule = &set.rules[rule as usize];
    let argument = rule.test.as_ref().map(|test| &test.argument.0);
    rule.targets.iter().any(|member| {
        is_of_match(member.variable) || matches!(member.which, Which::Slot(slot) if slot < CAPTURES)
    }) || argument.into_iter().flatten().any(|piece| match piece {
        TextPiece::Plain(_) => false,
        TextPiece::Slot(slot) => *slot < CAPTURES,
        TextPiece::Value(variable, _) => is_of_match(*variable),
    })
}

pub(super) fn is_of_match(variable: Variable) -> bool {
    matches!(
        variable,
        Variable::MatchedVar
            | Variable::MatchedVarName
            | Variable::MatchedVars
            | Variable::MatchedVarsNames
    )
}

fn chain(
    set: &RuleSet,
    plain: &Transaction,
    rules: &[u32],
    telling: &[bool],
    varying: &Varying<'_>,
) -> Chain {
    let mut links = Vec::new();
    for &index in rules {
        let rule = &set.rules[index as usize];
        let Looks { values, counts } = kinds_of(set, index);
        // What a link does before its chain is complete must not be what other rules ask about.
        let is_quiet = rule.effects.iter().all(|effect| is_quiet(effect, telling));
        let look = match (&rule.test, values.is_empty() && counts.is_empty()) {
            // What it compares with is the request's own, or the client's.
            _ if varying.decides(index) || varying.is_varying_argument(rule) => Look::Unknown,
            (Some(test), false) if !depends(set, index) => Look::Inspects {
                values,
                counts,
                argument: plain.argument_of(set, rule, &test.argument),
            },
            (_, true) if !depends(set, index) => continue,
            _ if is_of_captures(rule) => Look::Captured,
            _ => Look::Unknown,
        };
        links.push(Link {
            rule: index,
            look,
            is_quiet,
        });
    }
    Chain { links }
}

/// Whether all that a rule looks at is captures.
fn is_of_captures(rule: &Rule) -> bool {
    let plain = |piece: &TextPiece| match piece {
        TextPiece::Plain(_) => true,
        TextPiece::Slot(slot) => *slot < CAPTURES,
        TextPiece::Value(..) => false,
    };
    let is_capture = |member: &Member| {
        member.variable == Variable::Tx
            && !member.count
            && matches!(member.which, Which::Slot(slot) if slot < CAPTURES)
    };
    rule.targets.iter().all(is_capture)
        && rule.exclusions.is_empty()
        && !rule.multi_match
        && rule
            .test
            .as_ref()
            .is_some_and(|test| test.argument.0.iter().all(plain))
}

/// By slot: whether a rule asks about the variable, or computes with it.
fn telling_slots(set: &RuleSet) -> Vec<bool> {
    let mut telling = vec![false; set.names.list.len()];
    let mut note = |text: &Text| {
        for piece in &text.0 {
            if let TextPiece::Slot(slot) = piece
                && let Some(place) = telling.get_mut(*slot as usize)
            {
                *place = true;
            }
        }
    };
    for rule in &set.rules {
        if let Some(test) = &rule.test {
            note(&test.argument);
        }
        for effect in &rule.effects {
            match effect {
                Effect::Set {
                    name: Name::Text(text),
                    ..
                }
                | Effect::Set {
                    change: Change::Set(text) | Change::Add(text) | Change::Subtract(text),
                    ..
                } => note(text),
                _ => {}
            }
        }
    }
    let targets = set.rules.iter().flat_map(|rule| &rule.targets);
    for target in targets.filter(|target| target.variable == Variable::Tx) {
        for (slot, name) in set.names.list.iter().enumerate() {
            telling[slot] |= match &target.which {
                Which::All => true,
                Which::Key(key) => key == name,
                Which::Slot(meant) => *meant as usize == slot,
                Which::Pattern(pattern) => pattern.is_match(name),
            };
        }
    }
    telling
}

pub(super) fn is_quiet(effect: &Effect, telling: &[bool]) -> bool {
    match effect {
        Effect::Set {
            collection: Variable::Tx,
            name: Name::Slot(slot),
            ..
        } => !telling.get(*slot as usize).copied().unwrap_or(true),
        _ => false,
    }
}

/// Whether a match of this chain changes nothing that another rule or the log could show.
fn is_bookkeeping(set: &RuleSet, rules: &[u32], telling: &[bool]) -> bool {
    let mut rules = rules.iter().map(|index| &set.rules[*index as usize]);
    let is_silent = |rule: &Rule| {
        rule.flow == Flow::Next && rule.effects.iter().all(|effect| is_quiet(effect, telling))
    };
    rules
        .next()
        .is_some_and(|head| !head.log && head.disruptive == Disruptive::Pass && is_silent(head))
        && rules.all(is_silent)
}
