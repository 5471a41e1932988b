//! Rules of topics and records.

use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::{Clock, ManualClock};

use super::{ContractError, RETENTION, expect, kind, record};
use crate::{
    BATCH_RECORDS_MAX, EventError, PartitionState, Position, SharedEventLog, VALUE_BYTES_MAX,
    partition_of,
};

/// Records come back whole, in order, with the time of the clock, from any offset, as many as were asked for.
///
/// # Errors
/// When the rule is broken.
pub async fn records_come_back_in_order(
    log: &SharedEventLog,
    clock: &ManualClock,
) -> Result<(), ContractError> {
    let topic = "contract.order";
    log.ensure_topic(topic, 1, RETENTION).await?;
    for n in 0..5 {
        let positions = log.append(vec![record(topic, "k", &n.to_string())]).await?;
        let expected = Position {
            topic: topic.to_owned(),
            partition: 0,
            offset: n,
        };
        expect("position of an append", positions, vec![expected])?;
    }
    let read = log.read(topic, 0, 2, 2, Duration::ZERO).await?;
    let seen: Vec<_> = read
        .iter()
        .map(|r| (r.position.offset, r.value.to_vec()))
        .collect();
    expect(
        "two records from offset 2",
        seen,
        vec![(2, b"2".to_vec()), (3, b"3".to_vec())],
    )?;
    for found in &read {
        expect("key", found.key.as_str(), "k")?;
        expect("timestamp", found.timestamp_ms, clock.now_ms())?;
        let text = String::from_utf8_lossy(&found.value).into_owned();
        expect("header", found.headers.get("n"), Some(&text))?;
    }
    let state = PartitionState {
        first_offset: 0,
        next_offset: 5,
    };
    expect("describe", log.describe(topic).await?, vec![state])?;
    let beyond = log.read(topic, 0, 6, 1, Duration::ZERO).await;
    expect("read beyond the end", kind(&beyond), "invalid")
}

/// A key's records are all in the partition that its hash says, in the order of the appends.
///
/// # Errors
/// When the rule is broken.
pub async fn keys_keep_their_partition(log: &SharedEventLog) -> Result<(), ContractError> {
    let topic = "contract.keys";
    log.ensure_topic(topic, 7, RETENTION).await?;
    for round in 0..3 {
        let batch = (0..20)
            .map(|k| record(topic, &format!("key{k}"), &format!("{k}.{round}")))
            .collect();
        for (k, position) in log.append(batch).await?.into_iter().enumerate() {
            expect(
                "partition of a key",
                position.partition,
                partition_of(&format!("key{k}"), 7),
            )?;
        }
    }
    for k in 0..20 {
        let key = format!("key{k}");
        let records = log
            .read(topic, partition_of(&key, 7), 0, 100, Duration::ZERO)
            .await?;
        let seen: Vec<_> = records
            .iter()
            .filter(|r| r.key == key)
            .map(|r| r.value.to_vec())
            .collect();
        let expected: Vec<_> = (0..3)
            .map(|round| format!("{k}.{round}").into_bytes())
            .collect();
        expect("order within a key", seen, expected)?;
    }
    Ok(())
}

/// An append with one record that cannot be used changes nothing.
///
/// # Errors
/// When the rule is broken.
pub async fn appends_are_all_or_none(log: &SharedEventLog) -> Result<(), ContractError> {
    let topic = "contract.atomic";
    log.ensure_topic(topic, 1, RETENTION).await?;
    let refused = log
        .append(vec![
            record(topic, "k", "a"),
            record("contract.absent", "k", "b"),
        ])
        .await;
    expect(
        "append to an unknown topic",
        kind(&refused),
        "unknown topic",
    )?;
    expect(
        "nothing was appended",
        log.describe(topic).await?.first().map(|s| s.next_offset),
        Some(0),
    )?;
    expect(
        "describe an unknown topic",
        kind(&log.describe("contract.absent").await),
        "unknown topic",
    )?;
    let read = log.read("contract.absent", 0, 0, 1, Duration::ZERO).await;
    expect("read an unknown topic", kind(&read), "unknown topic")
}

/// What is too large, too many or malformed is refused.
///
/// # Errors
/// When the rule is broken.
pub async fn limits_are_enforced(log: &SharedEventLog) -> Result<(), ContractError> {
    let topic = "contract.limits";
    log.ensure_topic(topic, 2, RETENTION).await?;
    let mut large = record(topic, "k", "");
    large.value = vec![b'x'; VALUE_BYTES_MAX].into();
    expect(
        "the largest value",
        kind(&log.append(vec![large.clone()]).await),
        "ok",
    )?;
    large.value = vec![b'x'; VALUE_BYTES_MAX + 1].into();
    expect(
        "too large a value",
        kind(&log.append(vec![large]).await),
        "invalid",
    )?;
    let many = vec![record(topic, "k", "v"); BATCH_RECORDS_MAX + 1];
    expect("too many records", kind(&log.append(many).await), "invalid")?;
    expect("no records", kind(&log.append(Vec::new()).await), "invalid")?;
    let read = log.read(topic, 2, 0, 1, Duration::ZERO).await;
    expect("no such partition", kind(&read), "invalid")?;
    let read = log
        .read(topic, 0, 0, BATCH_RECORDS_MAX + 1, Duration::ZERO)
        .await;
    expect("too many asked for", kind(&read), "invalid")?;
    let named = log.ensure_topic("contract topic", 1, RETENTION).await;
    expect("a topic's name", kind(&named), "invalid")
}

/// A read that finds nothing waits for the first record, or gives up when its time is over; so does `ready`.
///
/// # Errors
/// When the rule is broken.
pub async fn reads_and_ready_wait(log: &SharedEventLog) -> Result<(), ContractError> {
    let topic = "contract.wait";
    log.ensure_topic(topic, 2, RETENTION).await?;
    let nothing = log.read(topic, 0, 0, 10, Duration::from_millis(20)).await?;
    expect("a wait that is over", nothing.len(), 0)?;
    let position = |partition, offset| Position {
        topic: topic.to_owned(),
        partition,
        offset,
    };
    let both = [position(0, 0), position(1, 0)];
    let nothing = log.ready(&both, Duration::from_millis(20)).await?;
    expect("nothing is ready", nothing.len(), 0)?;

    let key = (0..100)
        .map(|i| format!("k{i}"))
        .find(|k| partition_of(k, 2) == 1)
        .unwrap_or_default();
    let reader = Arc::clone(log);
    let read = async { reader.read(topic, 1, 0, 10, Duration::from_secs(20)).await };
    let ready = async { log.ready(&both, Duration::from_secs(20)).await };
    let append = async {
        tokio::task::yield_now().await;
        log.append(vec![record(topic, &key, "v")]).await
    };
    let (read, ready, appended) = tokio::join!(read, ready, append);
    appended?;
    expect("a read that waited", read?.len(), 1)?;
    expect("what is ready", ready?, vec![position(1, 0)])?;
    let none = log.ready(&[position(1, 1)], Duration::ZERO).await?;
    expect("ready after the last", none.len(), 0)
}

/// Partitions can be added and not taken away; what was there stays.
///
/// # Errors
/// When the rule is broken.
pub async fn topics_grow_and_never_shrink(log: &SharedEventLog) -> Result<(), ContractError> {
    let topic = "contract.grow";
    log.ensure_topic(topic, 1, RETENTION).await?;
    log.append(vec![record(topic, "k", "v")]).await?;
    log.ensure_topic(topic, 1, RETENTION * 2).await?;
    log.ensure_topic(topic, 3, RETENTION).await?;
    let states: Vec<_> = log
        .describe(topic)
        .await?
        .iter()
        .map(|s| s.next_offset)
        .collect();
    expect("partitions after growing", states, vec![1, 0, 0])?;
    let shrunk: Result<(), EventError> = log.ensure_topic(topic, 2, RETENTION).await;
    expect("fewer partitions", kind(&shrunk), "invalid")
}
