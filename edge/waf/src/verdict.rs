//! What a transaction comes to.

use serde::{Deserialize, Serialize};

/// The answer after each phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing forbids it.
    Pass,
    /// A rule forbids it.
    Block(Block),
    /// The rules took longer, or more memory, than their budget; nothing more of this transaction is inspected. The caller lets
    /// it through and counts it.
    Overrun,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The HTTP status to answer with.
    pub status: u16,
    /// The rule that decided; 0 for a limit.
    pub rule: u64,
    /// Where to send the client instead.
    pub redirect: Option<String>,
    /// Close the connection without an answer.
    pub drop_connection: bool,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMatch {
    /// Its id.
    pub id: u64,
    /// The phase it ran in, 1 to 5.
    pub phase: u8,
    /// Its message, resolved, escaped and cut.
    pub message: String,
    /// Its data, resolved, escaped and cut.
    pub data: String,
    /// Its tags.
    pub tags: Vec<std::sync::Arc<str>>,
    /// Syslog's scale, 0 (emergency) to 7.
    pub severity: Option<u8>,
    /// The last variable that matched, `ARGS:name`; escaped and cut.
    pub variable: String,
    /// The rule set's version.
    pub version: Option<std::sync::Arc<str>>,
    /// `file:line:column` of the rule.
    pub location: String,
}

/// Scores as the OWASP Core Rule Set keeps them; 0 where a set keeps none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    /// Of the request.
    pub inbound: i64,
    /// Of the response.
    pub outbound: i64,
}

/// Why a request, or the rest of it, was let through without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetThrough {
    /// `panic`, `overrun`, `unloaded`, `overload`, `lost` or `bypassed` (inspection was given up for a while).
    pub reason: String,
    /// What the engine said.
    pub detail: String,
    /// Requests let through for this reason since the last such event, of which there is none.
    pub untold: u64,
}

/// Everything worth keeping of a transaction in which a rule matched, or of a request that was let through without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// The transaction's id.
    pub id: String,
    /// When it began, milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The client's address.
    pub client: String,
    /// The request's method, escaped and cut.
    pub method: String,
    /// The request's target, escaped and cut.
    pub target: String,
    /// The `Host` field, escaped and cut.
    pub host: String,
    /// The response's status, if there was one.
    pub status: Option<u16>,
    /// The rules that matched and are to be logged, in order; bounded.
    pub matches: Vec<RuleMatch>,
    /// Matches that did not fit.
    pub matches_left_out: usize,
    /// The scores.
    pub scores: Scores,
    /// What was decided, or would have been decided if the engine did more than detect.
    pub block: Option<Block>,
    /// Whether that was carried out.
    pub enforced: bool,
    /// Whether a body was longer than what is inspected, or could not be decoded.
    pub body_cut: bool,
    /// Whether the budget ran out.
    pub overrun: bool,
    /// Why the request's body, or the response's, could not be read, if so.
    pub body_error: Option<String>,
    /// Rules that gave up on a value, since their pattern took all its steps: to them it does not match. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<u64>,
    /// Why rules did not see all of it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_through: Option<LetThrough>,
}

impl AuditEvent {
    /// The event of a request of which nothing is known but who sent it, and when.
    #[must_use]
    pub fn bare(id: String, time_ms: i64, client: String) -> Self {
        Self {
            id,
            time_ms,
            client,
            method: String::new(),
            target: String::new(),
            host: String::new(),
            status: None,
            matches: Vec::new(),
            matches_left_out: 0,
            scores: Scores::default(),
            block: None,
            enforced: false,
            body_cut: false,
            overrun: false,
            body_error: None,
            unfinished: Vec::new(),
            let_through: None,
        }
    }
}

/// Printable ASCII as it is, everything else as `\xHH`; at most `bytes_max` bytes of the value.
#[must_use]
pub fn excerpt(value: &[u8], bytes_max: usize) -> String {
    let cut = &value[..value.len().min(bytes_max)];
    let mut out = String::with_capacity(cut.len() + 8);
    for &byte in cut {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(byte)),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if cut.len() < value.len() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_safe_and_bounded() {
        assert_eq!(excerpt(b"a\n\\\xff", 10), "a\\x0a\\\\\\xff");
        assert_eq!(excerpt(b"abcdef", 3), "abc...");
    }
}
