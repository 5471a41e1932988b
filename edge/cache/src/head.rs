//! The head of a stored response.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, StatusCode};

use crate::account::Share;
use crate::disk_tier::DiskLifetimes;

/// Ages and lifetimes of a stored response, as the policy worked them out. Times in milliseconds since the Unix epoch.
pub type Lifetimes = DiskLifetimes;

/// Status, header fields and lifetimes of a stored response, and a place for what the server prepares of them.
#[derive(Debug)]
pub struct StoredHead {
    /// The response's status.
    pub status: StatusCode,
    /// Its header fields, without those of one connection.
    pub headers: HeaderMap,
    /// Its ages and lifetimes.
    pub lifetimes: Lifetimes,
    prepared: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl StoredHead {
    /// A head with nothing prepared.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, lifetimes: Lifetimes) -> Self {
        Self {
            status,
            headers,
            lifetimes,
            prepared: OnceLock::new(),
        }
    }

    /// What the server made of this head once and for all, such as the bytes of a response head. `prepare` runs at the
    /// first call; every call must name the same type, else it gets nothing.
    pub fn prepared<T: Any + Send + Sync>(&self, prepare: impl FnOnce(&Self) -> T) -> Option<&T> {
        if let Some(prepared) = self.prepared.get() {
            return prepared.downcast_ref();
        }
        let made: Arc<dyn Any + Send + Sync> = Arc::new(prepare(self));
        self.prepared.get_or_init(|| made).downcast_ref()
    }

    /// The memory that it takes, roughly: fields, and once more for what is prepared of them.
    pub(crate) fn weight(&self) -> u64 {
        const FIXED: usize = 512;
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| 2 * (name.as_str().len() + value.len()) + 64)
            .sum();
        (FIXED + fields) as u64
    }

    /// Bytes of all names and values.
    pub(crate) fn text_bytes(&self) -> u64 {
        let fields = self.headers.iter();
        let bytes = fields.map(|(name, value)| name.as_str().len() + value.len());
        bytes.sum::<usize>() as u64
    }
}

/// A head, and when it was asked for.
#[derive(Debug)]
pub(crate) struct HeadCell {
    pub(crate) head: Arc<StoredHead>,
    /// The purge generation in which it was asked for.
    pub(crate) generation: u64,
    _share: Share,
}

impl HeadCell {
    pub(crate) fn new(head: StoredHead, generation: u64, share: Share) -> Arc<Self> {
        Arc::new(Self {
            head: Arc::new(head),
            generation,
            _share: share,
        })
    }
}
