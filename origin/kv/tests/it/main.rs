//! The key-value engine from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod faults;
mod kill;
mod model;
mod remote;
mod sled;

use std::path::Path;
use std::sync::Arc;

use mcsp_kv::{KvOptions, SharedKv};
use mcsp_runtime::{ManualClock, SharedClock};

fn options(clock: SharedClock) -> KvOptions {
    KvOptions {
        clock,
        identity: None,
    }
}

/// A store in `folder` by a clock that stands still.
async fn open_sled(folder: &Path, clock: &Arc<ManualClock>) -> SharedKv {
    let uri = format!("sled:{}", folder.display());
    // Whoever had it open may still be letting go, on a busy machine for longer than is waited for by itself.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match mcsp_kv::open(&uri, options(clock.clone())).await {
            Ok(kv) => return kv,
            Err(error) => assert!(
                error.to_string().contains("lock") && std::time::Instant::now() < until,
                "{error}"
            ),
        }
    }
}
