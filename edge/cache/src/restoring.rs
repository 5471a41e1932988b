//! One load from the disk for many that ask for it at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::key::KeyHash;

/// Keys that are being brought back from the disk.
#[derive(Debug, Default)]
pub(crate) struct Restoring(Mutex<HashMap<KeyHash, watch::Receiver<()>>>);

/// A request's part in a load.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Load it; others wait until this is dropped.
    First { _until: Loads },
    /// Somebody does.
    Second(watch::Receiver<()>),
}

/// Takes a key off again.
#[derive(Debug)]
pub(crate) struct Loads {
    of: Arc<Restoring>,
    key: KeyHash,
    _done: watch::Sender<()>,
}

impl Drop for Loads {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.key);
    }
}

impl Restoring {
    pub(crate) fn enter(self: &Arc<Self>, key: KeyHash) -> Turn {
        let mut loads = self.0.lock();
        if let Some(done) = loads.get(&key) {
            return Turn::Second(done.clone());
        }
        let (done, waits) = watch::channel(());
        loads.insert(key, waits);
        Turn::First {
            _until: Loads {
                of: Arc::clone(self),
                key,
                _done: done,
            },
        }
    }
}
