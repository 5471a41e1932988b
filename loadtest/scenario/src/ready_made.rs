//! Scenarios that come with the tool.

use crate::scenario::Scenario;
use crate::text::ScenarioError;

/// A scenario that comes with the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyMade {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// Its text, to be copied and changed.
    pub toml: &'static str,
}

macro_rules! ready_made {
    ($($name:literal),* $(,)?) => {
        &[$(ReadyMade { name: $name, toml: include_str!(concat!("ready_made/", $name, ".toml")) }),*]
    };
}

/// All of them.
pub const READY_MADE: &[ReadyMade] = ready_made![
    "one-node-limit",
    "prime-time",
    "viral-item",
    "cold-start-after-purge",
    "token-refresh-storm",
    "upload-day",
    "soak",
];

/// The one of that name; none when there is no such.
///
/// # Errors
/// None: a test reads all of them.
pub fn ready_made(name: &str) -> Option<Result<Scenario, ScenarioError>> {
    let found = READY_MADE.iter().find(|ready| ready.name == name)?;
    Some(Scenario::parse(found.toml, &format!("{name}.toml")))
}
