//! Why a node does not start or stops.

use mcsp_audit::AuditError;
use mcsp_auth_edge::MediaKeyError;
use mcsp_db::DbError;
use mcsp_events::EventError;
use mcsp_feed::FeedError;
use mcsp_identity::IdentityError;
use mcsp_kv::KvOpenError;
use mcsp_objects::{AccountsError, ObjectError};
use mcsp_rpc::RpcError;
use mcsp_runtime::{ConfigError, EXIT_CONFIG};
use mcsp_svc_auth::AuthError;
use mcsp_svc_content::ContentError;
use mcsp_svc_upload::UploadError;
use mcsp_telemetry::LoggingError;
use thiserror::Error;

/// Why a node does not start or stops.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The configuration cannot be read as such.
    #[error(transparent)]
    ConfigFile(#[from] ConfigError),
    /// Values that cannot be used, a line each: key, value, what was expected.
    #[error("configuration:\n  {}", .0.join("\n  "))]
    Config(Vec<String>),
    /// Logging cannot begin.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The identity cannot be loaded.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file of the node's own cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A credentials file cannot be used.
    #[error("{path}: {reason}")]
    Secrets {
        /// The file.
        path: std::path::PathBuf,
        /// What was expected.
        reason: String,
    },
    /// An engine cannot be opened.
    #[error("{what}: {source}")]
    Engine {
        /// Which, such as `engines.kv`.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A service cannot take up service.
    #[error("{service}: {source}")]
    Service {
        /// Which.
        service: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A channel or the listener cannot be made.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// An address cannot be bound.
    #[error("{key} = {address}: {source}")]
    Bind {
        /// The key.
        key: &'static str,
        /// Its value.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A server ended although nobody told it to.
    #[error("the {0} server ended: {1}")]
    ServerEnded(&'static str, String),
    /// Signals cannot be received, or metrics not be registered.
    #[error("{0}")]
    Process(String),
}

impl NodeError {
    /// The process's exit status: 64 when the configuration or what it points at is at fault, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ConfigFile(_) | Self::Config(_) | Self::Identity(_) | Self::Secrets { .. } => {
                EXIT_CONFIG
            }
            Self::Logging(LoggingError::Level { .. }) => EXIT_CONFIG,
            _ => 1,
        }
    }

    /// May the same start succeed later, without a change of configuration?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.exit_code() != EXIT_CONFIG
    }

    pub(crate) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn engine(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Engine {
            what,
            source: source.into(),
        }
    }

    fn service(
        service: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Service {
            service,
            source: source.into(),
        }
    }
}

macro_rules! from_engine {
    ($($error:ty => $what:literal,)*) => {$(
        impl From<$error> for NodeError {
            fn from(error: $error) -> Self {
                Self::engine($what, error)
            }
        }
    )*};
}

from_engine! {
    DbError => "database",
    KvOpenError => "engines.kv",
    mcsp_events::OpenError => "engines.events",
    mcsp_objects::OpenError => "engines.objects",
    EventError => "event log",
    ObjectError => "object storage",
    AccountsError => "object storage",
    AuditError => "audit log",
}

macro_rules! from_service {
    ($($error:ty => $what:literal,)*) => {$(
        impl From<$error> for NodeError {
            fn from(error: $error) -> Self {
                Self::service($what, error)
            }
        }
    )*};
}

from_service! {
    AuthError => "auth",
    ContentError => "content",
    UploadError => "upload",
    FeedError => "feed",
    MediaKeyError => "media keys",
}
