//! New certificate files without a restart: on SIGHUP, and when a file has changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mcsp_identity::WorkloadIdentity;
use mcsp_runtime::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::NodeError;

const EVERY: Duration = Duration::from_secs(30);

/// Reloads until shutdown. Files that cannot be used leave the identity as it is.
pub(crate) async fn run(identity: WorkloadIdentity, shutdown: Shutdown) -> Result<(), NodeError> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| NodeError::Process(error.to_string()))?;
    let config = identity.config().clone();
    let files = [config.cert_file, config.key_file, config.ca_file];
    let mut seen = changed(&files);
    loop {
        let is_asked = tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = hangup.recv() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        let now = changed(&files);
        if !is_asked && now == seen {
            continue;
        }
        match identity.reload() {
            Ok(()) => {
                // Only what was read counts as seen: files in the middle of a replacement are tried again.
                seen = now;
                tracing::info!(identity = %identity.spiffe_id(), "certificates reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "certificates not reloaded; the old ones stay in force");
            }
        }
    }
}

fn changed(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let modified = |file: &PathBuf| {
        std::fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    files.iter().map(modified).collect()
}
