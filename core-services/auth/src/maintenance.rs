//! Background work: idempotent, driven by a timer, safe to run in every process of the service.

use std::time::Duration;

use mcsp_runtime::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::AuthError;
use crate::service::AuthService;
use crate::store;
use crate::transaction::transaction;

impl AuthService {
    /// Looks after keys and expired rows until `shutdown`.
    pub async fn run_maintenance(&self, shutdown: Shutdown) {
        let every = Duration::from_secs(u64::from(self.parts.config.maintenance_interval_s));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.maintain().await {
                tracing::warn!(%error, "auth maintenance failed and is tried again at the next turn");
            }
        }
    }

    /// One turn: reloads the signing keys, removes retired ones, rotates them if it is time, and removes a bounded
    /// number of expired rows.
    ///
    /// # Errors
    /// The first failure; the rest of the turn is left for the next.
    pub async fn maintain(&self) -> Result<(), AuthError> {
        self.keys.maintain().await?;
        let now_ms = self.parts.clock.now_ms();
        transaction!(self.parts.db, tx => store::prune(tx.conn(), now_ms).await)
    }
}
