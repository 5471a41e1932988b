//! What a run leaves behind: rows for `target/bench/NAME.json` and counts for `target/conformance/NAME.json`.
//! `cargo xtask` adds when, where and at which commit.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;

/// One figure beside the best peer's.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was done.
    pub case: String,
    /// What was measured.
    pub metric: String,
    /// In what.
    pub unit: String,
    /// Our figure, a median.
    pub ours: f64,
    /// The best peer's, a median of the same run.
    pub peer: f64,
    /// Which peer that is, and how it was set up.
    pub peer_name: String,
    /// ours / peer.
    pub ratio: f64,
    /// What the ratio must not pass; where more is better, what it must reach.
    pub goal: f64,
    /// Does it hold?
    pub met: bool,
    /// What the ratio has to be all the same, where the goal is more than that; nothing where nothing is required.
    pub required: Option<f64>,
    /// Does that hold?
    pub acceptable: bool,
    /// Every peer's median.
    pub peers: BTreeMap<String, f64>,
    /// Peers that failed, all the time or now and then, and how: who has no median could not do it at all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less: CPU, time, memory. The goal is the largest ratio.
    Less,
    /// More: requests a second, hits. The goal is the smallest ratio.
    More,
}

impl Row {
    /// Our figure beside the best of the peers'; `None` without a peer.
    #[must_use]
    pub fn best_of(
        case: &str,
        metric: &str,
        unit: &str,
        ours: f64,
        peers: &[(String, f64)],
        (better, goal): (Better, f64),
    ) -> Option<Self> {
        let by_figure = |a: &&(String, f64), b: &&(String, f64)| a.1.total_cmp(&b.1);
        let (peer_name, peer) = match better {
            Better::Less => peers.iter().min_by(by_figure),
            Better::More => peers.iter().max_by(by_figure),
        }?;
        // Nothing to be beaten: 0 beside 0 is the same.
        let ratio = if *peer == 0.0 && ours == 0.0 {
            1.0
        } else {
            ours / peer
        };
        let met = match better {
            Better::Less => ratio <= goal,
            Better::More => ratio >= goal,
        };
        Some(Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: *peer,
            peer_name: peer_name.clone(),
            ratio,
            goal,
            met,
            required: Some(goal),
            acceptable: met,
            peers: peers.iter().cloned().collect(),
            failed: BTreeMap::new(),
        })
    }

    /// The same with another requirement than the goal, of what is to be small; with none, every figure is acceptable.
    #[must_use]
    pub fn required(self, required: Option<f64>) -> Self {
        Self {
            required,
            acceptable: required.is_none_or(|required| self.ratio <= required),
            ..self
        }
    }
}

/// One suite's, or one kind of its tests', counts.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// The suite.
    pub suite: String,
    /// Tests that passed.
    pub passed: usize,
    /// Tests that ran.
    pub total: usize,
    /// Those that did not pass, with why.
    pub failed: Vec<String>,
    /// How many must pass; 0 where none must.
    pub goal: usize,
    /// Do they?
    pub met: bool,
}

/// All suites of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Conformance {
    /// The name of the run.
    pub suite: String,
    /// Sum of the parts that have a goal.
    pub passed: usize,
    /// Sum of the parts that have a goal.
    pub total: usize,
    /// What failed in parts that have a goal.
    pub failed: Vec<String>,
    /// In words.
    pub goal: String,
    /// Is every part's goal met?
    pub met: bool,
    /// The parts.
    pub parts: Vec<Part>,
}

impl Conformance {
    /// The sum of the parts.
    #[must_use]
    pub fn of(suite: &str, goal: &str, parts: Vec<Part>) -> Self {
        let counted = || parts.iter().filter(|part| part.goal > 0);
        Self {
            suite: suite.to_owned(),
            passed: counted().map(|part| part.passed).sum(),
            total: counted().map(|part| part.total).sum(),
            failed: counted().flat_map(|part| part.failed.clone()).collect(),
            goal: goal.to_owned(),
            met: parts.iter().all(|part| part.met),
            parts,
        }
    }
}

/// Writes it as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), BenchError> {
    let json =
        serde_json::to_vec_pretty(value).map_err(|error| BenchError::Answer(error.to_string()))?;
    std::fs::write(path, json).map_err(|source| BenchError::file(path, source))
}

/// The middle of the samples; 0 of none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_peer_is_the_one_to_beat_whichever_way_is_better() {
        let peers = [("a".to_owned(), 10.0), ("b".to_owned(), 20.0)];
        let row = |better, goal| Row::best_of("c", "m", "u", 15.0, &peers, (better, goal)).unwrap();
        let less = row(Better::Less, 1.5);
        assert_eq!(
            (less.peer_name.as_str(), less.ratio, less.met),
            ("a", 1.5, true)
        );
        let more = row(Better::More, 1.0);
        assert_eq!(
            (more.peer_name.as_str(), more.ratio, more.met),
            ("b", 0.75, false)
        );
        assert!(Row::best_of("c", "m", "u", 1.0, &[], (Better::Less, 1.0)).is_none());
        let strict = row(Better::Less, 1.0);
        assert!(!strict.met && !strict.acceptable);
        for (required, acceptable) in [(Some(1.4), false), (Some(1.5), true), (None, true)] {
            let row = strict.clone().required(required);
            assert_eq!((row.met, row.acceptable), (false, acceptable));
        }
    }

    #[test]
    fn a_part_without_a_goal_is_not_counted() {
        let part = |goal, met| Part {
            suite: "s".to_owned(),
            passed: 1,
            total: 2,
            failed: vec!["x".to_owned()],
            goal,
            met,
        };
        let both = Conformance::of("n", "g", vec![part(1, true), part(0, true)]);
        assert_eq!((both.passed, both.total, both.met), (1, 2, true));
    }
}
