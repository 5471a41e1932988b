//! Where a platform is that is ready to be loaded, as whoever started it tells.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::chaos::Node;
use crate::places::Place;
use crate::scenario::Scenario;
use crate::settings::Protocol;
use crate::targets::Targets;
use crate::text::{self, Fault, ScenarioError};

/// What a platform that is ready to be loaded tells of itself, in TOML: a scenario says what load, this says upon what. The demo writes
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surroundings {
    /// Who wrote it, for people.
    pub written_by: String,
    /// The process that keeps the platform running: when it is gone, so is the platform.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The HTTP version that the platform speaks; none: all.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// What can be played, the most popular first.
    #[serde(default)]
    pub content_ids: Vec<String>,
    /// Where it is.
    pub targets: Targets,
    /// Where its users may come from.
    #[serde(default)]
    pub geography: Vec<Place>,
    /// Its processes.
    #[serde(default)]
    pub nodes: Vec<Node>,
}

impl Surroundings {
    /// Reads a file of at most 1 MiB.
    ///
    /// # Errors
    /// What cannot be read; what is not TOML of this form, with line and column.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = text::read_bounded(path, text::SCENARIO_BYTES_MAX)?;
        toml::from_str(&text).map_err(|error| ScenarioError::Invalid {
            name: path.display().to_string(),
            faults: vec![text::not_toml(&text, &error)],
        })
    }

    /// As [`Surroundings::load`] reads it.
    ///
    /// # Errors
    /// None for what can be read back.
    pub fn to_toml(&self) -> Result<String, ScenarioError> {
        toml::to_string(self).map_err(|error| ScenarioError::Write(error.to_string()))
    }

    /// Puts the scenario's load upon this platform: its targets and HTTP version are taken, and items, places and nodes where the
    /// scenario has none of its own.
    ///
    /// # Errors
    /// When the scenario cannot be used like that, such as a chaos step for a node that there is not.
    pub fn furnish(&self, scenario: &mut Scenario) -> Result<(), ScenarioError> {
        let allow_file = scenario.targets.allow_file.take();
        scenario.targets.clone_from(&self.targets);
        scenario.targets.allow_file = allow_file.or_else(|| self.targets.allow_file.clone());
        if let Some(protocol) = self.protocol {
            scenario.protocol = protocol;
        }
        if scenario.content.ids.is_empty() {
            scenario.content.ids.clone_from(&self.content_ids);
        }
        if scenario.geography.is_empty() {
            scenario.geography.clone_from(&self.geography);
        }
        if scenario.nodes.is_empty() {
            scenario.nodes.clone_from(&self.nodes);
        }
        scenario.check(&self.written_by)
    }
}

impl Scenario {
    /// Checks a scenario that was changed after it was read; `name` stands for it.
    ///
    /// # Errors
    /// As [`Scenario::parse`], without lines.
    pub fn check(&self, name: &str) -> Result<(), ScenarioError> {
        let faults: Vec<Fault> = crate::check::faults(self)
            .into_iter()
            .take(text::FAULTS_MAX)
            .map(|wrong| Fault {
                line: 0,
                column: 0,
                message: wrong.to_string(),
            })
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(ScenarioError::Invalid {
            name: name.to_owned(),
            faults,
        })
    }
}
