//! What `faulty:` does to the calls of a database.

use mcsp_runtime::FaultPlan;

use crate::error::{DbError, DbErrorKind};

/// Waits, then perhaps fails, before the operation has any effect.
pub(crate) async fn before(plan: Option<&FaultPlan>, operation: &str) -> Result<(), DbError> {
    let Some(plan) = plan else { return Ok(()) };
    let delay = plan.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if plan.fails() {
        return Err(DbError::injected(DbErrorKind::Unavailable, operation));
    }
    Ok(())
}

/// Perhaps reports a failure of what took effect.
pub(crate) fn after_commit(plan: Option<&FaultPlan>) -> Result<(), DbError> {
    match plan {
        Some(plan) if plan.loses_acknowledgement() => Err(DbError::injected(
            DbErrorKind::CommitUnknown,
            "acknowledgement of commit",
        )),
        _ => Ok(()),
    }
}
