//! Calls of the REST API, with the session's token.

use std::path::Path;
use std::time::Duration;

use mcsp_api::Problem;
use mcsp_api::headers::IDEMPOTENCY_KEY;
use mcsp_api::rest::{REFRESH_COOKIE, TokenResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, RETRY_AFTER, SET_COOKIE};
use reqwest::{Certificate, Client, ClientBuilder, Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::error::CliError;
use crate::tokens::{TokenStore, Tokens};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    idempotency_key: Option<String>,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            idempotency_key: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// With a JSON body.
    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, CliError> {
        let body =
            serde_json::to_value(body).map_err(|error| CliError::Answer(error.to_string()))?;
        self.body = Some(body);
        Ok(self)
    }

    /// With a key that makes its retry harmless.
    pub(crate) fn idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(key.to_owned());
        self
    }
}

/// The server's REST API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Client,
    server: Url,
    tokens: TokenStore,
}

/// What every client of ours has: the trust that was asked for, no redirects (a token must not travel on).
pub(crate) fn client_builder(ca_file: Option<&Path>) -> Result<ClientBuilder, CliError> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("mcsp/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| CliError::Usage(format!("--ca-file {}: {error}", path.display())))?;
        let bad = |why: String| CliError::Usage(format!("--ca-file {}: {why}", path.display()));
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
        if certificates.is_empty() {
            return Err(bad("expected at least one PEM certificate".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    }
    Ok(builder)
}

/// Turns the parts of a builder into a client.
pub(crate) fn build(builder: ClientBuilder) -> Result<Client, CliError> {
    builder
        .build()
        .map_err(|error| CliError::Usage(format!("TLS: {}", chain(&error))))
}

impl Api {
    pub(crate) fn new(
        server: Url,
        ca_file: Option<&Path>,
        tokens: TokenStore,
    ) -> Result<Self, CliError> {
        let http = build(client_builder(ca_file)?.timeout(CALL_TIMEOUT))?;
        Ok(Self {
            http,
            server,
            tokens,
        })
    }

    pub(crate) fn server(&self) -> &Url {
        &self.server
    }

    pub(crate) fn tokens(&self) -> &TokenStore {
        &self.tokens
    }

    /// A call that gives tokens: register, login. The session is kept.
    pub(crate) async fn sign_in(&self, call: &Call) -> Result<TokenResponse, CliError> {
        let response = self.send(call, HeaderMap::new()).await?;
        self.keep_tokens(response).await
    }

    /// A call of somebody who is signed in. A token that has ended is renewed, once.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CliError> {
        json(self.authorised(call).await?).await
    }

    /// [`Self::call`] for an answer without a body.
    pub(crate) async fn call_empty(&self, call: &Call) -> Result<(), CliError> {
        self.authorised(call).await.map(drop)
    }

    async fn authorised(&self, call: &Call) -> Result<Response, CliError> {
        let mut tokens = self.tokens.load(&self.server)?;
        if !self.tokens.is_fresh(&tokens) {
            tokens = self.renew(&tokens).await?;
        }
        match self.send(call, bearer(&tokens)?).await {
            Err(CliError::Problem(problem)) if problem.status == 401 => {
                let tokens = self.renew(&tokens).await?;
                self.send(call, bearer(&tokens)?).await
            }
            other => other,
        }
    }

    /// Renews the session, unless another command has just done so.
    async fn renew(&self, spent: &Tokens) -> Result<Tokens, CliError> {
        let _alone = self.tokens.lock().await?;
        let current = self.tokens.load(&self.server)?;
        if current.access_token != spent.access_token && self.tokens.is_fresh(&current) {
            return Ok(current);
        }
        let cookie = format!("{REFRESH_COOKIE}={}", current.refresh_token);
        let mut headers = HeaderMap::new();
        let value = cookie
            .parse()
            .map_err(|_| CliError::NotSignedIn(self.server.to_string()))?;
        headers.insert(COOKIE, value);
        match self
            .send(&Call::post("/api/v1/auth/refresh"), headers)
            .await
        {
            Ok(response) => {
                self.keep_tokens(response).await?;
                self.tokens.load(&self.server)
            }
            Err(CliError::Problem(problem)) if problem.status == 401 => {
                self.tokens.remove()?;
                Err(CliError::NotSignedIn(self.server.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn keep_tokens(&self, response: Response) -> Result<TokenResponse, CliError> {
        let refresh_token = refresh_cookie(response.headers())
            .ok_or_else(|| CliError::Answer("it has no refresh cookie".to_owned()))?;
        let answer: TokenResponse = json(response).await?;
        self.tokens.save(&Tokens {
            server: self.server.clone(),
            access_token: answer.access_token.clone(),
            expires_s: self.tokens.expiry_s(answer.expires_in),
            refresh_token,
        })?;
        Ok(answer)
    }

    async fn send(&self, call: &Call, headers: HeaderMap) -> Result<Response, CliError> {
        let url = self
            .server
            .join(&call.path)
            .map_err(|error| CliError::Usage(format!("{}: {error}", call.path)))?;
        let mut request = self.http.request(call.method.clone(), url).headers(headers);
        if let Some(key) = &call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| unreachable_error(&self.server, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(problem_of(response).await)
    }
}

fn bearer(tokens: &Tokens) -> Result<HeaderMap, CliError> {
    let value = format!("Bearer {}", tokens.access_token)
        .parse()
        .map_err(|_| CliError::NotSignedIn(tokens.server.to_string()))?;
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, CliError> {
    let bytes = response
        .bytes()
        .await
        .map_err(|error| CliError::Unreachable(chain(&error)))?;
    serde_json::from_slice(&bytes).map_err(|error| CliError::Answer(error.to_string()))
}

/// The problem that an answer carries, or one made of its status.
pub(crate) async fn problem_of(response: Response) -> CliError {
    let status = response.status();
    let retry_after_s = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(Problem::MEDIA_TYPE.as_bytes()));
    let bytes = if is_problem {
        response.bytes().await.unwrap_or_default()
    } else {
        Default::default()
    };
    let mut problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| bare_problem(status));
    problem.retry_after_s = problem.retry_after_s.or(retry_after_s);
    CliError::Problem(Box::new(problem))
}

fn bare_problem(status: StatusCode) -> Problem {
    Problem {
        type_uri: "about:blank".to_owned(),
        title: format!("The server answered {status}"),
        status: status.as_u16(),
        detail: None,
        pointer: None,
        trace_id: None,
        retry_after_s: None,
    }
}

/// The value of the refresh cookie that an answer sets (RFC 6265 section 5.2).
fn refresh_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| value.split(';').next()?.trim().split_once('='))
        .find_map(|(name, value)| {
            (name == REFRESH_COOKIE && !value.is_empty()).then(|| value.to_owned())
        })
}

pub(crate) fn unreachable_error(server: &Url, error: &reqwest::Error) -> CliError {
    let host = server.host_str().unwrap_or_default();
    CliError::Unreachable(format!("{host} cannot be reached: {}", chain(error)))
}

/// An error with its causes, without the URL: that of a part is a signature.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    match causes.last() {
        Some(cause) => cause.clone(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None => "the connection failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresh_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, "theme=dark; Path=/".parse().expect("a value"));
        let ours = "mcsp_refresh=abc.def; Path=/api/v1/auth; HttpOnly; Secure; SameSite=Strict";
        headers.append(SET_COOKIE, ours.parse().expect("a value"));
        assert_eq!(refresh_cookie(&headers).as_deref(), Some("abc.def"));
        let taken_away = HeaderMap::from_iter([(
            SET_COOKIE,
            "mcsp_refresh=; Max-Age=0".parse().expect("a value"),
        )]);
        assert_eq!(refresh_cookie(&taken_away), None);
    }
}
