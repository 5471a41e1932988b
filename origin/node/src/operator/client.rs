//! The call to the region's origin, under the operator's own certificate.

use mcsp_api::proto::feed::purges_client::PurgesClient;
use mcsp_identity::{DNS_SUFFIX, IdentityConfig, WorkloadIdentity};
use mcsp_rpc::{RpcChannel, RpcPolicy};

use super::OperatorError;
use super::args::Common;

/// Longer than a call may wait for progress.
const TIMEOUT_MS: u64 = 10_000;

pub(super) type Client = PurgesClient<RpcChannel>;

/// Connects when first called.
pub(super) fn connect(common: &Common) -> Result<Client, OperatorError> {
    let file = |name: &str| common.identity.join(name);
    let identity = WorkloadIdentity::load(&IdentityConfig {
        cert_file: file("cert.pem"),
        key_file: file("key.pem"),
        ca_file: file("ca.pem"),
    })?;
    let region = identity.spiffe_id().namespace().to_owned();
    let name = format!("origin.{region}.{DNS_SUFFIX}");
    let policy = RpcPolicy {
        timeout_ms: TIMEOUT_MS,
        ..RpcPolicy::default()
    };
    let channel = RpcChannel::connect(&common.address, &name, &identity)?.with_policy(policy);
    Ok(PurgesClient::new(channel))
}
