//! What a match does to the transaction.

use std::sync::Arc;

use super::Transaction;
use super::vars::TxValue;
use crate::lang::variables::Variable;
use crate::operator::leading_number;
use crate::ruleset::{Change, Effect, Name, Rule, RuleSet, Text, TextPiece};

impl Transaction {
    pub(super) fn effects(&mut self, set: &RuleSet, rule: &Rule) {
        for effect in &rule.effects {
            self.effect(set, rule, effect);
        }
    }

    fn effect(&mut self, set: &RuleSet, rule: &Rule, effect: &Effect) {
        match effect {
            Effect::Set {
                collection: Variable::Tx,
                name,
                change,
            } => self.set_tx(set, rule, name, change),
            Effect::Set {
                collection,
                name,
                change,
            } => self.set_persistent(set, rule, *collection, name, change),
            Effect::Expire {
                collection,
                name,
                seconds,
            } => {
                let name = self.member_name(set, rule, name);
                let seconds = leading_number(&self.resolve(set, rule, seconds));
                let at_ms = self
                    .client
                    .now_ms
                    .saturating_add(seconds.saturating_mul(1000));
                if let Some((_, key)) = self.opened.iter().find(|(opened, _)| opened == collection)
                {
                    self.environment
                        .collections
                        .expire(*collection, key, &name, at_ms);
                }
            }
            Effect::Open { collection, key } => {
                let key: Box<[u8]> = self.resolve(set, rule, key).into();
                self.opened.retain(|(opened, _)| opened != collection);
                self.opened.push((*collection, key));
            }
            Effect::AuditEngine(on) => self.audit = *on,
            Effect::ForceRequestBody(on) => self.force_request_body = *on,
            Effect::RequestBodyAccess(on) => self.request_body_access = *on,
            Effect::ResponseBodyAccess(on) => self.response_body_access = *on,
            Effect::RequestProcessor(processor) => {
                self.processor = *processor;
                let name = processor.map_or("", |processor| processor.name());
                self.store.put(
                    &mut self.values,
                    Variable::ReqbodyProcessor,
                    name.as_bytes(),
                );
            }
            Effect::Engine(mode) => self.engine = *mode,
            Effect::Remove(rules) => self.removed.extend(rules),
            Effect::RemoveTargets(removal) => self.removals.add(removal),
        }
    }

    fn member_name(&self, set: &RuleSet, rule: &Rule, name: &Name) -> Vec<u8> {
        match name {
            Name::Slot(slot) => set
                .names
                .list
                .get(*slot as usize)
                .map(|name| name.to_vec())
                .unwrap_or_default(),
            Name::Text(text) => self.resolve(set, rule, text).to_ascii_lowercase(),
        }
    }

    fn set_tx(&mut self, set: &RuleSet, rule: &Rule, name: &Name, change: &Change) {
        let computed = match name {
            Name::Slot(_) => None,
            Name::Text(_) => Some(self.member_name(set, rule, name)),
        };
        let old = match (name, &computed) {
            (Name::Slot(slot), _) => self.vars.slot(*slot),
            (_, Some(name)) => self.vars.get(&set.names, name),
            _ => None,
        };
        let number = old.map_or(0, TxValue::number);
        let new = match change {
            Change::Unset => None,
            Change::Set(text) => Some(TxValue::Text(self.resolve_shared(set, rule, text))),
            Change::Add(text) => Some(TxValue::Number(
                number.saturating_add(self.number(set, rule, text)),
            )),
            Change::Subtract(text) => Some(TxValue::Number(
                number.saturating_sub(self.number(set, rule, text)),
            )),
        };
        match (name, computed) {
            (Name::Slot(slot), _) => self.vars.set_slot(*slot, new),
            (_, Some(name)) => self.vars.set(&set.names, &name, new),
            _ => {}
        }
    }

    fn number(&self, set: &RuleSet, rule: &Rule, text: &Text) -> i64 {
        match text.0.as_slice() {
            [TextPiece::Slot(slot)] => self.vars.slot(*slot).map_or(0, TxValue::number),
            _ => leading_number(&self.resolve(set, rule, text)),
        }
    }

    fn resolve_shared(&self, set: &RuleSet, rule: &Rule, text: &Text) -> Arc<[u8]> {
        match text.0.as_slice() {
            [TextPiece::Plain(plain)] => plain.clone(),
            _ => self.resolve(set, rule, text).into(),
        }
    }

    fn set_persistent(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
        collection: Variable,
        name: &Name,
        change: &Change,
    ) {
        let name = self.member_name(set, rule, name);
        let Some((_, key)) = self.opened.iter().find(|(opened, _)| *opened == collection) else {
            return;
        };
        let text = match change {
            Change::Unset => Vec::new(),
            Change::Set(text) | Change::Add(text) | Change::Subtract(text) => {
                self.resolve(set, rule, text).into_owned()
            }
        };
        self.environment
            .collections
            .update((collection, key), &name, self.client.now_ms, |old| {
                let number = old.map_or(0, leading_number);
                match change {
                    Change::Unset => None,
                    Change::Set(_) => Some(text),
                    Change::Add(_) => Some(
                        number
                            .saturating_add(leading_number(&text))
                            .to_string()
                            .into_bytes(),
                    ),
                    Change::Subtract(_) => Some(
                        number
                            .saturating_sub(leading_number(&text))
                            .to_string()
                            .into_bytes(),
                    ),
                }
            });
    }
}
