//! The admin listener's routes: metrics, health, readiness.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::{TelemetryLayer, encode_metrics, registry};

/// May traffic be sent here?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The answer.
    pub ready: bool,
    /// What it depends on, and how each is: `ok`, or what is wrong.
    pub checks: BTreeMap<String, String>,
}

impl Readiness {
    /// Ready, as far as nothing is known to the contrary.
    #[must_use]
    pub fn ready() -> Self {
        Self {
            ready: true,
            checks: BTreeMap::new(),
        }
    }

    /// Not ready, for this reason.
    #[must_use]
    pub fn not_ready(check: &str, reason: impl Into<String>) -> Self {
        Self::ready().with(check, Err(reason.into()))
    }

    /// With one more thing to know, which does not decide.
    #[must_use]
    pub fn note(mut self, check: &str, result: Result<(), String>) -> Self {
        let state = result.err().unwrap_or_else(|| "ok".to_owned());
        self.checks.insert(check.to_owned(), state);
        self
    }

    /// With one more check; an `Err` makes the whole not ready.
    #[must_use]
    pub fn with(mut self, check: &str, result: Result<(), String>) -> Self {
        self.ready &= result.is_ok();
        self.checks.insert(
            check.to_owned(),
            result.err().unwrap_or_else(|| "ok".to_owned()),
        );
        self
    }
}

/// `GET /metrics` (Prometheus text format), `/healthz` (200 while the process answers) and `/readyz` (200 or 503, with
/// the checks as JSON). For a listener that viewers cannot reach.
pub fn admin_router(ready: impl Fn() -> Readiness + Send + Sync + 'static) -> Router {
    let ready = Arc::new(ready);
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(move || async move { readiness(&ready()) }))
        .layer(TelemetryLayer::new("admin").quiet())
}

async fn metrics() -> Response {
    match encode_metrics(registry()) {
        Ok(text) => (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn readiness(readiness: &Readiness) -> Response {
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [(CACHE_CONTROL, "no-store")];
    (status, headers, axum::Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get_text(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readiness_is_503_with_the_reason() {
        let router = admin_router(|| {
            Readiness::ready()
                .with("db", Ok(()))
                .with("events", Err("away".to_owned()))
        });
        let (status, text) = get_text(router.clone(), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let readiness: Readiness = serde_json::from_str(&text).expect("JSON");
        assert_eq!(readiness.checks["db"], "ok");
        assert_eq!(readiness.checks["events"], "away");
        assert_eq!(get_text(router, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_shown() {
        let router = admin_router(Readiness::ready);
        assert_eq!(get_text(router.clone(), "/readyz").await.0, StatusCode::OK);
        let (status, text) = get_text(router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            text.contains("# TYPE mcsp_requests_total counter"),
            "{text}"
        );
    }
}
