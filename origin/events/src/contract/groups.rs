//! Rules of consumer groups.

use std::collections::BTreeSet;
use std::time::Duration;

use mcsp_runtime::ManualClock;

use super::{ContractError, RETENTION, SESSION, expect, kind, record};
use crate::{Assignment, EventError, SharedEventLog};

type Slots = BTreeSet<(String, u32)>;

fn slots(assignment: &Assignment) -> Slots {
    assignment.partitions.iter().cloned().collect()
}

async fn topic(
    log: &SharedEventLog,
    name: &str,
    partitions: u32,
) -> Result<Vec<String>, EventError> {
    log.ensure_topic(name, partitions, RETENTION).await?;
    Ok(vec![name.to_owned()])
}

/// Members get even shares that never overlap, and a partition moves only after its owner was told.
///
/// # Errors
/// When the rule is broken.
pub async fn members_share_and_hand_over(log: &SharedEventLog) -> Result<(), ContractError> {
    let (group, topics) = ("contract.share", topic(log, "contract.share", 6).await?);
    let alone = log.join(group, "a", &topics, SESSION).await?;
    expect("a lone member has all", alone.partitions.len(), 6)?;
    let joined = log.join(group, "b", &topics, SESSION).await?;
    expect(
        "nothing was taken from one who was not told",
        joined.partitions.len(),
        0,
    )?;
    let kept = log.heartbeat(group, "a").await?;
    expect("the first keeps half", kept.partitions.len(), 3)?;
    let given = log.heartbeat(group, "b").await?;
    expect("the second gets half", given.partitions.len(), 3)?;
    expect("no overlap", slots(&kept).is_disjoint(&slots(&given)), true)?;
    expect(
        "generations rise",
        given.generation > alone.generation,
        true,
    )?;
    let lost = slots(&alone).difference(&slots(&kept)).next().cloned();
    if let Some((name, partition)) = lost {
        let commit = log
            .commit(group, "a", alone.generation, &name, partition, 0)
            .await;
        expect("commit of what was given away", kind(&commit), "fenced")?;
    }
    if let Some((name, partition)) = given.partitions.first() {
        log.commit(group, "b", given.generation, name, *partition, 0)
            .await?;
    }
    let absent = log
        .join(group, "c", &["contract.absent".to_owned()], SESSION)
        .await;
    expect("join for an unknown topic", kind(&absent), "unknown topic")
}

/// A member that is silent for its session timeout loses its partitions and can do nothing until it joins again.
///
/// # Errors
/// When the rule is broken.
pub async fn silent_members_are_fenced(
    log: &SharedEventLog,
    clock: &ManualClock,
) -> Result<(), ContractError> {
    let (group, topics) = ("contract.silent", topic(log, "contract.silent", 4).await?);
    let silent = log.join(group, "silent", &topics, SESSION).await?;
    log.join(group, "alive", &topics, SESSION).await?;
    clock.advance(SESSION - Duration::from_secs(1));
    log.heartbeat(group, "alive").await?;
    clock.advance(Duration::from_secs(2));
    let all = log.heartbeat(group, "alive").await?;
    expect("the living takes over", all.partitions.len(), 4)?;
    expect(
        "heartbeat of the silent",
        kind(&log.heartbeat(group, "silent").await),
        "fenced",
    )?;
    let commit = log
        .commit(group, "silent", silent.generation, &topics[0], 0, 0)
        .await;
    expect("commit of the silent", kind(&commit), "fenced")?;
    let commit = log
        .commit(group, "alive", all.generation, &topics[0], 0, 0)
        .await;
    expect("commit of the living", kind(&commit), "ok")?;
    expect(
        "heartbeat of a stranger",
        kind(&log.heartbeat(group, "stranger").await),
        "fenced",
    )?;
    log.join(group, "silent", &topics, SESSION).await?;
    log.heartbeat(group, "alive").await?;
    let back = log.heartbeat(group, "silent").await?;
    expect("it joins again", back.partitions.len(), 2)
}

/// Progress is stored for each group and partition, may go back, and may not go beyond the partition's end.
///
/// # Errors
/// When the rule is broken.
pub async fn commits_are_kept_and_bounded(log: &SharedEventLog) -> Result<(), ContractError> {
    let (group, topics) = ("contract.commit", topic(log, "contract.commit", 1).await?);
    let name = topics[0].as_str();
    log.append(vec![record(name, "k", "1"), record(name, "k", "2")])
        .await?;
    let member = log.join(group, "m", &topics, SESSION).await?;
    expect("nothing committed", log.committed(group, name, 0).await?, 0)?;
    log.commit(group, "m", member.generation, name, 0, 2)
        .await?;
    expect("committed", log.committed(group, name, 0).await?, 2)?;
    expect(
        "another group's",
        log.committed("contract.other", name, 0).await?,
        0,
    )?;
    let beyond = log.commit(group, "m", member.generation, name, 0, 3).await;
    expect("commit beyond the end", kind(&beyond), "invalid")?;
    let future = log
        .commit(group, "m", member.generation + 1, name, 0, 1)
        .await;
    expect("commit of a generation to come", kind(&future), "fenced")?;
    expect(
        "refused commits change nothing",
        log.committed(group, name, 0).await?,
        2,
    )?;
    log.commit(group, "m", member.generation, name, 0, 1)
        .await?;
    expect("gone back", log.committed(group, name, 0).await?, 1)
}

/// Whoever leaves gives up everything at once.
///
/// # Errors
/// When the rule is broken.
pub async fn leaving_frees_partitions_at_once(log: &SharedEventLog) -> Result<(), ContractError> {
    let (group, topics) = ("contract.leave", topic(log, "contract.leave", 4).await?);
    let gone = log.join(group, "gone", &topics, SESSION).await?;
    log.join(group, "stays", &topics, SESSION).await?;
    log.leave(group, "gone").await?;
    log.leave(group, "gone").await?;
    let all = log.heartbeat(group, "stays").await?;
    expect("the other has all", all.partitions.len(), 4)?;
    let commit = log
        .commit(group, "gone", gone.generation, &topics[0], 0, 0)
        .await;
    expect("commit of one who left", kind(&commit), "fenced")
}

/// A process that joins under the name of an earlier one fences what the earlier one still does.
///
/// # Errors
/// When the rule is broken.
pub async fn rejoining_fences_the_name_before(log: &SharedEventLog) -> Result<(), ContractError> {
    let (group, topics) = ("contract.rejoin", topic(log, "contract.rejoin", 2).await?);
    let before = log.join(group, "m", &topics, SESSION).await?;
    let after = log.join(group, "m", &topics, SESSION).await?;
    expect(
        "it has its partitions at once",
        slots(&after),
        slots(&before),
    )?;
    let commit = log
        .commit(group, "m", before.generation, &topics[0], 0, 0)
        .await;
    expect("commit of the earlier process", kind(&commit), "fenced")?;
    let commit = log
        .commit(group, "m", after.generation, &topics[0], 0, 0)
        .await;
    expect("commit of the later process", kind(&commit), "ok")
}

/// Partitions that are added later are given to members without a new join.
///
/// # Errors
/// When the rule is broken.
pub async fn new_partitions_reach_members(log: &SharedEventLog) -> Result<(), ContractError> {
    let (group, topics) = ("contract.added", topic(log, "contract.added", 1).await?);
    let before = log.join(group, "m", &topics, SESSION).await?;
    expect("one partition", before.partitions.len(), 1)?;
    topic(log, "contract.added", 3).await?;
    let after = log.heartbeat(group, "m").await?;
    expect("three partitions", after.partitions.len(), 3)?;
    let commit = log
        .commit(group, "m", before.generation, &topics[0], 0, 0)
        .await;
    expect("what it had it still has", kind(&commit), "ok")
}
