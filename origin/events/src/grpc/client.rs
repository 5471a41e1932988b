//! Another process's log.

use std::time::Duration;

use async_trait::async_trait;
use mcsp_api::proto::events as proto;
use mcsp_api::proto::events::event_log_client::EventLogClient;
use mcsp_rpc::RpcChannel;
use tonic::Request;

use super::status::from_status;
use super::{MESSAGE_BYTES_MAX, convert};
use crate::limits::{check_append, check_batch};
use crate::{
    Assignment, EventError, EventLog, NewRecord, PartitionState, Position, Record, WAIT_MAX,
};

/// How long a call may take beyond the wait that it asks for.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A log that another process owns.
#[derive(Debug, Clone)]
pub struct RemoteLog {
    client: EventLogClient<RpcChannel>,
}

impl RemoteLog {
    /// The log behind `channel`.
    #[must_use]
    pub fn new(channel: RpcChannel) -> Self {
        Self {
            client: EventLogClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        }
    }
}

fn request<T>(message: T, wait: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT + wait);
    request
}

#[async_trait]
impl EventLog for RemoteLog {
    async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        retention: Duration,
    ) -> Result<(), EventError> {
        let message = proto::EnsureTopicRequest {
            topic: topic.to_owned(),
            partitions,
            retention_ms: i64::try_from(retention.as_millis())
                .map_err(|_| EventError::Invalid(format!("retention {retention:?} is too long")))?,
        };
        let mut client = self.client.clone();
        let answered = client.ensure_topic(request(message, Duration::ZERO)).await;
        answered.map(|_| ()).map_err(|status| from_status(&status))
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, EventError> {
        check_append(&records)?;
        let message = proto::AppendRequest {
            records: records.into_iter().map(convert::record_out).collect(),
        };
        let mut client = self.client.clone();
        let answered = client.append(request(message, Duration::ZERO)).await;
        let positions = answered
            .map_err(|status| from_status(&status))?
            .into_inner()
            .positions;
        Ok(positions.into_iter().map(convert::position_in).collect())
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, EventError> {
        check_batch("records", records_max)?;
        let wait = wait.min(WAIT_MAX);
        let message = proto::ReadRequest {
            topic: topic.to_owned(),
            partition,
            from_offset,
            records_max: u32::try_from(records_max).unwrap_or(u32::MAX),
            wait_ms: convert::millis(wait),
        };
        let mut client = self.client.clone();
        let answered = client.read(request(message, wait)).await;
        let records = answered
            .map_err(|status| from_status(&status))?
            .into_inner()
            .records;
        Ok(records.into_iter().map(convert::read_in).collect())
    }

    async fn ready(
        &self,
        positions: &[Position],
        wait: Duration,
    ) -> Result<Vec<Position>, EventError> {
        check_batch("positions", positions.len())?;
        let wait = wait.min(WAIT_MAX);
        let message = proto::ReadyRequest {
            positions: positions
                .iter()
                .cloned()
                .map(convert::position_out)
                .collect(),
            wait_ms: convert::millis(wait),
        };
        let mut client = self.client.clone();
        let answered = client.ready(request(message, wait)).await;
        let ready = answered
            .map_err(|status| from_status(&status))?
            .into_inner()
            .positions;
        Ok(ready.into_iter().map(convert::position_in).collect())
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
    ) -> Result<Assignment, EventError> {
        let message = proto::JoinRequest {
            group: group.to_owned(),
            member: member.to_owned(),
            topics: topics.to_vec(),
            session_timeout_ms: convert::millis(session_timeout),
        };
        let mut client = self.client.clone();
        let answered = client.join(request(message, Duration::ZERO)).await;
        let joined = answered
            .map_err(|status| from_status(&status))?
            .into_inner();
        Ok(convert::assignment_in(joined.generation, joined.assigned))
    }

    async fn heartbeat(&self, group: &str, member: &str) -> Result<Assignment, EventError> {
        let message = proto::HeartbeatRequest {
            group: group.to_owned(),
            member: member.to_owned(),
        };
        let mut client = self.client.clone();
        let answered = client.heartbeat(request(message, Duration::ZERO)).await;
        let told = answered
            .map_err(|status| from_status(&status))?
            .into_inner();
        Ok(convert::assignment_in(told.generation, told.assigned))
    }

    async fn leave(&self, group: &str, member: &str) -> Result<(), EventError> {
        let message = proto::LeaveRequest {
            group: group.to_owned(),
            member: member.to_owned(),
        };
        let mut client = self.client.clone();
        let answered = client.leave(request(message, Duration::ZERO)).await;
        answered.map(|_| ()).map_err(|status| from_status(&status))
    }

    async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        topic: &str,
        partition: u32,
        next_offset: u64,
    ) -> Result<(), EventError> {
        let message = proto::CommitRequest {
            group: group.to_owned(),
            member: member.to_owned(),
            generation,
            topic: topic.to_owned(),
            partition,
            next_offset,
        };
        let mut client = self.client.clone();
        let answered = client.commit(request(message, Duration::ZERO)).await;
        answered.map(|_| ()).map_err(|status| from_status(&status))
    }

    async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<u64, EventError> {
        let message = proto::CommittedRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
        };
        let mut client = self.client.clone();
        let answered = client.committed(request(message, Duration::ZERO)).await;
        Ok(answered
            .map_err(|status| from_status(&status))?
            .into_inner()
            .next_offset)
    }

    async fn describe(&self, topic: &str) -> Result<Vec<PartitionState>, EventError> {
        let message = proto::DescribeRequest {
            topic: topic.to_owned(),
        };
        let mut client = self.client.clone();
        let answered = client.describe(request(message, Duration::ZERO)).await;
        let described = answered
            .map_err(|status| from_status(&status))?
            .into_inner();
        Ok(described.partitions.iter().map(convert::state_in).collect())
    }
}
