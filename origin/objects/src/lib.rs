//! Object storage: a durable local engine behind the S3 API, and a client of any S3.
//!
//! Everyone but the owner of the folder, services in the same process included, goes through the S3 API with
//! credentials of its own, so that bucket policies hold with the application's code out of the way.
//!
//! [`FileEngine`] keeps the bytes, [`S3Endpoint`] serves them under the policies of its [`Accounts`], and [`open`] gives
//! a client of this or any other S3. `faulty:` in front of a URI makes a store fail on purpose; [`contract`] is what every
//! store must pass.

mod client;
pub mod contract;
mod endpoint;
mod engine;
mod exact;
mod faulty;
mod name;
mod resolver;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use thiserror::Error;

pub use self::client::Timeouts;
pub use self::endpoint::{
    Account, Accounts, AccountsError, Action, Effect, EndpointConfig, Rule, S3Endpoint, Secret,
};
pub use self::engine::{FileEngine, FileEngineOptions};
pub use self::faulty::{Faults, FaultyObjects};
pub use self::resolver::{ObjectsOptions, OpenError, open};

/// Objects in a page of a listing.
pub const LIST_PAGE_MAX: usize = 1000;

/// Why a call failed.
#[derive(Debug, Clone, Error)]
pub enum ObjectError {
    /// No such bucket, object or upload.
    #[error("object storage has no {0}")]
    NotFound(String),
    /// The credentials may not do this.
    #[error("object storage denies {0}")]
    Denied(String),
    /// A condition did not hold, or the state does not allow the call.
    #[error("object storage conflict: {0}")]
    Conflict(String),
    /// The name, range, part or size cannot be used.
    #[error("object storage call refused: {0}")]
    Invalid(String),
    /// The store is away, full or overloaded.
    #[error("object storage is not available: {0}")]
    Unavailable(String),
}

impl ObjectError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's name in its bucket.
    pub key: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Strong validator, with its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// Unix milliseconds.
    pub modified_ms: i64,
    /// Its media type.
    pub content_type: String,
}

/// An object's bytes.
pub struct ObjectBody {
    /// What is known of the whole object.
    pub meta: ObjectMeta,
    /// Which of its bytes follow.
    pub range: Range<u64>,
    /// Chunks in order; an error means that the rest is missing.
    pub stream: BoxStream<'static, Result<Bytes, ObjectError>>,
}

/// A part that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartMeta {
    /// 1 to 10 000.
    pub part_number: u32,
    /// With its quotes.
    pub etag: String,
    /// Bytes.
    pub size_bytes: u64,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// In name order.
    pub objects: Vec<ObjectMeta>,
    /// Give it back for the next page.
    pub next: Option<String>,
}

/// Buckets of objects, as the holder of one set of credentials sees them. What a call acknowledged is durable: its
/// bytes and its name survive a kill and a loss of power.
#[async_trait]
pub trait ObjectStore: Send + Sync + Debug {
    /// Stores an object whole, replacing what had its name.
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError>;
    /// Stores the file at `path` as an object, without holding it in memory.
    async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        path: &std::path::Path,
    ) -> Result<ObjectMeta, ObjectError>;
    /// The object's bytes, or a range of them (clipped to the object's end).
    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError>;
    /// What is known of the object.
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta, ObjectError>;
    /// Removes the object; removing what is not there succeeds.
    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError>;
    /// Objects whose names begin with `prefix`, in name order, at most 1 000 a page.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, ObjectError>;
    /// Begins a multipart upload and returns its id.
    async fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ObjectError>;
    /// The parts that are durable, in order.
    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError>;
    /// Makes the object out of the parts; they must be those that are stored. Completing again what was completed
    /// succeeds.
    async fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError>;
    /// Forgets the upload and its parts.
    async fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError>;
    /// A URL that allows one PUT of one part for `life`, signed for `public_base` (scheme and authority, such as
    /// `https://los1.example:8443`): path-style, SigV4 in the query.
    fn presign_part(
        &self,
        public_base: &str,
        bucket: &str,
        key: &str,
        upload_id: &str,
        part_number: u32,
        life: Duration,
    ) -> Result<String, ObjectError>;
}

/// A store that many owners share.
pub type SharedObjects = Arc<dyn ObjectStore>;

/// The bytes that a request for `range` gets of an object: all without a range, else the range up to the object's end.
fn clip_range(range: Option<Range<u64>>, size_bytes: u64) -> Result<Range<u64>, ObjectError> {
    let Some(range) = range else {
        return Ok(0..size_bytes);
    };
    if range.start >= range.end || range.start >= size_bytes {
        return Err(ObjectError::Invalid(format!(
            "range {}..{} of an object of {size_bytes} bytes",
            range.start, range.end
        )));
    }
    Ok(range.start..range.end.min(size_bytes))
}
