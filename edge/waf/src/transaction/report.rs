//! What a chain that matched leaves behind, and the event at the end.

use super::Transaction;
use super::dynamic::full_name;
use crate::lang::actions::AllowScope;
use crate::lang::ast::EngineMode;
use crate::lang::variables::Variable;
use crate::ruleset::{Disruptive, RuleSet};
use crate::verdict::{AuditEvent, Block, Outcome, RuleMatch, Scores, excerpt};

/// Where rule sets keep scores: the Core Rule Set 4, then 3.
const INBOUND: [&[u8]; 2] = [b"blocking_inbound_anomaly_score", b"anomaly_score"];
const OUTBOUND: [&[u8]; 2] = [
    b"blocking_outbound_anomaly_score",
    b"outbound_anomaly_score",
];

impl Transaction {
    /// Logs and decides for a chain that matched.
    pub(super) fn conclude(&mut self, set: &RuleSet, head: u32, phase: u8) {
        let rule = &set.rules[head as usize];
        if let Some(severity) = rule.severity {
            self.highest_severity = self.highest_severity.min(severity);
        }
        if rule.log {
            let most = self.environment.limits.matches_max;
            if self.matches.len() < most {
                let found = self.describe(set, head, phase);
                self.matches.push(found);
            } else {
                self.matches_left_out += 1;
            }
        }
        let block = |redirect: Option<String>, drop_connection| Block {
            status: if redirect.is_some() && !(300..400).contains(&rule.status) {
                302
            } else {
                rule.status
            },
            rule: rule.id,
            redirect,
            drop_connection,
        };
        match &rule.disruptive {
            Disruptive::Pass => {}
            Disruptive::Allow(AllowScope::Phase) => {
                self.allowed_through = self.allowed_through.max(phase);
            }
            Disruptive::Allow(AllowScope::Request) => {
                self.allowed_through = self.allowed_through.max(phase).max(2);
            }
            Disruptive::Allow(AllowScope::All) => self.allowed_through = 4,
            Disruptive::Deny => self.block(block(None, false)),
            Disruptive::Drop => self.block(block(None, true)),
            Disruptive::Redirect(to) => {
                let to = self.resolve(set, rule, to);
                let location = excerpt(&to, self.environment.limits.excerpt_bytes_max.max(2048));
                self.block(block(Some(location), false));
            }
        }
    }

    /// Keeps the first refusal; it is carried out unless the engine only detects.
    pub(super) fn block(&mut self, block: Block) {
        if self.blocked.is_none() {
            self.enforced = self.engine == EngineMode::On;
            self.blocked = Some(block);
        }
    }

    fn describe(&self, set: &RuleSet, head: u32, phase: u8) -> RuleMatch {
        let rule = &set.rules[head as usize];
        let most = self.environment.limits.excerpt_bytes_max;
        let variable = self.matched.last().map(full_name).unwrap_or_default();
        RuleMatch {
            id: rule.id,
            phase,
            message: excerpt(&self.resolve(set, rule, &rule.message), most.max(400)),
            data: excerpt(&self.resolve(set, rule, &rule.logdata), most),
            tags: rule.tags.clone(),
            severity: rule.severity,
            variable: excerpt(&variable, most),
            version: rule.version.clone(),
            location: rule.location.to_string(),
        }
    }

    /// The rules that matched so far and are to be logged.
    #[must_use]
    pub fn matches(&self) -> &[RuleMatch] {
        &self.matches
    }

    /// The scores so far.
    #[must_use]
    pub fn scores(&self) -> Scores {
        let score = |names: [&[u8]; 2]| {
            let found = names
                .iter()
                .find_map(|name| self.vars.get(&self.set.names, name));
            found.map_or(0, super::vars::TxValue::number)
        };
        Scores {
            inbound: score(INBOUND),
            outbound: score(OUTBOUND),
        }
    }

    /// The end: phase 5, and the event if there is anything to tell.
    pub fn finish(&mut self) -> Option<AuditEvent> {
        self.run_phase(5);
        let nothing = self.matches.is_empty()
            && self.blocked.is_none()
            && !self.body_cut
            && self.body_error.is_none()
            && self.unfinished().is_empty();
        if !self.audit || nothing && self.outcome() != Outcome::Overrun {
            return None;
        }
        Some(self.event())
    }

    /// The end: phase 5, and the event whatever there is to tell.
    pub fn finish_aloud(&mut self) -> AuditEvent {
        self.run_phase(5);
        self.event()
    }

    /// The event as far as it has come.
    pub(crate) fn event(&mut self) -> AuditEvent {
        let most = self.environment.limits.excerpt_bytes_max;
        let host = self.store.list(Variable::RequestHeaders).iter();
        let host = host
            .filter(|entry| self.values.get(entry.name).eq_ignore_ascii_case(b"host"))
            .map(|entry| entry.value)
            .next();
        AuditEvent {
            id: self.client.id.clone(),
            time_ms: self.client.now_ms,
            client: self.client.address.to_string(),
            method: excerpt(self.scalar(Variable::RequestMethod), most),
            target: excerpt(self.scalar(Variable::RequestUriRaw), most),
            host: excerpt(host.map(|id| self.values.get(id)).unwrap_or_default(), most),
            status: self.status,
            matches: std::mem::take(&mut self.matches),
            matches_left_out: self.matches_left_out,
            scores: self.scores(),
            block: self.blocked.clone(),
            enforced: self.enforced,
            body_cut: self.body_cut,
            overrun: self.overrun,
            body_error: self.body_error.clone(),
            unfinished: self.unfinished().to_vec(),
            let_through: None,
        }
    }
}
