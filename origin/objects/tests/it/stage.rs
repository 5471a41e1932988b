//! What the tests have in common: a folder, an endpoint over it, accounts, and plain HTTP requests to it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request};
use http_body_util::BodyExt;
use mcsp_origin_objects::contract::PartSender;
use mcsp_origin_objects::{
    Account, Accounts, EndpointConfig, FileEngine, S3Endpoint, Secret, SharedObjects,
};
use mcsp_runtime::{SystemClock, SystemEntropy};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const NG: &str = "mcsp-ng";
pub(crate) const GLOBAL: &str = "mcsp-global";
/// What presigned URLs are signed for.
pub(crate) const PUBLIC_BASE: &str = "https://los1.example:8443";

pub(crate) fn secret() -> Secret {
    Secret::new("a secret for tests only")
}

/// A folder with both buckets, and an endpoint with a writer and a reader for each.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) engine: FileEngine,
    pub(crate) endpoint: S3Endpoint,
}

pub(crate) async fn open_engine(dir: &TempDir) -> FileEngine {
    let engine = FileEngine::open(dir.path(), SystemClock::shared(), SystemEntropy::shared())
        .await
        .unwrap();
    engine.create_bucket(NG).await.unwrap();
    engine.create_bucket(GLOBAL).await.unwrap();
    engine
}

pub(crate) fn accounts() -> Accounts {
    Accounts::new([
        Account::writer("ng-writer", secret(), NG, &[GLOBAL]),
        Account::reader("ng-reader", secret(), NG, &[GLOBAL]),
        Account::writer("global-writer", secret(), GLOBAL, &[NG]),
        Account::reader("global-reader", secret(), GLOBAL, &[NG]),
    ])
    .unwrap()
    .carried_by(NG, |peer| !peer.is_edge() || peer.0.account() == "los1")
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with_config(EndpointConfig::default()).await
    }

    pub(crate) async fn with_config(config: EndpointConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = open_engine(&dir).await;
        let endpoint = S3Endpoint::with_config(engine.clone(), accounts(), config);
        Self {
            dir,
            engine,
            endpoint,
        }
    }

    pub(crate) fn client(&self, access_key: &str) -> SharedObjects {
        self.endpoint.in_process_client(access_key, &secret())
    }

    /// Sends a request as it would come from the network.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response {
        let uri: http::Uri = url.parse().unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().unwrap().as_str())
            .header(HOST, uri.authority().unwrap().as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.endpoint
            .router()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn put_presigned(&self, url: &str, body: Bytes) -> Response {
        let length = body.len().to_string();
        self.send(
            Method::PUT,
            url,
            &[(CONTENT_LENGTH.as_str(), &length)],
            body.into(),
        )
        .await
    }
}

pub(crate) async fn body_text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Stores parts with the folder's owner.
pub(crate) struct OwnerParts(pub(crate) FileEngine);

#[async_trait]
impl PartSender for OwnerParts {
    async fn send(
        &self,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<(), String> {
        let stored = self.0.put_part(NG, key, upload_id, part_number, body).await;
        stored.map(drop).map_err(|error| error.to_string())
    }
}

/// Stores parts by presigned URLs, straight to the router.
pub(crate) struct PresignedParts<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) store: SharedObjects,
}

#[async_trait]
impl PartSender for PresignedParts<'_> {
    async fn send(
        &self,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<(), String> {
        let life = std::time::Duration::from_secs(60);
        let url = self
            .store
            .presign_part(PUBLIC_BASE, NG, key, upload_id, part_number, life);
        let response = self
            .stage
            .put_presigned(&url.map_err(|error| error.to_string())?, body)
            .await;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{status}: {}", body_text(response).await))
        }
    }
}

pub(crate) fn shared(engine: &FileEngine) -> SharedObjects {
    Arc::new(engine.clone())
}
