//! Two runs beside each other.

use mcsp_loadtest_measure::{Change, CompareError};
use serde::Serialize;
use thiserror::Error;

use crate::number::{date, digits, show_in};
use crate::recorded::Recorded;
use crate::terminal::{Cell, Paint, Terminal};

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

/// Compares run `b` with run `a`: quantiles of latency and start-up, rates of errors, the rebuffer ratio, the bitrate, the hit ratio.
///
/// Each difference has a confidence interval of 99.9 %, by a block bootstrap over the runs' seconds (Künsch, Annals of Statistics 17,
/// 1989), seeded. Binomial and order-statistic intervals of the whole run's histograms would be narrower and wrong: they take requests
/// for independent, while a second in which a node is busy makes all of its requests slow together, so that two runs of the same
/// system would differ "for certain". A thousand to one for each of some thirty measures lets one comparison in thirty err.
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

    /// As a table of at most `width` columns (20 at least), what got worse first; `colour` adds ANSI colours.
    #[must_use]
    pub fn text(&self, width: usize, colour: bool) -> String {
        let terminal = Terminal {
            width: width.max(20),
            colour,
        };
        let count = |judgement| {
            let of = self.measures.iter();
            of.filter(|judged| judged.judgement == judgement).count()
        };
        let (worse, better) = (count(Judgement::Worse), count(Judgement::Better));
        let (word, paint) = match (worse, better) {
            (0, 0) => ("no difference", Paint::Good),
            (0, _) => ("better", Paint::Good),
            _ => ("worse", Paint::Bad),
        };
        let same = self.measures.len() - worse - better;
        let counts = format!("{worse} worse, {better} better, {same} without a difference");
        let mut text = terminal.table(&[vec![
            Cell::new(word.to_uppercase()).painted(paint),
            Cell::new(counts).painted(Paint::Bold),
        ]]);
        for (which, name) in [("A", &self.a), ("B", &self.b)] {
            text.push_str(&terminal.wrap(&format!("{which}: {name}"), 2, Paint::Soft));
        }
        for warning in &self.warnings {
            text.push_str(&terminal.wrap(&format!("! {warning}"), 2, Paint::Warn));
        }
        text.push('\n');
        let heads = ["", "measure", "A", "B", "B − A, 99.9 % sure"];
        let mut rows = vec![
            heads
                .iter()
                .map(|head| Cell::new(head).painted(Paint::Soft))
                .collect(),
        ];
        rows.extend(self.measures.iter().map(row));
        text.push_str(&terminal.table(&rows));
        text
    }
}

fn row(judged: &Judged) -> Vec<Cell> {
    let change = &judged.change;
    let (sign, paint) = match judged.judgement {
        Judgement::Worse => ("✕", Paint::Bad),
        Judgement::Better => ("✓", Paint::Good),
        Judgement::NoDifference => ("=", Paint::Soft),
    };
    let show = |value| show_in(change.unit, value);
    // Shares are apart by points, which a percentage of them would be taken for.
    let apart = |value: f64| match change.unit {
        "%" => format!("{} points", digits(value)),
        unit => show_in(unit, value),
    };
    let plus = if change.difference > 0.0 { "+" } else { "" };
    let half = (change.interval_high - change.interval_low) / 2.0;
    vec![
        Cell::new(sign).painted(paint),
        Cell::new(&change.metric),
        Cell::number(show(change.a)),
        Cell::number(show(change.b)),
        Cell::new(format!(
            "{plus}{} ± {}",
            apart(change.difference),
            apart(half)
        ))
        .painted(paint),
    ]
}

fn name_of(recorded: &Recorded) -> String {
    let results = &recorded.results;
    let commit = results.commit.as_ref();
    let commit = commit.map_or(String::new(), |commit| format!(", commit {commit}"));
    format!(
        "{}, {}{commit}",
        results.scenario.name,
        date(results.started_unix_ms)
    )
}
