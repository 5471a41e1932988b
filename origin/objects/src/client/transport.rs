//! What carries a signed request to an S3: TLS, or a call within the process.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use mcsp_runtime::SharedEntropy;
use mcsp_telemetry::current_trace;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tower::ServiceExt;
use url::Url;

use super::Timeouts;
use crate::ObjectError;

/// A request's body; parts are bounded, so it is held whole.
pub(crate) type Body = Bytes;
/// An answer's body.
pub(crate) type Incoming = BoxStream<'static, Result<Bytes, ObjectError>>;

/// Carries one request and gives the head of its answer.
#[async_trait]
pub(crate) trait Transport: Send + Sync + fmt::Debug {
    async fn call(&self, request: Request<Body>) -> Result<Response<Incoming>, ObjectError>;
}

/// The authority that requests within the process are signed for. It resolves nowhere (RFC 6761 section 6.4).
pub(crate) fn in_process_url() -> Url {
    const TEXT: &str = "http://s3.invalid/";
    Url::parse(TEXT).unwrap_or_else(|_| unreachable!("a constant URL"))
}

/// Calls an endpoint's router, with nothing in between that could tell it from a request over the network.
pub(crate) struct InProcess {
    router: Router,
    entropy: SharedEntropy,
}

impl InProcess {
    pub(crate) fn new(router: Router, entropy: SharedEntropy) -> Self {
        Self { router, entropy }
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn call(&self, request: Request<Body>) -> Result<Response<Incoming>, ObjectError> {
        let (mut parts, body) = request.into_parts();
        propagate_trace(&mut parts.headers, &self.entropy);
        if let Some(host) = parts
            .uri
            .authority()
            .and_then(|it| HeaderValue::from_str(it.as_str()).ok())
        {
            parts.headers.insert(HOST, host);
        }
        // As a connection would carry it: origin form (RFC 9112 section 3.2.1).
        parts.uri = parts
            .uri
            .path_and_query()
            .cloned()
            .map(Uri::from)
            .unwrap_or_default();
        let request = Request::from_parts(parts, axum::body::Body::from(body));
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        Ok(response.map(|body| {
            body.into_data_stream()
                .map_err(|error| ObjectError::Unavailable(format!("the answer broke off: {error}")))
                .boxed()
        }))
    }
}

/// HTTP/1.1 over TLS, with connections kept for the next request: parts and segments are large, and each on a
/// connection of its own is what S3 clients do.
pub(crate) struct Https {
    client: reqwest::Client,
    entropy: SharedEntropy,
}

impl Https {
    /// To the host named in each URL. With `address` (host and port) that is where every connection goes, and the URL's
    /// host is only what the server's certificate must say.
    pub(crate) fn new(
        tls: rustls::ClientConfig,
        address: Option<String>,
        timeouts: &Timeouts,
        entropy: SharedEntropy,
    ) -> Result<Self, ObjectError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_millis(timeouts.connect_timeout_ms))
            .pool_max_idle_per_host(32)
            .tcp_nodelay(true);
        if let Some(address) = address {
            builder = builder.dns_resolver(Arc::new(FixedAddress(address)));
        }
        let client = builder
            .build()
            .map_err(|error| ObjectError::Invalid(format!("S3 client: {error}")))?;
        Ok(Self { client, entropy })
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

#[async_trait]
impl Transport for Https {
    async fn call(&self, mut request: Request<Body>) -> Result<Response<Incoming>, ObjectError> {
        propagate_trace(request.headers_mut(), &self.entropy);
        let request =
            reqwest::Request::try_from(request.map(reqwest::Body::from)).map_err(|error| {
                ObjectError::Invalid(format!("S3 request: {}", error.without_url()))
            })?;
        // The URL is left out of errors: its query is a signature.
        let answer = self.client.execute(request).await.map_err(|error| {
            ObjectError::Unavailable(format!("S3: {}", chain(&error.without_url())))
        })?;
        let response = Response::<reqwest::Body>::from(answer);
        let (parts, body) = response.into_parts();
        let stream = http_body_util::BodyDataStream::new(body)
            .map_err(|error: reqwest::Error| {
                ObjectError::Unavailable(format!(
                    "the answer broke off: {}",
                    chain(&error.without_url())
                ))
            })
            .boxed();
        Ok(Response::from_parts(parts, stream))
    }
}

/// An error with its causes, which reqwest leaves out of its own text.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn propagate_trace(headers: &mut http::HeaderMap, entropy: &SharedEntropy) {
    let trace = current_trace().map(|trace| trace.child(&**entropy).header_value());
    if let Some(value) = trace.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert("traceparent", value);
    }
}

/// Resolves every name to one host's addresses.
#[derive(Debug)]
struct FixedAddress(String);

impl Resolve for FixedAddress {
    fn resolve(&self, _name: Name) -> Resolving {
        let address = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
