//! Between the log's types and those of `proto/events.proto`.

use std::time::Duration;

use mcsp_api::proto::events as proto;

use crate::{Assignment, NewRecord, PartitionState, Position, Record};

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

pub(super) fn record_in(record: proto::NewRecord) -> NewRecord {
    NewRecord {
        topic: record.topic,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().collect(),
    }
}

pub(super) fn record_out(record: NewRecord) -> proto::NewRecord {
    proto::NewRecord {
        topic: record.topic,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().collect(),
    }
}

pub(super) fn position_in(position: proto::Position) -> Position {
    Position {
        topic: position.topic,
        partition: position.partition,
        offset: position.offset,
    }
}

pub(super) fn position_out(position: Position) -> proto::Position {
    proto::Position {
        topic: position.topic,
        partition: position.partition,
        offset: position.offset,
    }
}

pub(super) fn read_in(record: proto::Record) -> Record {
    Record {
        position: Position {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
        },
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().collect(),
    }
}

pub(super) fn read_out(record: Record) -> proto::Record {
    proto::Record {
        topic: record.position.topic,
        partition: record.position.partition,
        offset: record.position.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().collect(),
    }
}

pub(super) fn assignment_in(generation: u64, assigned: Vec<proto::TopicPartition>) -> Assignment {
    Assignment {
        generation,
        partitions: assigned
            .into_iter()
            .map(|slot| (slot.topic, slot.partition))
            .collect(),
    }
}

pub(super) fn assigned_out(assignment: Assignment) -> (u64, Vec<proto::TopicPartition>) {
    let assigned = assignment
        .partitions
        .into_iter()
        .map(|(topic, partition)| proto::TopicPartition { topic, partition })
        .collect();
    (assignment.generation, assigned)
}

pub(super) fn state_in(state: &proto::PartitionState) -> PartitionState {
    PartitionState {
        first_offset: state.first_offset,
        next_offset: state.next_offset,
    }
}

pub(super) fn state_out(state: PartitionState) -> proto::PartitionState {
    proto::PartitionState {
        first_offset: state.first_offset,
        next_offset: state.next_offset,
    }
}
