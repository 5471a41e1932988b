//! The reconciler: finishes what is whole and never heard of it, ends what ran out of time, takes away what was given
//! up. Needs no input, may run at any time and any number of times.

use std::time::Duration;

use mcsp_runtime::Shutdown;
use serde::Serialize;

use crate::error::UploadError;
use crate::service::UploadService;
use crate::session::{Session, SessionStatus};
use crate::store;

/// What one run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReconcileReport {
    /// When it ended, Unix milliseconds.
    pub ended_ms: i64,
    /// Unfinished sessions it looked at.
    pub examined: u32,
    /// Sessions whose file was whole and which are complete now.
    pub finished: u32,
    /// Sessions whose time had run out.
    pub expired: u32,
    /// Given-up sessions of which nothing is left now.
    pub cleaned: u32,
    /// Idempotency keys that were forgotten.
    pub forgotten: u64,
    /// Sessions that could not be dealt with; they come again.
    pub failed: u32,
}

impl UploadService {
    /// Runs the reconciler until shutdown: on a timer, and at once when there is work that it was told of.
    pub async fn run_reconciler(&self, shutdown: Shutdown) {
        let interval = Duration::from_secs(self.parts.config.reconcile_interval_s.into());
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(interval) => {}
            }
            let outcome = tokio::select! {
                () = shutdown.wait() => return,
                outcome = self.reconcile_once() => outcome,
            };
            match outcome {
                Ok(report) => tracing::info!(report = %status_json(&report), "uploads reconciled"),
                Err(error) => tracing::warn!(%error, "uploads not reconciled; will try again"),
            }
        }
    }

    /// One run over at most `reconcile_sessions_max` sessions of each kind, those first that were looked at longest
    /// ago.
    ///
    /// # Errors
    /// When the sessions cannot be listed. What fails for one session is counted, logged and left for the next run.
    pub async fn reconcile_once(&self) -> Result<ReconcileReport, UploadError> {
        let sessions_max = self.parts.config.reconcile_sessions_max;
        let mut report = ReconcileReport::default();

        let unfinished = {
            let mut conn = self.parts.db.acquire().await?;
            store::unfinished(conn.conn(), sessions_max).await?
        };
        for session in unfinished {
            report.examined += 1;
            match self.reconcile(&session).await {
                Ok(Outcome::Finished) => report.finished += 1,
                Ok(Outcome::Expired) => report.expired += 1,
                Ok(Outcome::Waits) => {}
                Err(error) => report.failed += self.failed(&session, &error),
            }
        }

        let uncleaned = {
            let mut conn = self.parts.db.acquire().await?;
            store::uncleaned(conn.conn(), sessions_max).await?
        };
        for session in uncleaned {
            match self.clean(&session).await {
                Ok(()) => report.cleaned += 1,
                Err(error) => {
                    report.failed += self.failed(&session, &error);
                    self.touch(&session).await?;
                }
            }
        }

        let before_ms = self.now_ms() - i64::from(self.parts.config.idempotency_life_s) * 1_000;
        let mut tx = self.parts.db.begin().await?;
        report.forgotten = store::forget_requests(tx.conn(), before_ms).await?;
        tx.commit().await?;
        report.ended_ms = self.now_ms();
        Ok(report)
    }

    async fn reconcile(&self, session: &Session) -> Result<Outcome, UploadError> {
        self.touch(session).await?;
        if session.status == SessionStatus::Open {
            match self.finish(session).await {
                Ok(_) => return Ok(Outcome::Finished),
                Err(UploadError::Incomplete(_) | UploadError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if session.expires_ms > self.now_ms() {
            return Ok(Outcome::Waits);
        }
        let has_expired = self
            .advance(&session.upload_id, session.status, SessionStatus::Expired)
            .await?;
        Ok(if has_expired {
            Outcome::Expired
        } else {
            Outcome::Waits
        })
    }

    async fn touch(&self, session: &Session) -> Result<(), UploadError> {
        let mut tx = self.parts.db.begin().await?;
        store::set_checked(tx.conn(), &session.upload_id, self.now_ms()).await?;
        Ok(tx.commit().await?)
    }

    fn failed(&self, session: &Session, error: &UploadError) -> u32 {
        tracing::warn!(%error, upload_id = %session.upload_id, "upload not reconciled; will try again");
        1
    }
}

enum Outcome {
    Finished,
    Expired,
    Waits,
}

fn status_json(report: &ReconcileReport) -> String {
    // A struct of numbers always has a JSON form.
    serde_json::to_string(report).unwrap_or_default()
}
