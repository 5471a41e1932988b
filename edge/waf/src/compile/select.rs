//! Rules by id, tag or message.

use crate::lang::actions::Action;
use crate::lang::ast::{RuleAst, RuleSelector};
use crate::lang::macros::Piece;
use crate::ruleset::{Rule, RuleMask};

/// Whether a rule, as it was read, is meant.
pub(super) fn selects(selector: &RuleSelector, head: &RuleAst) -> bool {
    head.actions
        .iter()
        .any(|action| match (selector, &action.item) {
            (RuleSelector::Ids(ranges), Action::Id(id)) => within(ranges, *id),
            (RuleSelector::Tag(tag), Action::Tag(text)) => text.contains(tag.as_str()),
            (RuleSelector::Message(part), Action::Msg(message)) => {
                message.pieces.iter().any(|piece| match piece {
                    Piece::Text(text) => memchr::memmem::find(text, part.as_bytes()).is_some(),
                    Piece::Value(..) => false,
                })
            }
            _ => false,
        })
}

/// The compiled rules that are meant.
pub(crate) fn mask(
    selector: &RuleSelector,
    rules: &[Rule],
    heads: impl Iterator<Item = u32>,
) -> RuleMask {
    let mut mask = RuleMask::default();
    for index in heads {
        let rule = &rules[index as usize];
        let meant = match selector {
            RuleSelector::Ids(ranges) => within(ranges, rule.id),
            RuleSelector::Tag(tag) => rule.tags.iter().any(|known| known.contains(tag.as_str())),
            RuleSelector::Message(part) => {
                let plain = rule.message.fixed().unwrap_or_default();
                memchr::memmem::find(plain, part.as_bytes()).is_some()
            }
        };
        if meant {
            mask.insert(index);
        }
    }
    mask
}

fn within(ranges: &[(u64, u64)], id: u64) -> bool {
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&id))
}
