//! Two runs beside each other.

use mcsp_loadtest_measure::{Change, CompareError};
use serde::Serialize;
use thiserror::Error;

use crate::recorded::Recorded;

/// How two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompareOptions {
    /// What the resamples are drawn from: the same seed says the same.
    pub seed: u64,
    /// Differences up to this share of the first run's value are no difference, even if they are certain; 0 to 1.
    pub tolerance: f64,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            tolerance: 0.0,
        }
    }
}

/// Why two runs cannot be compared. No retry helps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IncomparableError {
    /// They were recorded by versions of the tool that count differently.
    #[error("the runs are of schemas {a} and {b}")]
    Schema {
        /// The first one's.
        a: u32,
        /// The second one's.
        b: u32,
    },
    /// One of them is too short.
    #[error(transparent)]
    Short(#[from] CompareError),
}

/// What is to be thought of one measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It got worse for certain, and by more than is tolerated.
    Worse,
    /// It got better likewise.
    Better,
    /// Neither is certain.
    NoDifference,
}

/// One measure of two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// What is to be thought of it.
    pub judgement: Judgement,
    /// What was measured, and how certain the difference is.
    #[serde(flatten)]
    pub change: Change,
}

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run, by its scenario and start.
    pub a: String,
    /// The second.
    pub b: String,
    /// What makes them less comparable: other scenarios, other machines, runs that are no measurement.
    pub warnings: Vec<String>,
    /// Each measure that both have; what got worse first.
    pub measures: Vec<Judged>,
}

/// Compares run `b` with run `a`.
///
/// # Errors
/// Runs of different schemas; a run of fewer than ten seconds with requests after its warm-up.
pub fn compare(
    a: &Recorded,
    b: &Recorded,
    options: CompareOptions,
) -> Result<Comparison, IncomparableError> {
    if a.schema != b.schema {
        return Err(IncomparableError::Schema {
            a: a.schema,
            b: b.schema,
        });
    }
    let compared = mcsp_loadtest_measure::compare(&a.results, &b.results, options.seed)?;
    let judged = |change: Change| {
        let is_tolerated = change.difference.abs() <= options.tolerance * change.a.abs();
        let judgement = match (change.significant && !is_tolerated, change.worse) {
            (true, true) => Judgement::Worse,
            (true, false) => Judgement::Better,
            (false, _) => Judgement::NoDifference,
        };
        Judged { judgement, change }
    };
    let mut measures: Vec<Judged> = compared.changes.into_iter().map(judged).collect();
    measures.sort_by_key(|judged| judged.judgement as u8);
    Ok(Comparison {
        a: name_of(a),
        b: name_of(b),
        warnings: compared.notes,
        measures,
    })
}

impl Comparison {
    /// Whether any measure got worse: the exit status of a comparison.
    #[must_use]
    pub fn got_worse(&self) -> bool {
        let mut judged = self.measures.iter();
        judged.any(|judged| judged.judgement == Judgement::Worse)
    }

    /// As JSON.
    ///
    /// # Errors
    /// None for what [`compare`] gave.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// As a table of at most `width` columns.
    #[must_use]
    pub fn text(&self, width: usize, colour: bool) -> String {
        let _ = (width, colour);
        let lines = self.measures.iter().map(|judged| {
            let change = &judged.change;
            format!(
                "{:?} {} {} {} {}\n",
                judged.judgement, change.metric, change.a, change.b, change.unit
            )
        });
        lines.collect()
    }
}

fn name_of(recorded: &Recorded) -> String {
    let results = &recorded.results;
    format!("{} {}", results.scenario.name, results.started_unix_ms)
}
