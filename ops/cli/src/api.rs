//! The REST API over HTTP: requests, problems as errors, the refresh cookie.

use std::path::Path;
use std::time::Duration;

use mcsp_api::rest::REFRESH_COOKIE;
use mcsp_api::{Problem, ProblemKind};
use reqwest::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use reqwest::{Certificate, Client, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::CliError;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an API call may take; uploads of parts have their own limit.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// An HTTP client bound to one PoP.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) http: Client,
    server: Url,
}

/// What a call may carry.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) access_token: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// An answer, and the refresh token that came with it.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) body: T,
    pub(crate) refresh_token: Option<String>,
}

impl Api {
    pub(crate) fn new(server: Url, ca_file: Option<&Path>) -> Result<Self, CliError> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("mcsp/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).map_err(|source| CliError::File {
                path: path.to_owned(),
                source,
            })?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| {
                CliError::Usage(format!("{}: no PEM certificates: {error}", path.display()))
            })?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder
            .build()
            .map_err(|error| CliError::Usage(format!("no HTTP client: {error}")))?;
        Ok(Self { http, server })
    }

    pub(crate) fn server(&self) -> &Url {
        &self.server
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        CliError::Unreachable {
            server: self.server.to_string(),
            reason,
        }
    }

    /// Sends a call and reads its JSON answer.
    pub(crate) async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        credentials: Credentials<'_>,
    ) -> Result<Answer<T>, CliError> {
        let what = format!("{method} {path}");
        let bad_answer = |reason: String| CliError::BadAnswer {
            what: what.clone(),
            reason,
        };
        let url = self
            .server
            .join(&format!("/api/v1{path}"))
            .map_err(|error| bad_answer(error.to_string()))?;
        let mut request = self.http.request(method, url).timeout(CALL_TIMEOUT);
        if let Some(token) = credentials.access_token {
            request = request.bearer_auth(token);
        }
        if let Some(token) = credentials.refresh_token {
            request = request.header(COOKIE, format!("{REFRESH_COOKIE}={token}"));
        }
        if let Some(key) = credentials.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let refresh_token = refresh_token_of(&answer);
        let status = answer.status();
        let retry_after_s = retry_after_s(&answer);
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(CliError::Refused(Box::new(problem_of(
                status.as_u16(),
                &bytes,
                retry_after_s,
            ))));
        }
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let body = serde_json::from_slice(text).map_err(|error| bad_answer(error.to_string()))?;
        Ok(Answer {
            body,
            refresh_token,
        })
    }
}

fn retry_after_s(answer: &Response) -> Option<u32> {
    answer
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn refresh_token_of(answer: &Response) -> Option<String> {
    let wanted = |cookie: &str| {
        let (name, rest) = cookie.split_once('=')?;
        let value = rest.split(';').next().unwrap_or(rest).trim();
        (name.trim() == REFRESH_COOKIE).then(|| value.to_owned())
    };
    let cookies = answer.headers().get_all(SET_COOKIE);
    cookies
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .find_map(wanted)
}

/// The problem document in an error's body, or one of our own making for a body that is none.
pub(crate) fn problem_of(status: u16, body: &[u8], retry_after_s: Option<u32>) -> Problem {
    let mut problem = serde_json::from_slice(body).unwrap_or_else(|_| {
        let mut problem = Problem::new(ProblemKind::BadGateway);
        problem.detail = Some(format!("the server answered {status} without saying why"));
        problem
    });
    problem.status = status;
    problem.retry_after_s = problem.retry_after_s.or(retry_after_s);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_problem_document_still_becomes_one() {
        let problem = problem_of(502, b"<html>oops", Some(3));
        assert_eq!((problem.status, problem.retry_after_s), (502, Some(3)));
        let document = Problem::new(ProblemKind::Conflict)
            .detail("it is taken")
            .to_json();
        assert_eq!(
            problem_of(409, &document, None).detail.as_deref(),
            Some("it is taken")
        );
    }
}
