//! The region's media keys: rotated when it is time, published by the feed before they sign.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::proto::feed::MediaKey;
use mcsp_auth_edge::{MediaKeyMaterial, MediaKeyStore};
use mcsp_feed::{Change, Feed};
use mcsp_runtime::Shutdown;

use crate::NodeError;

const EVERY: Duration = Duration::from_secs(60);

/// Publishes what verifies media URLs. Cloning shares it.
#[derive(Clone)]
pub(crate) struct MediaKeys {
    pub(crate) store: Arc<MediaKeyStore>,
    pub(crate) feed: Feed,
}

impl MediaKeys {
    /// Publishes every key; those that the feed has are not published again.
    pub(crate) async fn publish(&self) -> Result<(), NodeError> {
        for key in self.store.published() {
            // A key's end may move once: when it is retired.
            let source = format!("media-key:{}:{}", key.key_id, key.not_after_s);
            self.feed.publish_once(&source, change(key)).await?;
        }
        Ok(())
    }

    /// Rotates and publishes until shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), NodeError> {
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
            let store = Arc::clone(&self.store);
            let rotated = tokio::task::spawn_blocking(move || store.rotate_if_due())
                .await
                .map_err(|error| NodeError::Process(error.to_string()))??;
            if rotated {
                tracing::info!("media keys rotated");
            }
            self.publish().await?;
        }
    }
}

fn change(key: MediaKeyMaterial) -> Change {
    Change::MediaKey(MediaKey {
        key_id: key.key_id,
        algorithm: key.algorithm.as_str().to_owned(),
        key: key.key.into(),
        not_before_s: key.not_before_s,
        not_after_s: key.not_after_s,
    })
}
