//! A log offered to other processes.

use std::time::Duration;

use mcsp_api::proto::events as proto;
use mcsp_api::proto::events::event_log_server::EventLog as Interface;
use tonic::{Request, Response, Status};

use super::convert;
use super::status::to_status;
use crate::{EventError, SharedEventLog};

/// The gRPC interface over a log.
#[derive(Debug)]
pub struct EventLogService {
    log: SharedEventLog,
}

impl EventLogService {
    pub(super) fn new(log: SharedEventLog) -> Self {
        Self { log }
    }
}

#[tonic::async_trait]
impl Interface for EventLogService {
    async fn ensure_topic(
        &self,
        request: Request<proto::EnsureTopicRequest>,
    ) -> Result<Response<proto::EnsureTopicResponse>, Status> {
        let request = request.into_inner();
        let retention_ms = u64::try_from(request.retention_ms).map_err(|_| {
            to_status(EventError::Invalid(format!(
                "retention_ms = {}",
                request.retention_ms
            )))
        })?;
        let retention = Duration::from_millis(retention_ms);
        self.log
            .ensure_topic(&request.topic, request.partitions, retention)
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::EnsureTopicResponse {}))
    }

    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendResponse>, Status> {
        let records = request
            .into_inner()
            .records
            .into_iter()
            .map(convert::record_in)
            .collect();
        let positions = self.log.append(records).await.map_err(to_status)?;
        Ok(Response::new(proto::AppendResponse {
            positions: positions.into_iter().map(convert::position_out).collect(),
        }))
    }

    async fn read(
        &self,
        request: Request<proto::ReadRequest>,
    ) -> Result<Response<proto::ReadResponse>, Status> {
        let request = request.into_inner();
        let records_max = usize::try_from(request.records_max).unwrap_or(usize::MAX);
        let wait = Duration::from_millis(request.wait_ms.into());
        let records = self
            .log
            .read(
                &request.topic,
                request.partition,
                request.from_offset,
                records_max,
                wait,
            )
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::ReadResponse {
            records: records.into_iter().map(convert::read_out).collect(),
        }))
    }

    async fn ready(
        &self,
        request: Request<proto::ReadyRequest>,
    ) -> Result<Response<proto::ReadyResponse>, Status> {
        let request = request.into_inner();
        let positions: Vec<_> = request
            .positions
            .into_iter()
            .map(convert::position_in)
            .collect();
        let wait = Duration::from_millis(request.wait_ms.into());
        let ready = self.log.ready(&positions, wait).await.map_err(to_status)?;
        Ok(Response::new(proto::ReadyResponse {
            positions: ready.into_iter().map(convert::position_out).collect(),
        }))
    }

    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinResponse>, Status> {
        let request = request.into_inner();
        let timeout = Duration::from_millis(request.session_timeout_ms.into());
        let assignment = self
            .log
            .join(&request.group, &request.member, &request.topics, timeout)
            .await
            .map_err(to_status)?;
        let (generation, assigned) = convert::assigned_out(assignment);
        Ok(Response::new(proto::JoinResponse {
            generation,
            assigned,
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let request = request.into_inner();
        let assignment = self
            .log
            .heartbeat(&request.group, &request.member)
            .await
            .map_err(to_status)?;
        let (generation, assigned) = convert::assigned_out(assignment);
        Ok(Response::new(proto::HeartbeatResponse {
            generation,
            assigned,
        }))
    }

    async fn leave(
        &self,
        request: Request<proto::LeaveRequest>,
    ) -> Result<Response<proto::LeaveResponse>, Status> {
        let request = request.into_inner();
        self.log
            .leave(&request.group, &request.member)
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::LeaveResponse {}))
    }

    async fn commit(
        &self,
        request: Request<proto::CommitRequest>,
    ) -> Result<Response<proto::CommitResponse>, Status> {
        let request = request.into_inner();
        self.log
            .commit(
                &request.group,
                &request.member,
                request.generation,
                &request.topic,
                request.partition,
                request.next_offset,
            )
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::CommitResponse {}))
    }

    async fn committed(
        &self,
        request: Request<proto::CommittedRequest>,
    ) -> Result<Response<proto::CommittedResponse>, Status> {
        let request = request.into_inner();
        let next_offset = self
            .log
            .committed(&request.group, &request.topic, request.partition)
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::CommittedResponse { next_offset }))
    }

    async fn describe(
        &self,
        request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeResponse>, Status> {
        let partitions = self
            .log
            .describe(&request.into_inner().topic)
            .await
            .map_err(to_status)?;
        Ok(Response::new(proto::DescribeResponse {
            partitions: partitions.into_iter().map(convert::state_out).collect(),
        }))
    }
}
