//! A fetcher, and what is asked of it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;
use mcsp_edge_fetch::{
    FetchConfig, FetchError, FetchRequest, Fetcher, Pool, PoolPolicy, Response, Target,
};
use mcsp_runtime::{ManualClock, SharedClock};
use prometheus::Registry;

use crate::origin::Origin;

pub(crate) struct Harness {
    pub(crate) fetcher: Fetcher,
    registry: Registry,
}

/// A body, and whether it is complete for certain.
pub(crate) type Body = (Vec<u8>, bool);

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with(FetchConfig::default())
    }

    pub(crate) fn with(config: FetchConfig) -> Self {
        mcsp_runtime::install_crypto_provider();
        let registry = Registry::new();
        let clock: SharedClock = ManualClock::new(1_000);
        Self {
            fetcher: Fetcher::new(config, clock, &registry).unwrap(),
            registry,
        }
    }

    pub(crate) async fn fetch(
        &self,
        request: &FetchRequest,
        target: &Target,
    ) -> Result<Response, FetchError> {
        self.fetcher.fetch(request, target, &mut |_| {}).await
    }

    /// `GET /` of one origin, to its end.
    pub(crate) async fn get(&self, origin: &Origin) -> Result<(Response, Body), FetchError> {
        let mut response = self.fetch(&get(), &target(&[origin.address])).await?;
        let body = read(&mut response).await?;
        Ok((response, body))
    }

    /// The sum of a counter over its labels.
    pub(crate) fn counted(&self, name: &str) -> f64 {
        self.registry
            .gather()
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }
}

pub(crate) async fn read(response: &mut Response) -> Result<Body, FetchError> {
    let mut body = Vec::new();
    while let Some(piece) = response.next_chunk().await? {
        assert!(!piece.is_empty());
        body.extend_from_slice(&piece);
    }
    assert_eq!(body.len() as u64, response.received());
    Ok((body, response.is_complete()))
}

pub(crate) fn request(method: Method) -> FetchRequest {
    FetchRequest::new(method, PathAndQuery::from_static("/"))
}

pub(crate) fn get() -> FetchRequest {
    request(Method::GET)
}

pub(crate) fn pool(addresses: &[SocketAddr], policy: PoolPolicy) -> Arc<Pool> {
    let clock: SharedClock = ManualClock::new(0);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Arc::new(Pool::resolve(&addresses, "origin.test", policy, &clock).unwrap())
}

pub(crate) fn target(addresses: &[SocketAddr]) -> Target {
    Target::plain(pool(addresses, PoolPolicy::default()))
}

/// An address where nobody listens, nor will while the test runs: its socket is bound and stays.
pub(crate) async fn nobody() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// Heads are compared without their order.
pub(crate) fn fields(parts: &http::response::Parts) -> Vec<(String, String)> {
    let mut fields: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect();
    fields.sort();
    fields
}
