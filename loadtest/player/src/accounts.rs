//! Who users sign in as. Users that share an account share its session.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, header};
use mcsp_loadtest_wire::{Answer, Client};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::api::{Call, CallError, ask};
use crate::world::World;

/// The cookie that renews a session.
const REFRESH_COOKIE: &str = "mcsp_refresh";

#[derive(Debug, Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
}

/// A session of the API.
#[derive(Debug, Clone, Default)]
struct Session {
    access_token: String,
    refresh_token: String,
    /// When four fifths of its life are over, µs after the run's start.
    renew_us: u64,
}

#[derive(Debug, Default)]
struct Account {
    is_registered: bool,
    session: Option<Session>,
}

/// The accounts of a worker, as far as they have been used.
#[derive(Debug, Default)]
pub(crate) struct AccountBook(Mutex<HashMap<(u32, bool), SharedAccount>>);

type SharedAccount = Arc<tokio::sync::Mutex<Account>>;

/// What is wanted of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// A token that is good; one that is there already will do.
    Any,
    /// By the password, whatever is there.
    Anew,
    /// By the refresh cookie.
    Refresh,
}

/// A user's account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) account: u32,
    pub(crate) is_creator: bool,
}

/// The `authorization` field of an account.
pub(crate) async fn bearer(
    world: &World,
    client: &mut Client,
    base: &Url,
    who: Who,
    sign_in: SignIn,
    intended_us: u64,
) -> Result<String, CallError> {
    let account = {
        let mut book = world.accounts.0.lock();
        Arc::clone(book.entry((who.account, who.is_creator)).or_default())
    };
    // Others with this account wait for its session.
    let mut account = account.lock().await;
    let now_us = world.clock().now_us();
    let kept = account.session.clone();
    let session = match (kept, sign_in) {
        (Some(session), SignIn::Any) if session.renew_us > now_us => session,
        (Some(session), SignIn::Any | SignIn::Refresh) => {
            match refresh(world, client, base, &session, intended_us).await {
                Err(CallError::Status(401)) => {
                    password(world, client, base, who, &mut account, intended_us).await?
                }
                other => other?,
            }
        }
        _ => password(world, client, base, who, &mut account, intended_us).await?,
    };
    let bearer = format!("Bearer {}", session.access_token);
    account.session = Some(session);
    Ok(bearer)
}

async fn password(
    world: &World,
    client: &mut Client,
    base: &Url,
    who: Who,
    account: &mut Account,
    intended_us: u64,
) -> Result<Session, CallError> {
    let settings = &world.scenario.accounts;
    let mut email = settings.email.replace("{n}", &who.account.to_string());
    if who.is_creator {
        email.insert_str(0, "creator-");
    }
    let secret = &settings.password;
    if settings.register && !account.is_registered {
        let role = if who.is_creator { "creator" } else { "viewer" };
        let body =
            json!({"email": email, "password": secret, "display_name": "Load", "role": role});
        let register = Call {
            name: "register",
            method: Method::POST,
            path: "/api/v1/auth/register",
            headers: &[],
            body: Some(&body),
            // It exists since an earlier run.
            expected: &[409],
            intended_us,
        };
        let outcome = ask(world, client, base, &register).await;
        account.is_registered = matches!(outcome, Ok(_) | Err(CallError::Status(409)));
        match outcome {
            Err(CallError::Status(409)) => {}
            other => return Ok(session_of(world, other?)),
        }
    }
    let body = json!({"email": email, "password": secret});
    let login = Call {
        name: "login",
        method: Method::POST,
        path: "/api/v1/auth/login",
        headers: &[],
        body: Some(&body),
        expected: &[],
        intended_us,
    };
    Ok(session_of(world, ask(world, client, base, &login).await?))
}

async fn refresh(
    world: &World,
    client: &mut Client,
    base: &Url,
    session: &Session,
    intended_us: u64,
) -> Result<Session, CallError> {
    let cookie = format!("{REFRESH_COOKIE}={}", session.refresh_token);
    let renewal = Call {
        name: "refresh",
        method: Method::POST,
        path: "/api/v1/auth/refresh",
        headers: &[("cookie", &cookie)],
        body: None,
        expected: &[],
        intended_us,
    };
    Ok(session_of(world, ask(world, client, base, &renewal).await?))
}

fn session_of(world: &World, (answer, tokens): (Answer, TokenResponse)) -> Session {
    let refresh_token = answer
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| value.split(';').next()?.trim().split_once('='))
        .find(|(name, value)| *name == REFRESH_COOKIE && !value.is_empty())
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default();
    let life_us = tokens.expires_in.saturating_mul(800_000);
    Session {
        access_token: tokens.access_token,
        refresh_token,
        renew_us: world.clock().now_us().saturating_add(life_us),
    }
}
