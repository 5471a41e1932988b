//! The upload service's REST routes.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use http::{HeaderMap, StatusCode};
use mcsp_api::body::JsonBody;
use mcsp_api::headers::IDEMPOTENCY_KEY;
use mcsp_api::metadata::MetadataPatch;
use mcsp_api::rest::{CreateUploadRequest, UploadMetadata, UploadSession};
use mcsp_api::{Problem, ProblemKind, UploadId};
use mcsp_rpc::{EdgeContext, PrivateJson, Viewer};
use mcsp_telemetry::TelemetryLayer;
use utoipa::OpenApi;

use crate::error::UploadError;
use crate::reach::Asker;
use crate::service::{SERVICE, UploadService};

/// The service's routes under `/api/v1`, with its telemetry.
pub fn router(service: UploadService) -> Router {
    Router::new()
        .route("/api/v1/uploads/session", post(create_session))
        .route(
            "/api/v1/uploads/session/{id}",
            get(get_session).delete(cancel_session),
        )
        .route(
            "/api/v1/uploads/session/{id}/metadata",
            patch(patch_metadata),
        )
        .route(
            "/api/v1/uploads/session/{id}/complete",
            post(complete_session),
        )
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed))
        .layer(TelemetryLayer::new(SERVICE))
        .with_state(service)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "MCSP upload",
        description = "Upload sessions: residency, presigned parts, resume, completion."
    ),
    paths(
        create_session,
        get_session,
        patch_metadata,
        complete_session,
        cancel_session
    )
)]
struct Document;

/// The OpenAPI document of [`router`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Opens a session: decides where the bytes may be, for ever, and answers with a URL for each part. PUT each part to
/// its URL, in any order and as often as needed, then complete the session.
#[utoipa::path(post, path = "/api/v1/uploads/session", tag = "upload", request_body = CreateUploadRequest,
    params(("idempotency-key" = Option<String>, Header,
        description = "Makes a retry answer with the same session: 1 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "The session", body = UploadSession),
        (status = 400, description = "A field cannot be used; `pointer` names it", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "The caller's role may not upload", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The key was used for another request", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The file is too large for its kind", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many unfinished sessions", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Nothing was decided: try again", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn create_session(
    State(service): State<UploadService>,
    Viewer(viewer): Viewer,
    context: EdgeContext,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CreateUploadRequest>,
) -> Result<(StatusCode, PrivateJson<UploadSession>), Problem> {
    // A key that is not text is not a valid key, which the service says.
    let key = headers
        .get(IDEMPOTENCY_KEY)
        .map(|value| value.to_str().unwrap_or_default());
    let session = service
        .create(&viewer, request, key, &asker(context))
        .await?;
    Ok((StatusCode::CREATED, PrivateJson(session)))
}

/// Where a session stands, with fresh URLs for the parts that are missing: ask this to resume.
#[utoipa::path(get, path = "/api/v1/uploads/session/{id}", tag = "upload",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = UploadSession),
        (status = 404, description = "The caller has no such session", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn get_session(
    State(service): State<UploadService>,
    Viewer(viewer): Viewer,
    context: EdgeContext,
    Path(id): Path<String>,
) -> Result<PrivateJson<UploadSession>, Problem> {
    let session = service
        .get(&parse_id(&id)?, &viewer, &asker(context))
        .await?;
    Ok(PrivateJson(session))
}

/// Changes what is said of the item, before it is published; only the fields that are sent change.
#[utoipa::path(patch, path = "/api/v1/uploads/session/{id}/metadata", tag = "upload", request_body = MetadataPatch,
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The metadata as it is now", body = UploadMetadata),
        (status = 400, description = "A field cannot be used; `pointer` names it", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such session", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The item is published or gone", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn patch_metadata(
    State(service): State<UploadService>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<MetadataPatch>,
) -> Result<PrivateJson<UploadMetadata>, Problem> {
    let metadata = service
        .patch_metadata(&parse_id(&id)?, &viewer, &change)
        .await?;
    Ok(PrivateJson(metadata))
}

/// Makes the file out of its parts and starts the pipeline, once however often this is called.
#[utoipa::path(post, path = "/api/v1/uploads/session/{id}/complete", tag = "upload",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session, `COMPLETED` or `PENDING_TRIGGER`; the file is safe in both",
            body = UploadSession),
        (status = 404, description = "The caller has no such session", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Parts are missing, or the session was given up", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn complete_session(
    State(service): State<UploadService>,
    Viewer(viewer): Viewer,
    context: EdgeContext,
    Path(id): Path<String>,
) -> Result<PrivateJson<UploadSession>, Problem> {
    let session = service
        .complete(&parse_id(&id)?, &viewer, &asker(context))
        .await?;
    Ok(PrivateJson(session))
}

/// Gives the upload up: its parts and its draft are removed.
#[utoipa::path(delete, path = "/api/v1/uploads/session/{id}", tag = "upload",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "It is given up"),
        (status = 404, description = "The caller has no such session", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "It is complete; delete the item instead", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn cancel_session(
    State(service): State<UploadService>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.cancel(&parse_id(&id)?, &viewer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names nothing.
fn parse_id(text: &str) -> Result<UploadId, Problem> {
    text.parse()
        .map_err(|_| UploadError::NotFound.into_problem())
}

fn asker(context: EdgeContext) -> Asker {
    Asker {
        pop: context.pop,
        country: context.country,
        public_base: context.public_base,
    }
}
