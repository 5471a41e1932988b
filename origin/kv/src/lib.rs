//! The key-value engine: lifetimes, counters, compare-and-set.
//!
//! Holds only what may be rebuilt or is flushed elsewhere: sessions, counters, caches, leases. The scheme of the
//! configured URI picks the engine; each passes the same [`contract`] suite.
//!
//! | scheme | engine |
//! | --- | --- |
//! | `sled:/path/to/folder` | a store in this process, which owns the folder; parameter `cache_mib` (1 to 4096, default 64) |
//! | `mcsp://host:port/server_name` | the store of another process, which serves [`grpc_service`], over mutual TLS |
//! | `faulty:` and another URI | that engine with seeded faults ([`mcsp_runtime::FaultPlan`]) |

mod client;
pub mod contract;
mod faulty;
mod record;
mod server;
mod sled_engine;
mod sweep;
mod writer;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_identity::WorkloadIdentity;
use mcsp_runtime::{EngineUri, EngineUriError, FaultPlan, SharedClock};
use thiserror::Error;

pub use client::remote;
pub use server::{KvService, grpc_service};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KvError {
    /// The engine is away or overloaded; the call may have had its effect.
    #[error("key-value engine is not available: {0}")]
    Unavailable(String),
    /// The key, the value or the counter cannot be used.
    #[error("key-value call refused: {0}")]
    Invalid(String),
    /// The store's files are damaged.
    #[error("key-value store is damaged: {0}")]
    Corrupt(String),
}

impl KvError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The longest key, bytes; the shortest has one.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value, bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The most entries one scan returns.
pub const SCAN_ENTRIES_MAX: u32 = 1000;
/// A scan ends before the entry whose value would take its values beyond this many bytes, unless it is the first.
pub const SCAN_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What [`KeyValue::compare_and_set`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// True when the new value is in place.
    pub swapped: bool,
    /// What is there after the call.
    pub current: Option<Bytes>,
}

/// A store of small values with lifetimes. Every method is atomic for its key. What a call acknowledged survives a
/// kill of the process, though not a loss of power.
#[async_trait]
pub trait KeyValue: Send + Sync + Debug {
    /// The value, unless it is absent or its lifetime has ended.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KvError>;
    /// Sets the value; `ttl: None` means without end. A lifetime is counted in whole milliseconds, at least one.
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), KvError>;
    /// Removes the value; true when there was one.
    async fn delete(&self, key: &str) -> Result<bool, KvError>;
    /// Adds to a counter (absent counts as 0) and returns its new value; `ttl` is set only when the counter is new.
    /// A counter's value is a decimal number as text. [`KvError::Invalid`] when the value is none or would overflow.
    async fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError>;
    /// Replaces `expected` (`None`: absent) by `value` (`None`: delete) if that is what is there.
    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<Swap, KvError>;
    /// Live entries whose keys begin with `prefix` and come after `after`, in the order of the keys' bytes, at most
    /// `entries_max` and [`SCAN_ENTRIES_MAX`]. There may be fewer ([`SCAN_BYTES_MAX`]): only an empty answer says that
    /// there are no more.
    async fn scan(
        &self,
        prefix: &str,
        after: &str,
        entries_max: u32,
    ) -> Result<Vec<(String, Bytes)>, KvError>;
}

/// A store that many owners share.
pub type SharedKv = Arc<dyn KeyValue>;

/// What an engine needs besides its URI.
#[derive(Debug, Clone)]
pub struct KvOptions {
    /// Ends lifetimes. Only the process that owns the store uses its own.
    pub clock: SharedClock,
    /// Who we are to another process; needed for `mcsp:` only.
    pub identity: Option<WorkloadIdentity>,
}

/// Why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KvOpenError {
    /// The URI cannot be used, or its engine is not in this build.
    #[error(transparent)]
    Uri(#[from] EngineUriError),
    /// The engine failed.
    #[error("{uri}: {source}")]
    Engine {
        /// The store's URI.
        uri: String,
        /// The engine's error.
        source: KvError,
    },
}

/// Opens the store that `uri` names; creates it if it is new.
///
/// # Errors
/// [`KvOpenError::Uri`] when the URI cannot be used, [`KvOpenError::Engine`] when the store cannot, for example because
/// another process owns its folder.
pub async fn open(uri: &str, options: KvOptions) -> Result<SharedKv, KvOpenError> {
    let parsed = EngineUri::parse(uri)?;
    if parsed.scheme == "faulty" {
        let (plan, inner_uri) = FaultPlan::split(&parsed)?;
        let inner = EngineUri::parse(&inner_uri)?;
        let store = open_engine(&inner, options).await?;
        return Ok(Arc::new(faulty::FaultyKv::new(store, plan)));
    }
    open_engine(&parsed, options).await
}

async fn open_engine(uri: &EngineUri, options: KvOptions) -> Result<SharedKv, KvOpenError> {
    match uri.scheme.as_str() {
        "sled" => Ok(Arc::new(
            sled_engine::SledKv::open(uri, options.clock).await?,
        )),
        "mcsp" => Ok(Arc::new(client::RemoteKv::connect(
            uri,
            options.identity.as_ref(),
        )?)),
        _ => Err(uri.unknown_engine("key-value", "sled, mcsp, faulty").into()),
    }
}

fn check_key(key: &str) -> Result<(), KvError> {
    let bytes = key.len();
    if bytes == 0 || bytes > KEY_BYTES_MAX {
        return Err(KvError::Invalid(format!(
            "key has {bytes} bytes, must have 1 to {KEY_BYTES_MAX}"
        )));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), KvError> {
    let bytes = value.len();
    if bytes > VALUE_BYTES_MAX {
        return Err(KvError::Invalid(format!(
            "value has {bytes} bytes, must have at most {VALUE_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// The lifetime in whole milliseconds.
fn check_ttl(ttl: Option<Duration>) -> Result<Option<i64>, KvError> {
    let Some(ttl) = ttl else { return Ok(None) };
    match i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX) {
        0 => Err(KvError::Invalid(
            "lifetime is shorter than a millisecond".to_owned(),
        )),
        ttl_ms => Ok(Some(ttl_ms)),
    }
}
