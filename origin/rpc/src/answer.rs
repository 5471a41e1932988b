//! What services answer viewers.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue};
use mcsp_api::Problem;
use mcsp_telemetry::current_trace;
use serde::Serialize;

/// JSON for one viewer alone: two viewers see different things at one address, so nothing between may keep it.
#[derive(Debug, Clone, Copy)]
pub struct PrivateJson<T>(pub T);

impl<T: Serialize> IntoResponse for PrivateJson<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        response
    }
}

/// The problem with the current trace, in which the operator finds what the caller is not told.
#[must_use]
pub fn traced(problem: Problem) -> Problem {
    match current_trace() {
        Some(trace) => problem.trace_id(trace.trace_id_hex()),
        None => problem,
    }
}
