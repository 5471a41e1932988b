//! Rules about calls beside each other.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{ContractError, same, text};
use crate::{KvError, SharedKv};

const TASKS: usize = 8;
const INCREMENTS_PER_TASK: usize = 25;

/// Many tasks that count together lose nothing, and no two see the same number.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn increments_are_atomic(kv: &SharedKv) -> Result<(), ContractError> {
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let kv = kv.clone();
        tasks.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..INCREMENTS_PER_TASK {
                seen.push(kv.increment("contract/together", 1, None).await?);
            }
            Ok::<_, KvError>(seen)
        });
    }
    let mut seen = BTreeSet::new();
    while let Some(task) = tasks.join_next().await {
        seen.extend(joined(task)?);
    }
    let all = i64::try_from(TASKS * INCREMENTS_PER_TASK).unwrap_or(i64::MAX);
    same("numbers seen", seen, (1..=all).collect())
}

/// Of many tasks that create a key, one does, and all others see its value.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn one_of_many_creates(kv: &SharedKv) -> Result<(), ContractError> {
    for round in 0..10 {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let kv = kv.clone();
            tasks.spawn(async move {
                let key = format!("contract/created/{round}");
                let value = Some(text(&task.to_string()));
                let swap = kv.compare_and_set(&key, None, value.clone(), None).await?;
                Ok::<_, KvError>((swap.swapped, swap.current))
            });
        }
        let (mut created, mut seen) = (0, BTreeSet::new());
        while let Some(task) = tasks.join_next().await {
            let (swapped, current) = joined(task)?;
            created += usize::from(swapped);
            seen.insert(current);
        }
        same("how many created it", created, 1)?;
        same("how many values were seen", seen.len(), 1)?;
    }
    Ok(())
}

fn joined<T>(task: Result<Result<T, KvError>, tokio::task::JoinError>) -> Result<T, KvError> {
    task.map_err(|error| KvError::Invalid(error.to_string()))?
}
