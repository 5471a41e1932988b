//! The auth service's REST routes.

use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use mcsp_api::body::JsonBody;
use mcsp_api::headers::IDEMPOTENCY_KEY;
use mcsp_api::rest::{LoginRequest, REFRESH_COOKIE, RegisterRequest, TokenResponse, UserProfile};
use mcsp_api::{Problem, ProblemKind};
use mcsp_rpc::{EdgeContext, Viewer};
use mcsp_telemetry::TelemetryLayer;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::error::AuthError;
use crate::service::{AuthService, SERVICE, SignedIn};

const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// Where the browser sends the cookie: to nothing else than this service.
const COOKIE_PATH: &str = "/api/v1/auth";

/// The service's routes, with its telemetry.
pub fn router(service: AuthService) -> Router {
    Router::new()
        .route("/api/v1/auth/register", post(register))
        .route("/api/v1/auth/login", post(login))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/logout", post(logout))
        .route("/api/v1/users/me", get(me))
        .route("/.well-known/jwks.json", get(jwks))
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed))
        .layer(TelemetryLayer::new(SERVICE))
        .with_state(service)
}

#[derive(OpenApi)]
#[openapi(
    info(title = "MCSP auth", description = "Accounts, sessions, access tokens and the keys that verify them."),
    paths(register, login, refresh, logout, me, jwks),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(REFRESH_COOKIE)));
        components.add_security_scheme("refresh_cookie", cookie);
    }
}

/// The OpenAPI document of [`router`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Creates an account and signs it in. The refresh token comes in an HttpOnly cookie.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = RegisterRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry harmless: 1 to 128 visible ASCII \
        characters, remembered for a day")),
    responses(
        (status = 201, description = "The account, signed in", body = TokenResponse),
        (status = 400, description = "A field cannot be used", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The address is taken, here or in another region, or the key was used for another \
            request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The account is locked for a while", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not possible right now", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn register(
    State(service): State<AuthService>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let signed_in = service.register(&request, key).await?;
    Ok(answer(StatusCode::CREATED, signed_in))
}

/// Signs in by password, wherever the account's home region is: the token and the cookie are that region's.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in", body = TokenResponse),
        (status = 401, description = "The address or the password is wrong", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "The account is locked for a while", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not possible right now; or the account is not known here, and a region that may \
            know it cannot be reached", body = Problem, content_type = "application/problem+json"),
    ))]
async fn login(
    State(service): State<AuthService>,
    edge: EdgeContext,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Problem> {
    let signed_in = service.login(&request, edge.client_address).await?;
    Ok(answer(StatusCode::OK, signed_in))
}

/// Trades the cookie's refresh token for a new one and an access token. A token is good once; its reuse ends the session.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", security(("refresh_cookie" = [])),
    responses(
        (status = 200, description = "The session goes on", body = TokenResponse),
        (status = 401, description = "There is no session, or it has ended; the cookie is taken away", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not possible right now; the cookie is still good", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn refresh(State(service): State<AuthService>, headers: HeaderMap) -> Response {
    let outcome = match refresh_cookie(&headers) {
        Some(token) => service.refresh(token).await,
        None => Err(AuthError::NoSession("there is no refresh cookie; sign in")),
    };
    match outcome {
        Ok(signed_in) => answer(StatusCode::OK, signed_in),
        Err(error @ AuthError::NoSession(_)) => (
            AppendHeaders([(SET_COOKIE, no_cookie())]),
            error.into_problem(),
        )
            .into_response(),
        Err(error) => error.into_problem().into_response(),
    }
}

/// Ends the session of the access token everywhere.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 401, description = "There is no session", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not possible right now", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn logout(
    State(service): State<AuthService>,
    Viewer(viewer): Viewer,
) -> Result<Response, Problem> {
    service.logout(&viewer).await?;
    Ok((
        StatusCode::NO_CONTENT,
        AppendHeaders([(SET_COOKIE, no_cookie())]),
    )
        .into_response())
}

/// The viewer's own account.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "The account", body = UserProfile),
        (status = 401, description = "There is no session, or it has ended", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not possible right now", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn me(
    State(service): State<AuthService>,
    Viewer(viewer): Viewer,
) -> Result<Response, Problem> {
    let profile = service.me(&viewer).await?;
    Ok(([(CACHE_CONTROL, "private, no-store")], Json(profile)).into_response())
}

/// The keys that verify this region's access tokens (RFC 7517): current, next, and previous ones.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, description = "A JWK Set", body = serde_json::Value,
        content_type = "application/jwk-set+json")))]
async fn jwks(State(service): State<AuthService>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=60"),
    ];
    (headers, service.jwks_json().to_string()).into_response()
}

fn answer(status: StatusCode, signed_in: SignedIn) -> Response {
    let headers = [
        (
            SET_COOKIE,
            cookie(&signed_in.refresh_token, signed_in.refresh_max_age_s),
        ),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, AppendHeaders(headers), Json(signed_in.response)).into_response()
}

fn cookie(value: &str, max_age_s: i64) -> String {
    format!(
        "{REFRESH_COOKIE}={value}; Path={COOKIE_PATH}; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Strict"
    )
}

fn no_cookie() -> String {
    cookie("", 0)
}

/// The refresh cookie (RFC 6265). Two of them mean that somebody else planted one: neither is believed.
fn refresh_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == REFRESH_COOKIE)
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(token), None) if !token.is_empty() => Some(token),
        _ => None,
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    if !(1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len())
        || !key.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(Problem::new(ProblemKind::InvalidRequest).detail(format!(
            "Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters without spaces"
        )));
    }
    Ok(Some(key))
}
