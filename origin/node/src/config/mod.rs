//! The node's configuration: what is the node's own, and one table for each subsystem.

mod roles;
mod uris;
mod validate;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mcsp_auth_edge::MediaKeyConfig;
use mcsp_geo::residency::Policy;
use mcsp_identity::{DNS_SUFFIX, IdentityConfig};
use mcsp_objects::EndpointConfig;
use mcsp_rpc::{RpcPolicy, ServerLimits};
use mcsp_runtime::load_config;
use mcsp_svc_auth::AuthConfig;
use mcsp_svc_content::ContentConfig;
use mcsp_svc_playback::PlaybackConfig;
use mcsp_svc_upload::UploadConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use roles::{Role, Roles};
pub use uris::EngineUris;
pub use validate::References;

use crate::NodeError;

/// What begins the name of every variable that overrides a key: `MCSP_ORIGIN_LISTEN__RPC` sets `listen.rpc`.
pub const ENV_PREFIX: &str = "MCSP_ORIGIN_";
/// The whole configuration with its defaults, for people.
pub const DEFAULT_TOML: &str = include_str!("../../default.toml");

/// The whole configuration. `default.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This region's id, as `regions.toml` has it. Required.
    pub region: String,
    /// Everything the node writes. Required.
    pub data_dir: PathBuf,
    /// PoP manifests and `regions.toml`. Required.
    pub pops_dir: PathBuf,
    /// What runs in this process; default `["all"]`.
    #[serde(default)]
    pub roles: Roles,
    /// Another caller table than the built-in one; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callers_file: Option<PathBuf>,
    /// For the whole stop, milliseconds, 0 to 600 000, default 20 000.
    #[serde(default = "stop_timeout_ms")]
    pub stop_timeout_ms: u64,
    /// `[log]`.
    #[serde(default)]
    pub log: LogConfig,
    /// `[identity]`. Required.
    pub identity: IdentityConfig,
    /// `[listen]`.
    #[serde(default)]
    pub listen: ListenConfig,
    /// `[limits]`: bounds of the `rpc` listener.
    #[serde(default)]
    pub limits: ServerLimits,
    /// `[calls]`: bounds of calls to other services.
    #[serde(default)]
    pub calls: RpcPolicy,
    /// `[engines]`.
    #[serde(default)]
    pub engines: EnginesConfig,
    /// `[storage]`.
    #[serde(default)]
    pub storage: StorageConfig,
    /// `[remote]`: services that run in other processes of this region.
    #[serde(default)]
    pub remote: RemoteConfig,
    /// `[peers.ID]`: other regions.
    #[serde(default)]
    pub peers: BTreeMap<String, RemoteAddress>,
    /// `[media_keys]`.
    #[serde(default)]
    pub media_keys: MediaKeyConfig,
    /// `[residency]`.
    #[serde(default)]
    pub residency: Policy,
    /// `[auth]`.
    #[serde(default)]
    pub auth: AuthConfig,
    /// `[upload]`.
    #[serde(default)]
    pub upload: UploadConfig,
    /// `[content]`.
    #[serde(default)]
    pub content: ContentConfig,
    /// `[playback]`.
    #[serde(default)]
    pub playback: PlaybackConfig,
    /// `[web]`.
    #[serde(default)]
    pub web: WebConfig,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,mcsp_rpc=debug`; default `info,s3s=off`: the
    /// S3 library logs every refused request as an error, which the access log has already.
    pub level: String,
    /// Of the traces that begin here, this share is sampled, 0 to 1, default 0.05.
    pub trace_sample_ratio: f64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info,s3s=off".to_owned(),
            trace_sample_ratio: 0.05,
        }
    }
}

/// `[listen]`. Port 0 takes a free one; `addresses.json` in the data folder says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// gRPC, API, media and pages, with mutual TLS; default `127.0.0.1:7401`.
    #[serde(deserialize_with = "socket_address")]
    pub rpc: SocketAddr,
    /// Object storage, with mutual TLS; default `127.0.0.1:7402`.
    #[serde(deserialize_with = "socket_address")]
    pub s3: SocketAddr,
    /// Metrics, health, readiness, without TLS; a loopback address; default `127.0.0.1:7403`.
    #[serde(deserialize_with = "socket_address")]
    pub admin: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            rpc: loopback(7401),
            s3: loopback(7402),
            admin: loopback(7403),
        }
    }
}

/// `[engines]`: a URI each; what is not said is an embedded engine in the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnginesConfig {
    /// Default `sqlite:{data_dir}/auth.db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_db: Option<String>,
    /// Default `sqlite:{data_dir}/upload.db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_db: Option<String>,
    /// Default `sqlite:{data_dir}/content.db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_db: Option<String>,
    /// Default `sqlite:{data_dir}/feed.db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed_db: Option<String>,
    /// Default with the role `events`: `redb:{data_dir}/events.redb`; without it `mcsp://host:port/server_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
    /// Default with the role `kv`: `sled:{data_dir}/kv`; without it `mcsp://host:port/server_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<String>,
    /// Default with the role `storage`: `file:{data_dir}/objects`; without it `s3://host:port?server_name=…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<String>,
}

/// `[storage]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Where each holder's credentials are, a file each, mode 0600; the role `storage` makes what is missing. Default
    /// `{data_dir}/secrets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_dir: Option<PathBuf>,
    /// Where the media worker's credentials go instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_credentials_file: Option<PathBuf>,
    /// `[storage.endpoint]`: bounds of the `s3` listener.
    pub endpoint: EndpointConfig,
}

/// `[remote]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// `[remote.content]`: needed by `upload` and `playback` where `content` is not in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<RemoteAddress>,
}

/// Where another process listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteAddress {
    /// `host:port`. Required.
    pub address: String,
    /// The name in its certificate; default `origin.{region}.mcsp.internal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl RemoteAddress {
    /// The name to expect of the process at this address in `region`.
    #[must_use]
    pub fn server_name(&self, region: &str) -> String {
        self.server_name
            .clone()
            .unwrap_or_else(|| format!("origin.{region}.{DNS_SUFFIX}"))
    }
}

/// `[web]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// The folder with `index.html` and `assets/`; the role `web` needs it where it is named; with `all` and no folder
    /// no pages are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_dir: Option<PathBuf>,
}

/// The standard library's own message does not show the value.
fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?}: expected address:port, such as 127.0.0.1:7401"
        ))
    })
}

fn stop_timeout_ms() -> u64 {
    20_000
}

impl Config {
    /// Reads the file, lets the environment override it, and checks every value.
    ///
    /// # Errors
    /// [`NodeError::Config`] and [`NodeError::ConfigFile`], with each key, its value and what was expected.
    pub fn load(path: &Path) -> Result<Self, NodeError> {
        let config: Self = load_config(path, ENV_PREFIX)?;
        config.validate()?;
        Ok(config)
    }

    /// Where the credentials for object storage are.
    #[must_use]
    pub fn credentials_dir(&self) -> PathBuf {
        self.storage
            .credentials_dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("secrets"))
    }
}

impl Config {
    /// Checks everything that can be checked without opening an engine: what the configuration points at, and the
    /// process's identity.
    ///
    /// # Errors
    /// [`NodeError::Config`] or [`NodeError::Identity`].
    pub fn check(&self) -> Result<(), NodeError> {
        self.load_references()?;
        crate::node::load_identity(self).map(drop)
    }
}
