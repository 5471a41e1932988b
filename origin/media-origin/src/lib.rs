//! Serves published media from object storage to edges: `GET|HEAD /media/{residency}/{content_id}/{rest}`.
//!
//! Who may watch was decided at the edge, by the signed URL. What is decided here is which node may hold the bytes:
//! those of `NG` items go to edges in Nigeria alone. Bodies are streamed, and one that breaks off in storage breaks off
//! here too.

mod condition;
mod describe;
mod range;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use mcsp_api::media_path::{MediaPath, private};
use mcsp_api::{Problem, ProblemKind, Residency};
use mcsp_identity::Peer;
use mcsp_objects::{ObjectError, ObjectMeta, SharedObjects};
use mcsp_telemetry::{TelemetryLayer, current_trace};

use self::condition::{is_not_modified, range_applies};
use self::range::{Selection, select};

/// The bucket of `GLOBAL` items.
pub const BUCKET_GLOBAL: &str = "mcsp-global";
/// The bucket of `NG` items.
pub const BUCKET_NG: &str = "mcsp-ng";

/// A chunk of a body that does not come within this breaks the answer off.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What is said to those who ask while storage is away, seconds.
const RETRY_AFTER_S: u32 = 1;

/// Is the PoP with this id in Nigeria? An unknown one is not.
pub type IsInNigeria = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the media origin reads from. Its credentials should only read.
#[derive(Clone)]
pub struct MediaOrigin {
    /// Reads [`BUCKET_NG`]; absent in regions that hold no `NG` item.
    pub objects_ng: Option<SharedObjects>,
    /// Reads [`BUCKET_GLOBAL`].
    pub objects_global: SharedObjects,
    /// Decides which edges get `NG` items.
    pub is_in_nigeria: IsInNigeria,
}

impl fmt::Debug for MediaOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaOrigin")
            .field("objects_ng", &self.objects_ng)
            .field("objects_global", &self.objects_global)
            .finish_non_exhaustive()
    }
}

/// The routes under `/media/`.
pub fn router(origin: MediaOrigin) -> Router {
    let methods = get(serve).head(serve).fallback(method_not_allowed);
    Router::new()
        .route("/media/{residency}/{content_id}/{*rest}", methods)
        .with_state(origin)
        .layer(TelemetryLayer::new("media-origin"))
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed).detail("media can be read with GET and HEAD")
}

async fn serve(State(origin): State<MediaOrigin>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let answer = match MediaPath::parse_origin(request.uri.path()) {
        Some(path) if !is_private(path.rest) => origin.answer(&path, &request).await,
        // What must not be served does not exist.
        _ => Err(Problem::new(ProblemKind::NotFound)),
    };
    answer.unwrap_or_else(refused)
}

/// Edges keep for a moment that something does not exist; what else went wrong is nobody else's.
fn refused(problem: Problem) -> Response {
    if problem.status != StatusCode::NOT_FOUND.as_u16() {
        return with_trace(problem).into_response();
    }
    let mut response = problem.into_response();
    describe::describe_missing(response.headers_mut());
    response
}

fn is_private(rest: &str) -> bool {
    private::PREFIXES
        .iter()
        .any(|prefix| rest.starts_with(prefix))
}

impl MediaOrigin {
    async fn answer(&self, path: &MediaPath<'_>, request: &Parts) -> Result<Response, Problem> {
        let (objects, bucket) = self.store_for(path.residency, request.extensions.get::<Peer>())?;
        let key = path.object_name();
        let headers = &request.headers;
        if request.method == Method::HEAD {
            let meta = objects
                .head(bucket, &key)
                .await
                .map_err(|error| problem_of(&error))?;
            if is_not_modified(headers, &meta.etag) {
                return Ok(not_modified(path, &meta));
            }
            let mut response = described(path, &meta, Body::empty());
            set_length(&mut response, meta.size_bytes);
            return Ok(response);
        }
        let known = if condition::needs_meta(headers) {
            Some(
                objects
                    .head(bucket, &key)
                    .await
                    .map_err(|error| problem_of(&error))?,
            )
        } else {
            None
        };
        let selection = match &known {
            Some(meta) if is_not_modified(headers, &meta.etag) => {
                return Ok(not_modified(path, meta));
            }
            Some(meta) => selection_of(headers, meta),
            None => Selection::Whole,
        };
        let range = match (&selection, &known) {
            (Selection::Unsatisfiable, Some(meta)) => return Ok(unsatisfiable(meta.size_bytes)),
            (Selection::Part(range), _) => Some(range.clone()),
            _ => None,
        };
        let body = objects
            .get(bucket, &key, range.clone())
            .await
            .map_err(|error| problem_of(&error))?;
        // Replaced between the two calls: the range was cut to another object.
        if known.is_some_and(|known| known.etag != body.meta.etag) {
            return Err(unavailable());
        }
        let (meta, sent) = (body.meta.clone(), body.range.clone());
        let stream = body.into_exact(BODY_IDLE_TIMEOUT);
        let mut response = described(path, &meta, Body::from_stream(stream));
        set_length(&mut response, sent.end - sent.start);
        if range.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = sent.end.saturating_sub(1);
            set(
                &mut response,
                CONTENT_RANGE,
                &format!("bytes {}-{last}/{}", sent.start, meta.size_bytes),
            );
        }
        Ok(response)
    }

    /// The store that holds items of this residency, if the peer may carry them.
    fn store_for(
        &self,
        residency: Residency,
        peer: Option<&Peer>,
    ) -> Result<(&SharedObjects, &'static str), Problem> {
        match residency {
            Residency::Global => Ok((&self.objects_global, BUCKET_GLOBAL)),
            Residency::Ng => {
                let may_carry = peer
                    .filter(|peer| peer.is_edge())
                    .is_some_and(|peer| (self.is_in_nigeria)(peer.0.account()));
                let wrong_pop = |detail| Err(Problem::new(ProblemKind::WrongPop).detail(detail));
                match &self.objects_ng {
                    _ if !may_carry => wrong_pop("this item is carried by PoPs in Nigeria only"),
                    None => wrong_pop("this region holds no items that stay in Nigeria"),
                    Some(objects) => Ok((objects, BUCKET_NG)),
                }
            }
        }
    }
}

fn selection_of(headers: &HeaderMap, meta: &ObjectMeta) -> Selection {
    let value = headers.get(RANGE).and_then(|value| value.to_str().ok());
    match value {
        Some(value) if range_applies(headers, &meta.etag) => select(value, meta.size_bytes),
        _ => Selection::Whole,
    }
}

/// A 200 with everything that is said of the object.
fn described(path: &MediaPath<'_>, meta: &ObjectMeta, body: Body) -> Response {
    let mut response = Response::new(body);
    describe::describe(response.headers_mut(), path, meta);
    set(&mut response, ETAG, &meta.etag);
    response
        .headers_mut()
        .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn not_modified(path: &MediaPath<'_>, meta: &ObjectMeta) -> Response {
    let mut response = described(path, meta, Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn unsatisfiable(size_bytes: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    set(
        &mut response,
        CONTENT_RANGE,
        &format!("bytes */{size_bytes}"),
    );
    response
}

fn set_length(response: &mut Response, bytes: u64) {
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
}

fn set(response: &mut Response, name: http::HeaderName, value: &str) {
    // Values are digits, hexadecimal and quotes; one that is not is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn problem_of(error: &ObjectError) -> Problem {
    match error {
        ObjectError::NotFound(_) => Problem::new(ProblemKind::NotFound),
        ObjectError::Unavailable(_) | ObjectError::Conflict(_) => {
            tracing::warn!(%error, "object storage did not answer");
            unavailable()
        }
        ObjectError::Denied(_) | ObjectError::Invalid(_) => {
            tracing::error!(%error, "object storage refuses the media origin");
            Problem::new(ProblemKind::Internal)
        }
    }
}

fn unavailable() -> Problem {
    Problem::new(ProblemKind::Unavailable)
        .detail("the media store is not available")
        .retry_after_s(RETRY_AFTER_S)
}

fn with_trace(problem: Problem) -> Problem {
    match current_trace() {
        Some(trace) => problem.trace_id(trace.trace_id_hex()),
        None => problem,
    }
}
