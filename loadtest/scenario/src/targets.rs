//! What is tested.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

/// What is tested. Nothing outside the loopback is touched that the allow file does not list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// The API's base; `/api/v1/…` is put after it.
    pub api: Url,
    /// The origin itself, for `player.check = "origin"`: `/media/…` is put after it.
    #[serde(default)]
    pub origin: Option<Url>,
    /// `host:port`s whose address is given here and not asked of DNS.
    #[serde(default)]
    pub resolve: BTreeMap<String, SocketAddr>,
    /// PEM certificates of authorities that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What may be touched outside the loopback.
    #[serde(default)]
    pub allow_file: Option<PathBuf>,
}
