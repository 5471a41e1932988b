//! The store for processes that do not own it: `mcsp.kv.v1.KeyValue` over any engine.

use std::time::Duration;

use mcsp_api::proto::kv as wire;
use mcsp_api::proto::kv::key_value_server::{KeyValue as KeyValueRpc, KeyValueServer};
use tonic::{Code, Request, Response, Status};

use crate::{KEY_BYTES_MAX, KvError, SCAN_BYTES_MAX, SCAN_ENTRIES_MAX, SharedKv, VALUE_BYTES_MAX};

/// The largest message either way: a full scan's values and keys, or two values, with room for the encoding.
pub(crate) const MESSAGE_BYTES_MAX: usize = max(
    SCAN_BYTES_MAX + SCAN_ENTRIES_MAX as usize * (KEY_BYTES_MAX + 64),
    2 * VALUE_BYTES_MAX + 4096,
);

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The gRPC service over `kv`; who may call it is decided by the caller table of the server it is put in.
#[must_use]
pub fn grpc_service(kv: SharedKv) -> KeyValueServer<KvService> {
    KeyValueServer::new(KvService { kv })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// See [`grpc_service`].
#[derive(Debug)]
pub struct KvService {
    kv: SharedKv,
}

#[tonic::async_trait]
impl KeyValueRpc for KvService {
    async fn get(
        &self,
        request: Request<wire::GetRequest>,
    ) -> Result<Response<wire::GetResponse>, Status> {
        let wire::GetRequest { key } = request.into_inner();
        let value = self.kv.get(&key).await.map_err(to_status)?;
        Ok(Response::new(wire::GetResponse { value }))
    }

    async fn put(
        &self,
        request: Request<wire::PutRequest>,
    ) -> Result<Response<wire::PutResponse>, Status> {
        let wire::PutRequest { key, value, ttl_ms } = request.into_inner();
        self.kv
            .put(&key, value, ttl(ttl_ms)?)
            .await
            .map_err(to_status)?;
        Ok(Response::new(wire::PutResponse {}))
    }

    async fn delete(
        &self,
        request: Request<wire::DeleteRequest>,
    ) -> Result<Response<wire::DeleteResponse>, Status> {
        let wire::DeleteRequest { key } = request.into_inner();
        let existed = self.kv.delete(&key).await.map_err(to_status)?;
        Ok(Response::new(wire::DeleteResponse { existed }))
    }

    async fn increment(
        &self,
        request: Request<wire::IncrementRequest>,
    ) -> Result<Response<wire::IncrementResponse>, Status> {
        let wire::IncrementRequest { key, by, ttl_ms } = request.into_inner();
        let value = self
            .kv
            .increment(&key, by, ttl(ttl_ms)?)
            .await
            .map_err(to_status)?;
        Ok(Response::new(wire::IncrementResponse { value }))
    }

    async fn compare_and_set(
        &self,
        request: Request<wire::CompareAndSetRequest>,
    ) -> Result<Response<wire::CompareAndSetResponse>, Status> {
        let wire::CompareAndSetRequest {
            key,
            expected,
            value,
            ttl_ms,
        } = request.into_inner();
        let swap = self
            .kv
            .compare_and_set(&key, expected.as_deref(), value, ttl(ttl_ms)?)
            .await
            .map_err(to_status)?;
        Ok(Response::new(wire::CompareAndSetResponse {
            swapped: swap.swapped,
            current: swap.current,
        }))
    }

    async fn scan(
        &self,
        request: Request<wire::ScanRequest>,
    ) -> Result<Response<wire::ScanResponse>, Status> {
        let wire::ScanRequest {
            prefix,
            after,
            entries_max,
        } = request.into_inner();
        let entries = self
            .kv
            .scan(&prefix, &after, entries_max)
            .await
            .map_err(to_status)?;
        let entries = entries
            .into_iter()
            .map(|(key, value)| wire::Entry { key, value })
            .collect();
        Ok(Response::new(wire::ScanResponse { entries }))
    }
}

fn ttl(ttl_ms: Option<i64>) -> Result<Option<Duration>, Status> {
    ttl_ms
        .map(|ttl_ms| u64::try_from(ttl_ms).map(Duration::from_millis))
        .transpose()
        .map_err(|_| Status::invalid_argument("lifetime is negative"))
}

fn to_status(error: KvError) -> Status {
    match error {
        KvError::Unavailable(reason) => Status::unavailable(reason),
        KvError::Invalid(reason) => Status::invalid_argument(reason),
        KvError::Corrupt(reason) => Status::data_loss(reason),
    }
}

pub(crate) fn from_status(status: &Status) -> KvError {
    let reason = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument => KvError::Invalid(reason),
        Code::DataLoss => KvError::Corrupt(reason),
        // Asking again does not help against these.
        code @ (Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::OutOfRange) => KvError::Invalid(format!("{code}: {reason}")),
        Code::Unavailable => KvError::Unavailable(reason),
        code => KvError::Unavailable(format!("{code}: {reason}")),
    }
}
