//! The URI in configuration picks the engine.

use std::path::Path;
use std::sync::Arc;

use mcsp_identity::WorkloadIdentity;
use mcsp_rpc::{RpcChannel, RpcError, RpcPolicy};
use mcsp_runtime::{EngineUri, EngineUriError, FaultPlan, SharedClock};
use thiserror::Error;

use crate::{EventError, FaultyLog, RedbLog, RemoteLog, SharedEventLog};

/// What engines need beside their URI.
#[derive(Debug, Clone)]
pub struct EventsOptions {
    /// Stamps records, and ends sessions of members.
    pub clock: SharedClock,
    /// Who this process is; needed by `mcsp:` only.
    pub identity: Option<WorkloadIdentity>,
}

/// Why no log could be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URI cannot be used, or names no engine of this build.
    #[error(transparent)]
    Uri(#[from] EngineUriError),
    /// The way to another process cannot be used.
    #[error("event log {uri:?}: {source}")]
    Rpc {
        /// The URI.
        uri: String,
        /// Why.
        source: RpcError,
    },
    /// The engine refused.
    #[error(transparent)]
    Log(#[from] EventError),
}

impl OpenError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Uri(_) | Self::Rpc { .. } => false,
            Self::Log(error) => error.is_retryable(),
        }
    }
}

/// How long a log that failed is left alone, milliseconds.
const BREAKER_OPEN_MS: u64 = 500;

const KNOWN: &str = "redb, mcsp, faulty";

/// Opens the log that `uri` names: `redb:/path/to/file`, `mcsp://host:port/server_name` (another process's log by
/// gRPC), or `faulty:` in front of either, with the parameters of [`FaultPlan`]. Must be called inside a runtime.
///
/// # Errors
/// [`OpenError::Uri`] when the URI cannot be used, [`OpenError::Log`] when the engine does not open.
pub async fn open(uri: &str, options: EventsOptions) -> Result<SharedEventLog, OpenError> {
    let parsed = EngineUri::parse(uri)?;
    if parsed.scheme != "faulty" {
        return open_engine(&parsed, options).await;
    }
    let (plan, inner_uri) = FaultPlan::split(&parsed)?;
    let inner = open_engine(&EngineUri::parse(&inner_uri)?, options).await?;
    Ok(Arc::new(FaultyLog::new(inner, plan)))
}

async fn open_engine(uri: &EngineUri, options: EventsOptions) -> Result<SharedEventLog, OpenError> {
    match uri.scheme.as_str() {
        "redb" => open_redb(uri, options).await,
        "mcsp" => open_remote(uri, options),
        _ => Err(uri.unknown_engine("event log", KNOWN).into()),
    }
}

async fn open_redb(uri: &EngineUri, options: EventsOptions) -> Result<SharedEventLog, OpenError> {
    if let Some(name) = uri.params.keys().next() {
        return Err(uri
            .bad_parameter(name, "this engine takes no parameters")
            .into());
    }
    if uri.rest.is_empty() {
        return Err(uri
            .bad_parameter("path", "expected redb:/path/to/file")
            .into());
    }
    let path = Path::new(&uri.rest).to_owned();
    // Opening after a kill reads the whole file.
    let opened = tokio::task::spawn_blocking(move || RedbLog::open(&path, options.clock)).await;
    let log = Arc::new(opened.map_err(|error| EventError::Unavailable(error.to_string()))??);
    tokio::spawn(log.sweeper());
    Ok(log)
}

fn open_remote(uri: &EngineUri, options: EventsOptions) -> Result<SharedEventLog, OpenError> {
    let (addr, server_name) = uri.remote()?;
    let identity = options.identity.ok_or_else(|| {
        uri.bad_parameter(
            "identity",
            "this process has no workload identity to call with",
        )
    })?;
    let channel =
        RpcChannel::connect(addr, server_name, &identity).map_err(|source| OpenError::Rpc {
            uri: uri.uri.clone(),
            source,
        })?;
    // Everything waits for the log, so it is asked again soon after it was away.
    let policy = RpcPolicy {
        breaker_open_ms: BREAKER_OPEN_MS,
        ..RpcPolicy::default()
    };
    Ok(Arc::new(RemoteLog::new(channel.with_policy(policy))))
}
