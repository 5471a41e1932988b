//! Bounds of one transaction.

use serde::{Deserialize, Serialize};

/// What happens to a body that is longer than its limit, or has more arguments, parts or attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// What is within the limit is inspected; the rest passes and the event says so.
    Pass,
    /// The verdict is a refusal with 413, or 500 for a response.
    Reject,
}

/// Bounds of one transaction; every collection and every wait in it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most bytes of a request body that are inspected; default 131072, range 0 to 16777216.
    pub request_body_bytes_max: usize,
    /// Most bytes of a response body that are inspected, decoded where it is coded; default 131072, range 0 to 16777216.
    pub response_body_bytes_max: usize,
    /// What happens beyond them; default `pass`.
    pub beyond: Beyond,
    /// Most arguments of query and body together; a query with more counts as one that cannot be read, of a body's the rest is
    /// beyond; default 1000, range 1 to 10000.
    pub arguments_max: usize,
    /// Most request headers that are inspected, and most cookies; a request with more counts as one that cannot be read; default
    /// 200, range 1 to 1000.
    pub headers_max: usize,
    /// Deepest nesting of JSON and XML, beyond which a body counts as one that cannot be read; default 64, range 1 to 512.
    pub depth_max: usize,
    /// Most parts of a multipart body; default 200, range 1 to 1000.
    pub parts_max: usize,
    /// Most variables that rules may make by computed names; default 2000, range 1 to 10000.
    pub variables_max: usize,
    /// Processor time that rules may take in one transaction, in microseconds; default 20000, range 100 to 1000000.
    pub budget_us: u64,
    /// And this much more for each KiB that they are given, in microseconds, so that nobody brings about an overrun by length alone;
    /// default 2000, range 0 to 100000.
    pub budget_us_per_kib: u64,
    /// Most bytes that transformations may write in one transaction; default 33554432, range 65536 to 268435456. What they wrote is
    /// given back with each phase.
    pub scratch_bytes_max: usize,
    /// Longest excerpt of a value in an event, bytes; default 200, range 0 to 4096.
    pub excerpt_bytes_max: usize,
    /// Most rules named in an event; default 100, range 1 to 1000.
    pub matches_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body_bytes_max: 128 << 10,
            response_body_bytes_max: 128 << 10,
            beyond: Beyond::Pass,
            arguments_max: 1000,
            headers_max: 200,
            depth_max: 64,
            parts_max: 200,
            variables_max: 2000,
            budget_us: 20_000,
            budget_us_per_kib: 2_000,
            scratch_bytes_max: 32 << 20,
            excerpt_bytes_max: 200,
            matches_max: 100,
        }
    }
}

/// A bound outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: expected {least} to {most}")]
pub struct LimitError {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// The least it may be.
    pub least: u64,
    /// The most it may be.
    pub most: u64,
}

impl Limits {
    /// Checks every range.
    ///
    /// # Errors
    /// The first key outside its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let table = [
            (
                "request_body_bytes_max",
                self.request_body_bytes_max as u64,
                0,
                16 << 20,
            ),
            (
                "response_body_bytes_max",
                self.response_body_bytes_max as u64,
                0,
                16 << 20,
            ),
            ("arguments_max", self.arguments_max as u64, 1, 10_000),
            ("headers_max", self.headers_max as u64, 1, 1000),
            ("depth_max", self.depth_max as u64, 1, 512),
            ("parts_max", self.parts_max as u64, 1, 1000),
            ("variables_max", self.variables_max as u64, 1, 10_000),
            ("budget_us", self.budget_us, 100, 1_000_000),
            ("budget_us_per_kib", self.budget_us_per_kib, 0, 100_000),
            (
                "scratch_bytes_max",
                self.scratch_bytes_max as u64,
                64 << 10,
                256 << 20,
            ),
            ("excerpt_bytes_max", self.excerpt_bytes_max as u64, 0, 4096),
            ("matches_max", self.matches_max as u64, 1, 1000),
        ];
        LimitError::first_outside(&table)
    }
}

impl LimitError {
    /// The first of `(key, value, least, most)` that is outside its range.
    pub(crate) fn first_outside(table: &[(&'static str, u64, u64, u64)]) -> Result<(), Self> {
        let outside = table
            .iter()
            .find(|(_, value, least, most)| value < least || value > most);
        outside.map_or(Ok(()), |&(key, value, least, most)| {
            Err(Self {
                key,
                value,
                least,
                most,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let error = Limits {
            budget_us: 1,
            ..Limits::default()
        }
        .validate()
        .unwrap_err();
        assert_eq!(error.to_string(), "budget_us = 1: expected 100 to 1000000");
    }
}
