//! A platform of one process: accounts, uploads in parts of 1000 bytes, items whose fate is written beforehand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use mcsp_api::rest::{
    Content, ContentStage, ContentStatus, CreateUploadRequest, LoginRequest, PlayResponse,
    RegisterRequest, TokenResponse, UploadPart, UploadSession, UploadStatus, UserProfile,
};
use mcsp_api::{Problem, ProblemKind, Residency, Role};
use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, SET_COOKIE};
use tokio::net::TcpListener;

pub(crate) const UPLOAD_ID: &str = "up_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const CONTENT_ID: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
const PART_BYTES: usize = 1000;

/// What the platform knows, and how it misbehaves.
pub(crate) struct Facts {
    /// Access tokens live this long, seconds.
    pub(crate) token_life_s: u32,
    /// Serial of the session's tokens; those of an earlier serial are spent.
    pub(crate) serial: u32,
    /// A spent refresh token was used.
    pub(crate) theft: bool,
    pub(crate) signed_in: bool,
    pub(crate) registered: Option<RegisterRequest>,
    /// The upload, once somebody asked for it.
    pub(crate) request: Option<CreateUploadRequest>,
    pub(crate) idempotency_keys: Vec<String>,
    pub(crate) parts: BTreeMap<u32, Bytes>,
    pub(crate) status: UploadStatus,
    /// Every PUT that was taken, in order.
    pub(crate) puts: Vec<u32>,
    /// URLs are made with this number, and are good from this number on.
    pub(crate) url_generation: u32,
    pub(crate) url_generation_min: u32,
    pub(crate) in_flight: u32,
    pub(crate) in_flight_max: u32,
    /// So many calls of each kind fail before one succeeds.
    pub(crate) creates_fail: u32,
    pub(crate) puts_fail: u32,
    pub(crate) completes_fail: u32,
    /// PUTs after so many parts are never answered.
    pub(crate) hang_after: Option<usize>,
    /// What the item looks like at each look; the last one stays.
    pub(crate) looks: VecDeque<Content>,
}

#[derive(Clone)]
pub(crate) struct Platform {
    port: u16,
    facts: Arc<Mutex<Facts>>,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let platform = Self {
            port: listener.local_addr().unwrap().port(),
            facts: Arc::new(Mutex::new(Facts {
                token_life_s: 900,
                serial: 0,
                theft: false,
                signed_in: false,
                registered: None,
                request: None,
                idempotency_keys: Vec::new(),
                parts: BTreeMap::new(),
                status: UploadStatus::Open,
                puts: Vec::new(),
                url_generation: 0,
                url_generation_min: 0,
                in_flight: 0,
                in_flight_max: 0,
                creates_fail: 0,
                puts_fail: 0,
                completes_fail: 0,
                hang_after: None,
                looks: VecDeque::from([content(ContentStatus::Published)]),
            })),
        };
        let router = Router::new()
            .route("/api/v1/auth/register", post(register))
            .route("/api/v1/auth/login", post(login))
            .route("/api/v1/auth/refresh", post(refresh))
            .route("/api/v1/auth/logout", post(logout))
            .route("/api/v1/uploads/session", post(create))
            .route("/api/v1/uploads/session/{id}", get(session))
            .route("/api/v1/uploads/session/{id}/complete", post(complete))
            .route("/storage/{number}", put(store))
            .route("/api/v1/content/{id}", get(look))
            .route("/api/v1/play/{id}", get(play))
            .with_state(platform.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        platform
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn facts(&self) -> parking_lot::MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    pub(crate) fn stored(&self) -> Vec<u8> {
        self.facts().parts.values().flatten().copied().collect()
    }

    fn session(&self) -> UploadSession {
        let mut facts = self.facts();
        facts.url_generation += 1;
        let generation = facts.url_generation;
        let request = facts.request.clone().unwrap();
        let size = usize::try_from(request.size_bytes).unwrap();
        let parts = (1..=size.div_ceil(PART_BYTES)).map(|number| {
            let part_number = u32::try_from(number).unwrap();
            let received = facts.parts.contains_key(&part_number);
            let url = format!(
                "{}/storage/{part_number}?generation={generation}",
                self.url()
            );
            UploadPart {
                part_number,
                size_bytes: (size - (number - 1) * PART_BYTES).min(PART_BYTES) as u64,
                received,
                url: (!received).then_some(url),
            }
        });
        UploadSession {
            upload_id: UPLOAD_ID.to_owned(),
            content_id: CONTENT_ID.to_owned(),
            residency: request.residency.unwrap_or(Residency::Global),
            status: facts.status,
            size_bytes: request.size_bytes,
            part_size_bytes: PART_BYTES as u64,
            parts: parts.collect(),
            urls_expire_in_s: 900,
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let facts = self.facts();
        let expected = format!("Bearer access-{}", facts.serial);
        let is_good = facts.signed_in
            && headers
                .get(AUTHORIZATION)
                .is_some_and(|value| value == expected.as_str());
        if is_good {
            Ok(())
        } else {
            Err(ProblemKind::Unauthenticated.into())
        }
    }

    fn sign_in(&self, status: StatusCode) -> Response {
        let mut facts = self.facts();
        facts.serial += 1;
        facts.signed_in = true;
        let serial = facts.serial;
        let cookie = format!(
            "mcsp_refresh=refresh-{serial}; Path=/api/v1/auth; HttpOnly; Secure; SameSite=Strict"
        );
        let body = TokenResponse {
            access_token: format!("access-{serial}"),
            token_type: "Bearer".to_owned(),
            expires_in: facts.token_life_s,
            user: UserProfile {
                user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".to_owned(),
                email: "ada@example.com".to_owned(),
                display_name: "Ada".to_owned(),
                role: Role::Creator,
                organisation_id: None,
            },
        };
        (status, AppendHeaders([(SET_COOKIE, cookie)]), Json(body)).into_response()
    }
}

pub(crate) fn content(status: ContentStatus) -> Content {
    Content {
        content_id: CONTENT_ID.to_owned(),
        owner_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".to_owned(),
        residency: Residency::Ng,
        media_type: mcsp_api::events::MediaType::Video,
        status,
        status_reason: None,
        metadata: mcsp_api::rest::UploadMetadata {
            title: "Lagos by night".to_owned(),
            ..Default::default()
        },
        duration_ms: 30_000,
        renditions: if status == ContentStatus::Published {
            vec!["v360".to_owned()]
        } else {
            Vec::new()
        },
        complete: false,
        thumbnails: Vec::new(),
        stages: Vec::new(),
        created_ms: 0,
        published_ms: None,
    }
}

pub(crate) fn stage(name: &str, state: &str, percent: u32) -> ContentStage {
    ContentStage {
        stage: name.to_owned(),
        state: state.to_owned(),
        percent,
        note: String::new(),
        updated_ms: 0,
    }
}

/// Takes one of the failures that were ordered.
fn fails(count: &mut u32) -> Result<(), Problem> {
    if *count == 0 {
        return Ok(());
    }
    *count -= 1;
    Err(ProblemKind::Unavailable.into())
}

async fn register(
    State(platform): State<Platform>,
    Json(request): Json<RegisterRequest>,
) -> Response {
    platform.facts().registered = Some(request);
    platform.sign_in(StatusCode::CREATED)
}

async fn login(State(platform): State<Platform>, Json(request): Json<LoginRequest>) -> Response {
    if request.password == "a long password" {
        return platform.sign_in(StatusCode::OK);
    }
    Problem::new(ProblemKind::Unauthenticated)
        .detail("the address or the password is wrong")
        .trace_id("0af7651916cd43dd8448eb211c80319c")
        .into_response()
}

async fn refresh(State(platform): State<Platform>, headers: HeaderMap) -> Response {
    {
        let mut facts = platform.facts();
        let expected = format!("mcsp_refresh=refresh-{}", facts.serial);
        if headers
            .get(COOKIE)
            .is_none_or(|value| value != expected.as_str())
        {
            facts.theft = true;
            facts.signed_in = false;
        }
        if !facts.signed_in {
            return Problem::from(ProblemKind::Unauthenticated).into_response();
        }
    }
    platform.sign_in(StatusCode::OK)
}

async fn logout(
    State(platform): State<Platform>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    platform.check_token(&headers)?;
    platform.facts().signed_in = false;
    Ok(StatusCode::NO_CONTENT)
}

async fn create(
    State(platform): State<Platform>,
    headers: HeaderMap,
    Json(request): Json<CreateUploadRequest>,
) -> Result<Response, Problem> {
    platform.check_token(&headers)?;
    if request.metadata.title == "refuse me" {
        return Err(Problem::new(ProblemKind::InvalidRequest)
            .detail("not this title")
            .pointer("/metadata/title"));
    }
    {
        let mut facts = platform.facts();
        let key = headers
            .get("idempotency-key")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if !facts.idempotency_keys.contains(&key) {
            facts.parts.clear();
            facts.status = UploadStatus::Open;
        }
        facts.idempotency_keys.push(key);
        facts.request = Some(request);
        // As if the answer were lost: the session was made.
        fails(&mut facts.creates_fail)?;
    }
    Ok((StatusCode::CREATED, Json(platform.session())).into_response())
}

async fn session(
    State(platform): State<Platform>,
    headers: HeaderMap,
) -> Result<Json<UploadSession>, Problem> {
    platform.check_token(&headers)?;
    if platform.facts().request.is_none() {
        return Err(ProblemKind::NotFound.into());
    }
    Ok(Json(platform.session()))
}

async fn complete(
    State(platform): State<Platform>,
    headers: HeaderMap,
) -> Result<Json<UploadSession>, Problem> {
    platform.check_token(&headers)?;
    let missing = platform
        .session()
        .parts
        .iter()
        .filter(|part| !part.received)
        .count();
    {
        let mut facts = platform.facts();
        fails(&mut facts.completes_fail)?;
        if missing > 0 {
            return Err(
                Problem::new(ProblemKind::Conflict).detail(format!("{missing} parts are missing"))
            );
        }
        facts.status = UploadStatus::Completed;
    }
    Ok(Json(platform.session()))
}

async fn store(
    State(platform): State<Platform>,
    Path(number): Path<u32>,
    Query(query): Query<BTreeMap<String, u32>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, StatusCode> {
    assert!(
        headers.contains_key("content-length"),
        "object storage wants a length"
    );
    assert!(
        !headers.contains_key(AUTHORIZATION),
        "a token must not go to storage"
    );
    let must_hang = {
        let mut facts = platform.facts();
        facts.in_flight += 1;
        facts.in_flight_max = facts.in_flight_max.max(facts.in_flight);
        facts
            .hang_after
            .is_some_and(|after| facts.parts.len() >= after)
    };
    if must_hang {
        std::future::pending::<()>().await;
    }
    // Long enough for others to arrive.
    tokio::time::sleep(Duration::from_millis(15)).await;
    let mut facts = platform.facts();
    facts.in_flight -= 1;
    if query["generation"] < facts.url_generation_min {
        return Err(StatusCode::FORBIDDEN);
    }
    fails(&mut facts.puts_fail).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    facts.puts.push(number);
    facts.parts.insert(number, body);
    Ok(StatusCode::OK)
}

async fn look(
    State(platform): State<Platform>,
    headers: HeaderMap,
) -> Result<Json<Content>, Problem> {
    platform.check_token(&headers)?;
    let mut facts = platform.facts();
    let content = if facts.looks.len() > 1 {
        facts.looks.pop_front()
    } else {
        facts.looks.front().cloned()
    };
    Ok(Json(content.unwrap()))
}

async fn play(
    State(platform): State<Platform>,
    headers: HeaderMap,
) -> Result<Json<PlayResponse>, Problem> {
    platform.check_token(&headers)?;
    let base = format!("{}/media/token/ng/{CONTENT_ID}/", platform.url());
    Ok(Json(PlayResponse {
        content_id: CONTENT_ID.to_owned(),
        title: "Lagos by night".to_owned(),
        media_type: mcsp_api::events::MediaType::Video,
        media_session_id: "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".to_owned(),
        hls_url: format!("{base}manifest.m3u8"),
        dash_url: format!("{base}manifest.mpd"),
        media_base_url: base,
        expires_s: 0,
        resume_position_ms: 0,
    }))
}
