//! The S3 endpoint over the local engine: the only way to the bytes for everyone but the folder's owner.
//!
//! Signatures (AWS Signature Version 4, in the header or in a presigned URL) are checked by `s3s` against the machine's
//! clock; policies are checked before the operation reads a byte of the body.

mod access;
mod accounts;
mod config;
mod mapping;
mod operations;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use http_body_util::StreamBody;
use hyper::body::{Body as _, Frame};
use mcsp_runtime::{SystemClock, SystemEntropy};
use mcsp_telemetry::TelemetryLayer;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, s3_error};

pub use self::accounts::{Account, Accounts, AccountsError, Action, Effect, Rule, Secret};
pub use self::config::EndpointConfig;

use self::access::{Gate, check_form};
use self::operations::Operations;
use self::serve::Refused;
use crate::client::{InProcess, S3Client, Signing};
use crate::{FileEngine, SharedObjects};

/// The S3 API of a [`FileEngine`], over TLS and for the same process. Cloning shares it.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    service: S3Service,
    config: EndpointConfig,
}

impl S3Endpoint {
    /// An endpoint with the default limits.
    #[must_use]
    pub fn new(engine: FileEngine, accounts: Accounts) -> Self {
        Self::with_config(engine, accounts, EndpointConfig::default())
    }

    /// An endpoint with limits of its own.
    #[must_use]
    pub fn with_config(engine: FileEngine, accounts: Accounts, config: EndpointConfig) -> Self {
        let gate = Gate {
            accounts: Arc::new(accounts),
            config,
        };
        let mut builder = S3ServiceBuilder::new(Operations { engine, config });
        // Both must be set: without an authenticator the adapter checks no access either.
        builder.set_auth(gate.clone());
        builder.set_access(gate);
        Self {
            service: builder.build(),
            config,
        }
    }

    /// The endpoint as a router, with access log, metrics and trace context.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", any(handle))
            .route("/{bucket}", any(handle))
            .route("/{bucket}/", any(handle))
            .route("/{bucket}/{*key}", any(handle))
            .with_state(self.clone())
            .layer(TelemetryLayer::new("s3"))
    }

    /// A client in the same process. Its requests are signed, verified and held to the account's policy like any other.
    #[must_use]
    pub fn in_process_client(&self, access_key: &str, secret: &Secret) -> SharedObjects {
        let signing = Signing::new(access_key, secret, "mcsp", SystemClock::shared());
        let transport = InProcess::new(self.router(), SystemEntropy::shared());
        Arc::new(S3Client::in_process(signing, transport))
    }
}

async fn handle(State(endpoint): State<S3Endpoint>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.extensions.get::<Refused>().is_some() {
        return refuse(s3_error!(
            AccessDenied,
            "The caller may not use object storage here"
        ));
    }
    if let Err(error) = check_form(&parts) {
        return refuse(error);
    }
    // A stream has no length, and the adapter refuses a signed request without one; a GET says none.
    let body = if body.is_end_stream() {
        s3s::Body::empty()
    } else {
        s3s::Body::http_body_unsync(watched(body, endpoint.config.body_idle_timeout_ms))
    };
    match endpoint
        .service
        .call(http::Request::from_parts(parts, body))
        .await
    {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the S3 adapter failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn refuse(error: S3Error) -> Response {
    match error.to_http_response() {
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}

/// A body that fails when it stands still.
fn watched(
    body: Body,
    idle_timeout_ms: u64,
) -> StreamBody<impl futures::Stream<Item = Result<Frame<Bytes>, axum::Error>> + Send> {
    let idle = Duration::from_millis(idle_timeout_ms);
    let stream = futures::stream::unfold(Some(body.into_data_stream()), move |state| async move {
        let mut stream = state?;
        match tokio::time::timeout(idle, stream.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(Frame::data(chunk)), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => Some((Err(axum::Error::new("the body stands still")), None)),
        }
    });
    StreamBody::new(stream)
}
