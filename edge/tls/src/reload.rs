//! Watching certificate files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mcsp_runtime::Shutdown;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::MissedTickBehavior;

use crate::{CertificateStore, TlsConfig};

/// When a file was last written and how long it is; what cannot be looked at differs from everything.
type Stamp = Option<(SystemTime, u64)>;
/// The stamps of every file.
pub(crate) type Stamps = Vec<Stamp>;

impl CertificateStore {
    /// Reads the files again whenever one of them changed, until `shutdown`. A set that cannot be used is logged and
    /// counted, and the last good one stays in force.
    ///
    /// # Errors
    /// When `registry` refuses the counter.
    pub async fn watch(
        self: Arc<Self>,
        registry: &Registry,
        shutdown: Shutdown,
    ) -> Result<(), prometheus::Error> {
        let reloads = IntCounterVec::new(
            Opts::new(
                "mcsp_tls_reloads_total",
                "Certificate reloads by outcome: reloaded, refused.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        let mut ticks = tokio::time::interval(Duration::from_millis(self.config.reload_check_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut seen = self.opened.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.wait() => return Ok(()),
            }
            let now = stamps(&self.config);
            if now == seen {
                continue;
            }
            // A file that is half written is refused now and looked at again when it changes further.
            seen = now;
            match self.reload() {
                Ok(()) => {
                    reloads.with_label_values(&["reloaded"]).inc();
                    tracing::info!("certificates reloaded");
                }
                Err(error) => {
                    reloads.with_label_values(&["refused"]).inc();
                    tracing::error!(%error, "certificates not reloaded; the last good ones stay in force");
                }
            }
        }
    }
}

pub(crate) fn stamps(config: &TlsConfig) -> Stamps {
    config
        .certificates
        .iter()
        .flat_map(|one| [&one.cert_file, &one.key_file])
        .map(|path| stamp(path))
        .collect()
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
