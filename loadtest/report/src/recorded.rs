//! A run as it is kept.

use std::collections::BTreeSet;

use mcsp_loadtest_measure::{Results, ResultsError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// What this version writes and reads.
pub const RECORDED_SCHEMA: u32 = 1;

/// A run as it is kept: `results.json`. All that was measured is in `results`, in the forms that add up and compare without loss;
/// histograms are HdrHistogram's V2 compressed form in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// [`RECORDED_SCHEMA`].
    pub schema: u32,
    /// The version of the tool that made the run.
    pub tool_version: String,
    /// What was touched, as `host:port`, in order.
    pub target_hosts: Vec<String>,
    /// The scenario as TOML, defaults filled in, without passwords.
    pub scenario_toml: String,
    /// What was asked, measured and thought of it.
    pub results: Results,
}

/// Why a run cannot be read. No retry helps.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordedError {
    /// Not JSON, or not of this form.
    #[error("this is no recorded run: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another version of the tool.
    #[error("a recorded run of schema {found}: this version reads {RECORDED_SCHEMA}")]
    Schema {
        /// What it says.
        found: u64,
    },
    /// Its results are of another version of the tool.
    #[error(transparent)]
    Results(#[from] ResultsError),
}

impl Recorded {
    /// Of a run that was judged.
    #[must_use]
    pub fn new(results: Results, tool_version: &str) -> Self {
        let targets = &results.scenario.targets;
        let places = results.scenario.geography.iter();
        let urls = [Some(&targets.api), targets.origin.as_ref()]
            .into_iter()
            .flatten()
            .chain(places.filter_map(|place| place.api.as_ref()));
        let hosts: BTreeSet<String> = urls
            .map(host_of)
            .chain(targets.resolve.keys().cloned())
            .collect();
        Self {
            schema: RECORDED_SCHEMA,
            tool_version: tool_version.to_owned(),
            target_hosts: hosts.into_iter().collect(),
            // A scenario that was read can be written.
            scenario_toml: results.scenario.to_toml().unwrap_or_default(),
            results,
        }
    }

    /// Reads what [`crate::json`] wrote.
    ///
    /// # Errors
    /// What is not JSON, or is of another schema.
    pub fn from_json(text: &str) -> Result<Self, RecordedError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
            results: ResultsHead,
        }
        #[derive(Deserialize)]
        struct ResultsHead {
            schema: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema != u64::from(RECORDED_SCHEMA) {
            return Err(RecordedError::Schema { found: head.schema });
        }
        if head.results.schema != mcsp_loadtest_measure::RESULTS_SCHEMA {
            let found = head.results.schema;
            return Err(ResultsError::Schema { found }.into());
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The exit status that the run's verdict asks for: 0 pass, 1 fail, 2 the tool was overloaded, 3 incomplete.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.results.verdict.kind.exit_status()
    }
}

/// The run as JUnit XML: a test case for each SLO, for each of them that had to hold during a chaos step, for each kind of finding,
/// and for the verdict.
#[must_use]
pub fn junit(recorded: &Recorded) -> String {
    mcsp_loadtest_measure::junit(&recorded.results)
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
