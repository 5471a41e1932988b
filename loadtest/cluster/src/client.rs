//! A person's calls to the platform through one PoP, for the demo, the tests and the soaks.

use std::time::Duration;

use mcsp_api::rest::{Content, ContentStatus, PlayResponse, TokenResponse};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::ClusterError;

/// How often an item's state is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(100);

/// Calls through one PoP, as one person.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    token: Option<String>,
}

impl Client {
    /// Nobody yet, at the PoP with this base URL. Redirects are not followed: a test looks at them.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: &str) -> Result<Self, ClusterError> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|source| ClusterError::Http {
                what: "making an HTTP client".to_owned(),
                source,
            })?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            http,
            token: None,
        })
    }

    /// The same person at another PoP.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// The same person with another bearer token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The PoP's base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request; `path` begins with a slash, or is a whole URL.
    ///
    /// # Errors
    /// When there is no answer; any answer is returned.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, ClusterError> {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.base)
        } else {
            path.to_owned()
        };
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request
            .send()
            .await
            .map_err(|source| ClusterError::Http { what, source })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ClusterError> {
        let what = format!("{method} {path}");
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let text = answer.text().await.map_err(|source| ClusterError::Http {
            what: what.clone(),
            source,
        })?;
        if !status.is_success() {
            return Err(ClusterError::Answer {
                what,
                status: status.as_u16(),
                body: text.chars().take(2000).collect(),
            });
        }
        serde_json::from_str(&text)
            .map_err(|error| ClusterError::Broken(format!("{what}: {error}: {text}")))
    }

    /// Registers an account and signs in with it.
    ///
    /// # Errors
    /// When the service does not.
    pub async fn register(
        mut self,
        email: &str,
        password: &str,
        role: &str,
    ) -> Result<Self, ClusterError> {
        let name = email.split('@').next().unwrap_or(email);
        let body =
            json!({"email": email, "password": password, "display_name": name, "role": role});
        let tokens: TokenResponse = self
            .ask(Method::POST, "/api/v1/auth/register", Some(&body))
            .await?;
        self.token = Some(tokens.access_token);
        Ok(self)
    }

    /// Signs in.
    ///
    /// # Errors
    /// When the service does not.
    pub async fn login(mut self, email: &str, password: &str) -> Result<Self, ClusterError> {
        let body = json!({"email": email, "password": password});
        let tokens: TokenResponse = self
            .ask(Method::POST, "/api/v1/auth/login", Some(&body))
            .await?;
        self.token = Some(tokens.access_token);
        Ok(self)
    }

    /// An item's record.
    ///
    /// # Errors
    /// When there is no answer or another than 200.
    pub async fn content(&self, content_id: &str) -> Result<Content, ClusterError> {
        self.ask(Method::GET, &format!("/api/v1/content/{content_id}"), None)
            .await
    }

    /// Opens a media session.
    ///
    /// # Errors
    /// When there is no answer or another than 200.
    pub async fn play(&self, content_id: &str) -> Result<PlayResponse, ClusterError> {
        self.ask(Method::GET, &format!("/api/v1/play/{content_id}"), None)
            .await
    }

    /// The bytes under a URL.
    ///
    /// # Errors
    /// When there is no answer, another than 200, or not all of it.
    pub async fn bytes(&self, url: &str) -> Result<Vec<u8>, ClusterError> {
        let what = format!("GET {url}");
        let answer = self.http.get(url).send().await;
        let answer = answer.map_err(|source| ClusterError::Http {
            what: what.clone(),
            source,
        })?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|source| ClusterError::Http {
            what: what.clone(),
            source,
        })?;
        if status == StatusCode::OK {
            return Ok(bytes.to_vec());
        }
        Err(ClusterError::Answer {
            what,
            status: status.as_u16(),
            body: String::from_utf8_lossy(&bytes).chars().take(500).collect(),
        })
    }

    /// Looks at an item until `done` says so. Answers that are errors are looked past: a process may just be starting.
    ///
    /// # Errors
    /// With the last thing seen, when `limit` passes.
    pub async fn wait_content(
        &self,
        content_id: &str,
        limit: Duration,
        what: &str,
        done: impl Fn(&Content) -> bool,
    ) -> Result<Content, ClusterError> {
        let until = Instant::now() + limit;
        loop {
            let seen = self.content(content_id).await;
            match seen {
                Ok(content) if done(&content) => return Ok(content),
                seen if Instant::now() >= until => {
                    return Err(ClusterError::Broken(format!(
                        "{content_id} is not {what} after {} s; last seen: {seen:?}",
                        limit.as_secs()
                    )));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Waits until an item can be played.
    ///
    /// # Errors
    /// When it cannot within `limit`.
    pub async fn wait_published(
        &self,
        content_id: &str,
        limit: Duration,
    ) -> Result<Content, ClusterError> {
        self.wait_content(content_id, limit, "published", |content| {
            content.status == ContentStatus::Published
        })
        .await
    }
}
