//! Directives that change or remove rules which were read before.

use super::{Item, Update, select};
use crate::lang::actions::Action;
use crate::lang::ast::{Placed, RuleAst, RuleSelector};

/// Whether a chain is tagged with a paranoia level above this.
pub(super) fn is_above(chain: &[RuleAst], level: u8) -> bool {
    let tagged = |action: &Placed<Action>| match &action.item {
        Action::Tag(tag) => tag.strip_prefix("paranoia-level/")?.parse::<u8>().ok(),
        _ => None,
    };
    chain.first().is_some_and(|head| {
        head.actions
            .iter()
            .filter_map(tagged)
            .any(|tag| tag > level)
    })
}

/// Carries out the directives that change rules, in order.
pub(super) fn apply(items: &mut Vec<Item>, updates: &[Update]) {
    for update in updates {
        match update {
            Update::Remove(rules) => {
                items.retain(|item| !matches!(item, Item::Chain(chain, _) if chain.first().is_some_and(|head| select::selects(rules, head))));
            }
            Update::Targets(rules, targets) => {
                for head in chosen(items, rules) {
                    head.targets.extend(targets.iter().cloned());
                }
            }
            Update::Actions(rules, actions) => {
                for head in chosen(items, rules) {
                    head.actions.extend(actions.iter().cloned());
                }
            }
        }
    }
}

fn chosen<'a>(
    items: &'a mut [Item],
    rules: &'a RuleSelector,
) -> impl Iterator<Item = &'a mut RuleAst> {
    items
        .iter_mut()
        .filter_map(|item| match item {
            Item::Chain(chain, _) => chain.first_mut(),
            Item::Marker(_) => None,
        })
        .filter(|head| select::selects(rules, head))
}
