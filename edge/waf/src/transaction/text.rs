//! Text with variables in it, resolved.

use std::borrow::Cow;

use super::Transaction;
use super::dynamic::full_name;
use crate::lang::variables::Variable;
use crate::ruleset::{Member, Rule, RuleSet, Text, TextPiece, Which};

impl Transaction {
    /// Resolves text for a rule.
    pub(super) fn resolve<'t>(&self, set: &RuleSet, rule: &Rule, text: &'t Text) -> Cow<'t, [u8]> {
        if let Some(fixed) = text.fixed() {
            return Cow::Borrowed(fixed);
        }
        let mut out = Vec::new();
        for piece in &text.0 {
            match piece {
                TextPiece::Plain(plain) => out.extend_from_slice(plain),
                TextPiece::Slot(slot) => {
                    if let Some(value) = self.vars.slot(*slot) {
                        out.extend_from_slice(&value.bytes());
                    }
                }
                TextPiece::Value(variable, key) => {
                    self.value_of(set, rule, *variable, key.as_deref(), &mut out);
                }
            }
        }
        Cow::Owned(out)
    }

    fn value_of(
        &self,
        set: &RuleSet,
        rule: &Rule,
        variable: Variable,
        key: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        match variable {
            Variable::Rule => out.extend_from_slice(&self.rule_field(set, rule, key)),
            Variable::MatchedVar => out.extend_from_slice(
                self.matched
                    .last()
                    .map(|m| m.value.as_ref())
                    .unwrap_or_default(),
            ),
            Variable::MatchedVarName => {
                out.extend(self.matched.last().map(full_name).unwrap_or_default());
            }
            variable if super::is_stored(variable) => {
                let wanted =
                    |name| key.is_none_or(|key| self.values.get(name).eq_ignore_ascii_case(key));
                if let Some(entry) = self
                    .store
                    .list(variable)
                    .iter()
                    .find(|entry| wanted(entry.name))
                {
                    out.extend_from_slice(self.values.get(entry.value));
                }
            }
            variable => {
                let which = key.map_or(Which::All, |key| Which::Key(key.into()));
                let found = self.dynamic(
                    set,
                    &Member {
                        variable,
                        which,
                        count: false,
                    },
                );
                out.extend(
                    found
                        .into_iter()
                        .next()
                        .map(|found| found.value)
                        .unwrap_or_default(),
                );
            }
        }
    }

    fn rule_field(&self, set: &RuleSet, rule: &Rule, key: Option<&[u8]>) -> Vec<u8> {
        match key {
            Some(b"id") => rule.id.to_string().into_bytes(),
            Some(b"severity") => rule
                .severity
                .map(|severity| severity.to_string().into_bytes())
                .unwrap_or_default(),
            Some(b"msg") => {
                // A message that names itself resolves to what is plain in it.
                let own =
                    |piece: &&TextPiece| !matches!(piece, TextPiece::Value(Variable::Rule, _));
                let text = Text(rule.message.0.iter().filter(own).cloned().collect());
                self.resolve(set, rule, &text).into_owned()
            }
            _ => Vec::new(),
        }
    }
}
