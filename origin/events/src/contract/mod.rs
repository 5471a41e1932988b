//! What every event log must pass, so that a service can run on any of them.
//!
//! [`run`] checks all rules on one log; each rule is a function of its own too. The topics and groups that it makes
//! begin with `contract.`.

mod groups;
mod records;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use mcsp_runtime::ManualClock;
use thiserror::Error;

pub use groups::{
    commits_are_kept_and_bounded, leaving_frees_partitions_at_once, members_share_and_hand_over,
    new_partitions_reach_members, rejoining_fences_the_name_before, silent_members_are_fenced,
};
pub use records::{
    appends_are_all_or_none, keys_keep_their_partition, limits_are_enforced, reads_and_ready_wait,
    records_come_back_in_order, topics_grow_and_never_shrink,
};

use crate::{EventError, NewRecord, SharedEventLog};

/// A rule that an engine breaks.
#[derive(Debug, Error)]
pub enum ContractError {
    /// It did something else than what was expected.
    #[error("event log contract: {what}: expected {expected}, found {found}")]
    Broken {
        /// What was looked at.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the engine did.
        found: String,
    },
    /// It failed where it must not.
    #[error("event log contract: {0}")]
    Failed(#[from] EventError),
}

/// Checks every rule. `clock` is the log's own.
///
/// # Errors
/// The first rule that is broken.
pub async fn run(log: &SharedEventLog, clock: &ManualClock) -> Result<(), ContractError> {
    records_come_back_in_order(log, clock).await?;
    keys_keep_their_partition(log).await?;
    appends_are_all_or_none(log).await?;
    limits_are_enforced(log).await?;
    reads_and_ready_wait(log).await?;
    topics_grow_and_never_shrink(log).await?;
    members_share_and_hand_over(log).await?;
    silent_members_are_fenced(log, clock).await?;
    commits_are_kept_and_bounded(log).await?;
    leaving_frees_partitions_at_once(log).await?;
    rejoining_fences_the_name_before(log).await?;
    new_partitions_reach_members(log).await
}

const RETENTION: Duration = Duration::from_secs(24 * 3600);
const SESSION: Duration = Duration::from_secs(6);

fn expect<T: PartialEq + Debug>(
    what: &'static str,
    found: T,
    expected: T,
) -> Result<(), ContractError> {
    if found == expected {
        return Ok(());
    }
    Err(ContractError::Broken {
        what,
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

/// The name of an error's kind, or `ok`.
fn kind<T>(result: &Result<T, EventError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(EventError::Unavailable(_)) => "unavailable",
        Err(EventError::UnknownTopic(_)) => "unknown topic",
        Err(EventError::Fenced { .. }) => "fenced",
        Err(EventError::Invalid(_)) => "invalid",
        Err(EventError::Corrupt(_)) => "corrupt",
    }
}

fn record(topic: &str, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: topic.to_owned(),
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: [("n".to_owned(), value.to_owned())].into(),
    }
}
