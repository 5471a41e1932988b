//! A run's results, as they are kept.

use mcsp_loadtest_scenario::{Action, Scenario, Slo};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::partial::Partial;
use crate::{rules, slo, verdict};

/// Says what the JSON is; a change that old readers would misread gets another number.
pub const RESULTS_SCHEMA: &str = "mcsp-load/results/1";

/// The machine that the tool ran on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Logical processors.
    pub cores: u32,
    /// Their model.
    pub processor: String,
    /// Main memory, bytes.
    pub memory_bytes: u64,
    /// The system's name and release.
    pub system: String,
}

/// Whether all of the tool took part to the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Workers {
    /// Workers that were asked.
    pub expected: u32,
    /// Those that were lost on the way, and how.
    pub lost: Vec<String>,
    /// Why the run ended before its time; none: it did not.
    pub stopped_early: Option<String>,
}

/// A node's use of its machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeSample {
    /// µs after the run's start.
    pub at_us: u64,
    /// Whether it answered.
    pub is_up: bool,
    /// Processors in use since the last sample, as a number of cores.
    pub cpu_cores: Option<f64>,
    /// Resident memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Received since the last sample, bytes per second.
    pub receive_bytes_s: Option<f64>,
    /// Sent since the last sample, bytes per second.
    pub send_bytes_s: Option<f64>,
    /// Open connections.
    pub connections: Option<u64>,
}

/// A node's use of its machine over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeSeries {
    /// As in the scenario.
    pub name: String,
    /// In order.
    pub samples: Vec<NodeSample>,
}

/// An SLO, and what was measured for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SloVerdict {
    /// What was asked.
    pub slo: Slo,
    /// What was measured, in the metric's unit; none: there was nothing to measure it by.
    pub measured: Option<f64>,
    /// By how many requests, sessions or samples.
    pub samples: u64,
    /// Whether it is met; what was not measured is not.
    pub met: bool,
}

/// A chaos step, and whether what had to hold did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChaosRecord {
    /// Its index in the scenario's `chaos`.
    pub step: usize,
    /// When it was done, µs after the run's start.
    pub from_us: u64,
    /// When it was undone.
    pub until_us: u64,
    /// What was done.
    pub action: Action,
    /// To which node.
    pub target: String,
    /// Why it could not be done; none: it was.
    pub error: Option<String>,
    /// What had to hold, by what was measured from `from_us` to the end of the recovery; [`Results::conclude`] says it.
    pub must_hold: Vec<SloVerdict>,
}

/// What is to be thought of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// All SLOs are met, nothing was found, and the tool can be believed.
    Pass,
    /// The system did not do what was asked.
    Fail,
    /// The tool could not keep up, so that what it measured is its own.
    ToolOverloaded,
    /// Workers were lost, or the run ended early, or nothing was measured.
    Incomplete,
}

impl VerdictKind {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::ToolOverloaded => "tool-overloaded",
            Self::Incomplete => "incomplete",
        }
    }

    /// The exit status of a run: 0 for a pass only.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::ToolOverloaded => 2,
            Self::Incomplete => 3,
        }
    }
}

/// What is to be thought of a run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub kind: VerdictKind,
    /// In sentences, the gravest first; of a pass, what it rests on.
    pub reasons: Vec<String>,
}

/// A run's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`RESULTS_SCHEMA`].
    pub schema: String,
    /// What was asked, without passwords.
    pub scenario: Scenario,
    /// When the run started, ms since 1970-01-01T00:00:00Z.
    pub started_unix_ms: u64,
    /// How long it took, with the drain, µs.
    pub took_us: u64,
    /// Where the tool ran.
    pub machine: Machine,
    /// The commit of what was tested, when it is known.
    pub commit: Option<String>,
    /// Whether all of the tool took part.
    pub workers: Workers,
    /// All that was seen.
    pub seen: Partial,
    /// The nodes' use of their machines.
    pub nodes: Vec<NodeSeries>,
    /// What was done to them.
    pub chaos: Vec<ChaosRecord>,
    /// What was asked of the system, and what was measured.
    pub slo: Vec<SloVerdict>,
    /// What is to be thought of it.
    pub verdict: Verdict,
}

/// What is known when a run is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What was asked.
    pub scenario: Scenario,
    /// When the run started, ms since 1970-01-01T00:00:00Z.
    pub started_unix_ms: u64,
    /// How long it took, with the drain, µs.
    pub took_us: u64,
    /// Where the tool ran.
    pub machine: Machine,
    /// The commit of what was tested, when it is known.
    pub commit: Option<String>,
    /// Whether all of the tool took part.
    pub workers: Workers,
    /// The sum of all partials.
    pub seen: Partial,
    /// The nodes' use of their machines.
    pub nodes: Vec<NodeSeries>,
    /// What was done to them; `must_hold` is filled in.
    pub chaos: Vec<ChaosRecord>,
}

/// Why results cannot be read. No retry helps.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// Not JSON, or not of this form.
    #[error("these are no results: {0}")]
    Json(#[from] serde_json::Error),
    /// Results of another version of the tool.
    #[error("results of schema {found:?}: this version reads {RESULTS_SCHEMA:?}")]
    Schema {
        /// What they say.
        found: String,
    },
}

impl Results {
    /// Judges a run: derives findings from what was counted, evaluates SLOs and what had to hold, and says what is to be thought of
    /// it. Passwords are left out.
    #[must_use]
    pub fn conclude(run: Run) -> Self {
        let Run {
            mut scenario,
            started_unix_ms,
            took_us,
            machine,
            commit,
            workers,
            mut seen,
            nodes,
            mut chaos,
        } = run;
        rules::derive(&scenario, &nodes, &mut seen);
        for record in &mut chaos {
            slo::evaluate_step(&scenario, record, &seen);
            rules::broken_by_chaos(record, &mut seen.findings);
        }
        let slo: Vec<SloVerdict> = scenario
            .slo
            .iter()
            .map(|asked| slo::evaluate(asked, &scenario, &seen))
            .collect();
        rules::slow_for_slo(&slo, &scenario, &mut seen.findings);
        let verdict = verdict::of(&scenario, &workers, &seen, &chaos, &slo);
        scenario.accounts.password.clear();
        Self {
            schema: RESULTS_SCHEMA.to_owned(),
            scenario,
            started_unix_ms,
            took_us,
            machine,
            commit,
            workers,
            seen,
            nodes,
            chaos,
            slo,
            verdict,
        }
    }

    /// As JSON, to be kept.
    ///
    /// # Errors
    /// None for results that [`Results::conclude`] gave.
    pub fn to_json(&self) -> Result<String, ResultsError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads what [`Results::to_json`] wrote.
    ///
    /// # Errors
    /// What is not JSON, or is of another schema.
    pub fn from_json(text: &str) -> Result<Self, ResultsError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema != RESULTS_SCHEMA {
            return Err(ResultsError::Schema { found: head.schema });
        }
        Ok(serde_json::from_str(text)?)
    }
}
