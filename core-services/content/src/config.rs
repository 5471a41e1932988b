//! The content service's own configuration.

use serde::{Deserialize, Serialize};

/// Whether a person has to approve an item before it is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moderation {
    /// Packaged items wait in `PENDING_MODERATION` until they are approved.
    #[default]
    Hold,
    /// Packaged items are published at once. For demonstrations only.
    Off,
}

/// `[content]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentConfig {
    /// `hold` (default) or `off`.
    pub moderation: Moderation,
}
