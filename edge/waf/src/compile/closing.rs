//! Rules that only compare numbers of the transaction's own: with them a rule set decides by what it has found.

use crate::operator::Operator;
use crate::ruleset::{Disruptive, Rule, RuleMask, Which};

/// The chains of nothing but such rules, and of what is done in any case and refuses nothing. They look at nothing that a client has
/// sent, so what they take does not depend on it.
pub(super) fn mask(rules: &[Rule], heads: impl Iterator<Item = u32>) -> RuleMask {
    let mut mask = RuleMask::default();
    for head in heads {
        let mut next = Some(head);
        let mut chain = std::iter::from_fn(|| {
            let rule = next.and_then(|index| rules.get(index as usize))?;
            next = rule.next;
            Some(rule)
        });
        if chain.all(decides) {
            mask.insert(head);
        }
    }
    mask
}

fn decides(rule: &Rule) -> bool {
    let Some(test) = &rule.test else {
        return matches!(rule.disruptive, Disruptive::Pass);
    };
    matches!(test.operator, Operator::Compare(_))
        && rule
            .targets
            .iter()
            .all(|target| matches!(target.which, Which::Slot(_)))
}
