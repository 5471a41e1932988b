//! The store of another process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_api::proto::kv as wire;
use mcsp_api::proto::kv::key_value_client::KeyValueClient;
use mcsp_identity::WorkloadIdentity;
use mcsp_rpc::RpcChannel;
use mcsp_runtime::EngineUri;

use crate::server::{MESSAGE_BYTES_MAX, from_status};
use crate::{KeyValue, KvError, KvOpenError, SharedKv, Swap, check_key, check_ttl, check_value};

/// The store whose owner serves [`crate::grpc_service`] at the other end of `channel`.
#[must_use]
pub fn remote(channel: RpcChannel) -> SharedKv {
    Arc::new(RemoteKv { channel })
}

#[derive(Debug)]
pub(crate) struct RemoteKv {
    channel: RpcChannel,
}

impl RemoteKv {
    /// Connects when first called: the other process need not be there yet.
    pub(crate) fn connect(
        uri: &EngineUri,
        identity: Option<&WorkloadIdentity>,
    ) -> Result<Self, KvOpenError> {
        let failed = |reason: String| KvOpenError::Engine {
            uri: uri.uri.clone(),
            source: KvError::Invalid(reason),
        };
        let (addr, server_name) = uri.remote()?;
        let identity = identity.ok_or_else(|| failed("needs a workload identity".to_owned()))?;
        let channel = RpcChannel::connect(addr, server_name, identity)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { channel })
    }

    fn client(&self) -> KeyValueClient<RpcChannel> {
        KeyValueClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[async_trait]
impl KeyValue for RemoteKv {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KvError> {
        check_key(key)?;
        let request = wire::GetRequest {
            key: key.to_owned(),
        };
        let response = self
            .client()
            .get(request)
            .await
            .map_err(|status| from_status(&status))?;
        Ok(response.into_inner().value)
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), KvError> {
        check_key(key)?;
        check_value(&value)?;
        let request = wire::PutRequest {
            key: key.to_owned(),
            value,
            ttl_ms: check_ttl(ttl)?,
        };
        self.client()
            .put(request)
            .await
            .map_err(|status| from_status(&status))?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        let request = wire::DeleteRequest {
            key: key.to_owned(),
        };
        let response = self
            .client()
            .delete(request)
            .await
            .map_err(|status| from_status(&status))?;
        Ok(response.into_inner().existed)
    }

    async fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        check_key(key)?;
        let request = wire::IncrementRequest {
            key: key.to_owned(),
            by,
            ttl_ms: check_ttl(ttl)?,
        };
        let response = self
            .client()
            .increment(request)
            .await
            .map_err(|status| from_status(&status))?;
        Ok(response.into_inner().value)
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<Swap, KvError> {
        check_key(key)?;
        check_value(expected.unwrap_or_default())?;
        check_value(value.as_deref().unwrap_or_default())?;
        let request = wire::CompareAndSetRequest {
            key: key.to_owned(),
            expected: expected.map(Bytes::copy_from_slice),
            value,
            ttl_ms: check_ttl(ttl)?,
        };
        let response = self
            .client()
            .compare_and_set(request)
            .await
            .map_err(|status| from_status(&status))?;
        let wire::CompareAndSetResponse { swapped, current } = response.into_inner();
        Ok(Swap { swapped, current })
    }

    async fn scan(
        &self,
        prefix: &str,
        after: &str,
        entries_max: u32,
    ) -> Result<Vec<(String, Bytes)>, KvError> {
        let request = wire::ScanRequest {
            prefix: prefix.to_owned(),
            after: after.to_owned(),
            entries_max,
        };
        let response = self
            .client()
            .scan(request)
            .await
            .map_err(|status| from_status(&status))?;
        Ok(response
            .into_inner()
            .entries
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect())
    }
}
