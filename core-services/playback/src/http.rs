//! The playback service's REST routes.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use http::StatusCode;
use mcsp_api::rest::PlayResponse;
use mcsp_api::{Problem, ProblemKind};
use mcsp_rpc::{EdgeContext, PrivateJson, Viewer};
use mcsp_telemetry::TelemetryLayer;
use utoipa::OpenApi;

use crate::error::PlaybackError;
use crate::placement::Asker;
use crate::service::{PlaybackService, SERVICE};

/// The service's routes under `/api/v1`, with its telemetry.
pub fn router(service: PlaybackService) -> Router {
    Router::new()
        .route("/api/v1/play/{content_id}", get(play))
        .route(
            "/api/v1/play/sessions/{media_session_id}",
            delete(end_session),
        )
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed))
        .layer(TelemetryLayer::new(SERVICE))
        .with_state(service)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "MCSP playback",
        description = "Media sessions: entitlement, signed URLs, revocation."
    ),
    paths(play, end_session)
)]
struct Document;

/// The OpenAPI document of [`router`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Opens a media session: signed manifest URLs at a PoP that may hold the item's bytes.
#[utoipa::path(get, path = "/api/v1/play/{content_id}", tag = "playback",
    params(("content_id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The session and its URLs", body = PlayResponse),
        (status = 401, description = "Sign in first", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not in this country, or the caller's own item cannot be played", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it is not the caller's to see", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The caller's own item cannot be played yet", body = Problem,
            content_type = "application/problem+json"),
        (status = 410, description = "It was the caller's own and is deleted", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not right now; `Retry-After` says when", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn play(
    State(service): State<PlaybackService>,
    Viewer(viewer): Viewer,
    context: EdgeContext,
    Path(content_id): Path<String>,
) -> Result<PrivateJson<PlayResponse>, Problem> {
    let id = content_id
        .parse()
        .map_err(|_| PlaybackError::NotFound.into_problem())?;
    let answer = service.play(&id, &viewer, &asker(context)).await?;
    Ok(PrivateJson(answer))
}

/// Ends the caller's own media session: no PoP serves it from then on.
#[utoipa::path(delete, path = "/api/v1/play/sessions/{media_session_id}", tag = "playback",
    params(("media_session_id" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "It is over"),
        (status = 404, description = "The caller has no such session", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "It is not ended: try again", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn end_session(
    State(service): State<PlaybackService>,
    Viewer(viewer): Viewer,
    Path(media_session_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = media_session_id
        .parse()
        .map_err(|_| PlaybackError::NotFound.into_problem())?;
    service.end_session(&id, &viewer).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn asker(context: EdgeContext) -> Asker {
    Asker {
        pop: context.pop,
        country: context.country.and_then(|code| code.parse().ok()),
        address: context.client_address,
        public_base: context.public_base,
    }
}
