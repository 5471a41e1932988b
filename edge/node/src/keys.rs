//! Keys of access tokens, asked of the regions themselves: beside the feed, which brings those that were published, for a key
//! that was not heard of yet, and to know that what is held is still what its issuer holds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt as _;
use mcsp_auth_edge::token::{JWKS_BYTES_MAX, JwksFetch, JwksFetchError, JwksRefresher};
use mcsp_edge_proxy::RegionUpstream;
use mcsp_identity::WorkloadIdentity;
use mcsp_runtime::Shutdown;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::feed::{ConnectError, connect};

/// Where a region publishes its keys (RFC 8615).
const PATH: &str = "/.well-known/jwks.json";
/// How often each region is asked at least.
const EVERY: Duration = Duration::from_secs(60);

/// Asks regions over the same mTLS as the feed.
#[derive(Debug)]
pub(crate) struct RegionKeys {
    regions: Vec<RegionUpstream>,
    identity: WorkloadIdentity,
    connect_timeout: Duration,
}

/// Why one origin gave no keys.
#[derive(Debug, Error)]
enum Fault {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("the body broke off: {0}")]
    Body(#[from] Box<tonic::Status>),
    #[error("more than {JWKS_BYTES_MAX} bytes")]
    TooLong,
    #[error("not text")]
    NotText,
}

impl RegionKeys {
    pub(crate) fn new(
        regions: Vec<RegionUpstream>,
        identity: WorkloadIdentity,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            regions,
            identity,
            connect_timeout,
        }
    }

    async fn ask(&self, region: &RegionUpstream, address: &str) -> Result<String, Fault> {
        let name = &region.origin_server_name;
        let channel = connect(address, name, &self.identity, self.connect_timeout).await?;
        let request = Request::get(PATH).body(Body::empty())?;
        let response = channel.oneshot(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(Fault::Status(response.status().as_u16()));
        }
        let text = read(response.into_body()).await?;
        String::from_utf8(text.into()).map_err(|_| Fault::NotText)
    }
}

async fn read(mut body: Body) -> Result<Bytes, Fault> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Box::new)?;
        if let Ok(piece) = frame.into_data() {
            if text.len() + piece.len() > JWKS_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            text.extend_from_slice(&piece);
        }
    }
    Ok(text.freeze())
}

#[async_trait]
impl JwksFetch for RegionKeys {
    /// Of the region's first origin that answers.
    async fn fetch(&self, region: &str) -> Result<String, JwksFetchError> {
        let mut reason = "it is not among the regions that this node asks".to_owned();
        let found = self.regions.iter().find(|known| known.id == region);
        if let Some(upstream) = found {
            for address in &upstream.origin {
                match self.ask(upstream, address).await {
                    Ok(text) => return Ok(text),
                    Err(fault) => reason = format!("{address}: {fault}"),
                }
            }
        }
        Err(JwksFetchError {
            region: region.to_owned(),
            reason,
        })
    }
}

/// Asks all regions now and then, well before what they said is too old to be believed.
pub(crate) async fn refresh(refresher: Arc<JwksRefresher>, age_max: Duration, shutdown: Shutdown) {
    let every = EVERY.min(age_max / 3);
    // The feed begins with all keys.
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        refresher.refresh_all().await;
    }
}
