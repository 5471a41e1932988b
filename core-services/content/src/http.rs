//! The content service's REST routes.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, patch};
use http::StatusCode;
use mcsp_api::body::JsonBody;
use mcsp_api::metadata::MetadataPatch;
use mcsp_api::rest::{Content, VisibilityRequest};
use mcsp_api::{ContentId, Problem, ProblemKind};
use mcsp_rpc::{OptionalViewer, PrivateJson, Viewer};
use mcsp_telemetry::TelemetryLayer;
use utoipa::OpenApi;

use crate::error::ContentError;
use crate::service::{ContentService, SERVICE};

/// The service's routes under `/api/v1`, with its telemetry.
pub fn router(service: ContentService) -> Router {
    Router::new()
        .route(
            "/api/v1/content/{id}",
            get(get_content).patch(patch_content).delete(delete_content),
        )
        .route("/api/v1/content/{id}/visibility", patch(patch_visibility))
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed))
        .layer(TelemetryLayer::new(SERVICE))
        .with_state(service)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "MCSP content",
        description = "The content record: what it is, where it stands, who may see it."
    ),
    paths(get_content, patch_content, delete_content, patch_visibility)
)]
struct Document;

/// The OpenAPI document of [`router`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// An item. Anyone may see what is published and not private; its owner sees it at every stage, with the stages.
#[utoipa::path(get, path = "/api/v1/content/{id}", tag = "content",
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item", body = Content),
        (status = 404, description = "There is none, or it is not the caller's to see", body = Problem,
            content_type = "application/problem+json"),
        (status = 410, description = "It was the caller's own and is deleted", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn get_content(
    State(service): State<ContentService>,
    OptionalViewer(viewer): OptionalViewer,
    Path(id): Path<String>,
) -> Result<PrivateJson<Content>, Problem> {
    let content = service.get(&parse_id(&id)?, viewer.as_ref()).await?;
    Ok(PrivateJson(content))
}

/// Changes what the owner says of the item; only the fields that are sent change.
#[utoipa::path(patch, path = "/api/v1/content/{id}", tag = "content", request_body = MetadataPatch,
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item as it is now", body = Content),
        (status = 400, description = "A field cannot be used; `pointer` names it", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "The item is another's", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it is not the caller's to see", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn patch_content(
    State(service): State<ContentService>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
    JsonBody(patch): JsonBody<MetadataPatch>,
) -> Result<PrivateJson<Content>, Problem> {
    let content = service.patch(&parse_id(&id)?, &viewer, &patch).await?;
    Ok(PrivateJson(content))
}

/// Changes who may see the item.
#[utoipa::path(patch, path = "/api/v1/content/{id}/visibility", tag = "content", request_body = VisibilityRequest,
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item as it is now", body = Content),
        (status = 403, description = "The item is another's", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it is not the caller's to see", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn patch_visibility(
    State(service): State<ContentService>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<VisibilityRequest>,
) -> Result<PrivateJson<Content>, Problem> {
    let patch = MetadataPatch {
        visibility: Some(request.visibility),
        ..MetadataPatch::default()
    };
    let content = service.patch(&parse_id(&id)?, &viewer, &patch).await?;
    Ok(PrivateJson(content))
}

/// Deletes the item everywhere: the owner, or a platform administrator, whose act is audited.
#[utoipa::path(delete, path = "/api/v1/content/{id}", tag = "content",
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "The item is another's", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it is not the caller's to see", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Nothing was done: the audit log or the database is away", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn delete_content(
    State(service): State<ContentService>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete(&parse_id(&id)?, &viewer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names nothing.
fn parse_id(text: &str) -> Result<ContentId, Problem> {
    text.parse()
        .map_err(|_| ContentError::NotFound.into_problem())
}
