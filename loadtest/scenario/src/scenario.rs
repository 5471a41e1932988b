//! The whole of a scenario.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::arrivals::Arrival;
use crate::chaos::{Node, Step};
use crate::content::Content;
use crate::people::Mix;
use crate::places::{Device, Place};
use crate::settings::{
    Accounts, ApiUserSettings, CreatorSettings, FindingSettings, PlayerSettings, Protocol,
    ToolLimits,
};
use crate::slo::Slo;
use crate::targets::Targets;
use crate::text::{self, ScenarioError};

/// Every key with its default and range, as `mcsp-load scenarios --annotated` prints it.
pub const ANNOTATED_TOML: &str = include_str!("annotated.toml");

/// A load, who makes it, and what must hold meanwhile. The annotated document ([`ANNOTATED_TOML`]) says what each key is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// 1 to 64 characters of a-z, 0-9 and `-`.
    pub name: String,
    /// A sentence for people.
    #[serde(default)]
    pub purpose: String,
    /// Everything that is drawn is drawn from it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How long users arrive, s.
    #[serde(default = "default_duration_s")]
    pub duration_s: u64,
    /// What of it is left out of quantiles, SLOs and comparisons, s.
    #[serde(default)]
    pub warm_up_s: u64,
    /// What of it, after the warm-up, latencies of the rest are held against, s; 0: nothing is.
    #[serde(default)]
    pub baseline_s: u64,
    /// HTTP version of the users' connections.
    #[serde(default)]
    pub protocol: Protocol,
    /// What is tested.
    pub targets: Targets,
    /// When users come; they add up.
    pub arrivals: Vec<Arrival>,
    /// What kinds of users come.
    #[serde(default)]
    pub mix: Mix,
    /// Who users sign in as.
    #[serde(default)]
    pub accounts: Accounts,
    /// What is played, and how often.
    #[serde(default)]
    pub content: Content,
    /// What it is played on; none: one without bounds.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Where users come from; none: the system picks their addresses.
    #[serde(default)]
    pub geography: Vec<Place>,
    /// How players play.
    #[serde(default)]
    pub player: PlayerSettings,
    /// How creators upload.
    #[serde(default)]
    pub creator: CreatorSettings,
    /// What API users do.
    #[serde(default)]
    pub api_user: ApiUserSettings,
    /// What is asked of the system.
    #[serde(default)]
    pub slo: Vec<Slo>,
    /// Processes that are watched, or harmed by chaos steps.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// What is done to them.
    #[serde(default)]
    pub chaos: Vec<Step>,
    /// What is a finding.
    #[serde(default)]
    pub findings: FindingSettings,
    /// Bounds of the tool itself.
    #[serde(default)]
    pub tool: ToolLimits,
}

fn default_seed() -> u64 {
    1
}

fn default_duration_s() -> u64 {
    60
}

impl Scenario {
    /// Reads and checks a scenario; `name` stands for it in errors. Files that it names (bandwidth traces) are read later, by
    /// [`Scenario::inline_files`].
    ///
    /// # Errors
    /// All that is wrong with it, each with line and column, 20 at most: what is not TOML, unknown keys, values out of range.
    pub fn parse(text: &str, name: &str) -> Result<Self, ScenarioError> {
        text::parse(text, name)
    }

    /// Reads a file of at most 1 MiB, checks it, and puts in what it names: afterwards it can be sent to another machine.
    ///
    /// # Errors
    /// As [`Scenario::parse`], and files that cannot be read.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let name = path.display().to_string();
        let text = text::read_bounded(path, text::SCENARIO_BYTES_MAX)?;
        let mut scenario = text::parse(&text, &name)?;
        scenario.inline_files(path.parent().unwrap_or(Path::new(".")))?;
        Ok(scenario)
    }

    /// Puts bandwidth traces in the place of the files' names; relative ones start at `folder`.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 16 MiB, or is not a trace.
    pub fn inline_files(&mut self, folder: &Path) -> Result<(), ScenarioError> {
        for device in &mut self.devices {
            device.bandwidth.inline_file(folder)?;
        }
        Ok(())
    }

    /// The scenario as TOML, for a report or a worker.
    ///
    /// # Errors
    /// None for a scenario that [`Scenario::parse`] gave.
    pub fn to_toml(&self) -> Result<String, ScenarioError> {
        toml::to_string(self).map_err(|error| ScenarioError::Write(error.to_string()))
    }

    /// The end of the warm-up, µs after the start.
    #[must_use]
    pub fn warm_up_us(&self) -> u64 {
        self.warm_up_s.saturating_mul(1_000_000)
    }

    /// How long users arrive, µs.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        self.duration_s.saturating_mul(1_000_000)
    }
}
