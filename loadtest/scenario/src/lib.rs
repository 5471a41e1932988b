//! What a load test is told: its TOML, when users arrive and who they are, and which targets it may touch.
//!
//! Nothing here opens a connection, reads a clock or asks for randomness: the same scenario gives the same users at the same
//! microseconds on every machine, however many workers share them.

mod allow;
mod arrivals;
mod chaos;
mod check;
mod content;
mod people;
mod places;
mod random;
mod ready_made;
mod scenario;
mod schedule;
mod settings;
mod slo;
mod surroundings;
mod targets;
mod text;
mod trace;

pub use allow::{Admitted, AllowError, AllowList, Refused};
pub use arrivals::{Arrival, ArrivalKind, Spacing};
pub use chaos::{Action, Node, Step};
pub use content::{Content, Popularity, Viral};
pub use people::{Cast, Mix, User, UserKind};
pub use places::{Device, Place};
pub use random::Random;
pub use ready_made::{READY_MADE, ReadyMade, ready_made};
pub use scenario::{ANNOTATED_TOML, Scenario};
pub use schedule::{Schedule, Start};
pub use settings::{
    Abr, Accounts, ApiActions, ApiUserSettings, ByteCheck, CreatorSettings, FindingSettings,
    HttpVersion, ManifestChoice, PlayerSettings, Protocol, ToolLimits,
};
pub use slo::{Metric, Phase, Slo};
pub use surroundings::Surroundings;
pub use targets::Targets;
pub use text::{Fault, ScenarioError};
pub use trace::{Bandwidth, Trace, TraceFormat};
