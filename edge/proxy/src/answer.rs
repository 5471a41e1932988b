//! What the edge answers by itself.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW,
};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use mcsp_api::{Problem, ProblemKind};
use mcsp_edge_limits::{Busy, RATE_LIMIT, RATE_LIMIT_POLICY, Turned};
use pingora_error::Result;
use pingora_http::ResponseHeader;

/// An answer without an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) problem: Option<Problem>,
    /// A short word for `Cache-Status`, logs and metrics.
    pub(crate) detail: &'static str,
}

/// Seconds after which an answer of 503 suggests a retry.
const RETRY_AFTER_S: u32 = 2;

impl Answer {
    pub(crate) fn problem(kind: ProblemKind, detail: &'static str, text: &str) -> Self {
        let mut problem = Problem::new(kind).detail(text);
        let mut headers = Vec::new();
        if kind == ProblemKind::Unavailable {
            problem = problem.retry_after_s(RETRY_AFTER_S);
            headers.push((RETRY_AFTER, RETRY_AFTER_S.to_string()));
        }
        Self {
            status: kind.status(),
            headers,
            problem: Some(problem),
            detail,
        }
    }

    /// 401 with the challenge of RFC 6750 section 3; `code` is absent when no token came.
    pub(crate) fn unauthenticated(detail: &'static str, text: &str, is_token_given: bool) -> Self {
        let challenge = if is_token_given {
            "Bearer realm=\"mcsp\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"mcsp\""
        };
        Self::problem(ProblemKind::Unauthenticated, detail, text).with(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let text = format!("allowed here: {allowed}");
        Self::problem(ProblemKind::MethodNotAllowed, "method", &text).with(ALLOW, allowed)
    }

    /// 508: the request has been here before (RFC 8586 section 1.1).
    pub(crate) fn loop_detected() -> Self {
        Self {
            status: StatusCode::LOOP_DETECTED,
            headers: vec![(CACHE_CONTROL, "no-store".to_owned())],
            problem: None,
            detail: "loop",
        }
    }

    /// 408: the request's body comes too slowly (RFC 9110 section 15.5.9).
    pub(crate) fn slow_body() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            headers: vec![(CACHE_CONTROL, "no-store".to_owned())],
            problem: None,
            detail: "slow-body",
        }
    }

    /// 307: the same request, elsewhere.
    pub(crate) fn redirect(location: &str, detail: &'static str) -> Self {
        Self {
            status: StatusCode::TEMPORARY_REDIRECT,
            headers: vec![
                (LOCATION, location.to_owned()),
                (CACHE_CONTROL, "no-store".to_owned()),
            ],
            problem: None,
            detail,
        }
    }

    /// The answer to a CORS preflight (Fetch standard).
    pub(crate) fn preflight(allowed: &str) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: vec![
                (ACCESS_CONTROL_ALLOW_METHODS, allowed.to_owned()),
                (ACCESS_CONTROL_ALLOW_HEADERS, "*".to_owned()),
                (ACCESS_CONTROL_MAX_AGE, "86400".to_owned()),
            ],
            problem: None,
            detail: "preflight",
        }
    }

    /// 429 or 503: more than the client may ask for, or than the node can do now.
    pub(crate) fn turned_away(turned: &Turned) -> Self {
        let kind = if turned.is_clients() {
            ProblemKind::TooManyRequests
        } else {
            ProblemKind::Unavailable
        };
        let text = match turned {
            Turned::Rate(_) => "more requests than are allowed; try again later",
            Turned::Busy(Busy::Address | Busy::Aggregate) => {
                "more requests at once than are allowed"
            }
            Turned::Busy(_) | Turned::Shed { .. } => {
                "too much to do here right now; try again later"
            }
        };
        let mut answer = Self::problem(kind, turned.reason(), text);
        let retry_after_s = turned.retry_after_s();
        answer.problem = answer
            .problem
            .map(|problem| problem.retry_after_s(retry_after_s));
        answer.headers.retain(|(name, _)| name != RETRY_AFTER);
        answer
            .headers
            .push((RETRY_AFTER, retry_after_s.to_string()));
        if let Turned::Rate(refusal) = turned {
            let standing = &refusal.standing;
            answer.headers.push((RATE_LIMIT, standing.rate_limit()));
            answer.headers.push((RATE_LIMIT_POLICY, standing.policy()));
        }
        answer
    }

    /// 429 or 503: rules that are to see the request first have no time for it.
    pub(crate) fn uninspected(is_clients: bool, detail: &'static str) -> Self {
        let kind = if is_clients {
            ProblemKind::TooManyRequests
        } else {
            ProblemKind::Unavailable
        };
        let text = "too much to look at here right now; try again later";
        let mut answer = Self::problem(kind, detail, text);
        answer.problem = answer
            .problem
            .map(|problem| problem.retry_after_s(RETRY_AFTER_S));
        answer.headers.retain(|(name, _)| name != RETRY_AFTER);
        answer.with(RETRY_AFTER, &RETRY_AFTER_S.to_string())
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Head and body as they go to the client; `HEAD` gets no body.
    pub(crate) fn render(
        mut self,
        trace_id: String,
        method: &Method,
    ) -> Result<(ResponseHeader, Bytes)> {
        let mut header = ResponseHeader::build(self.status, Some(12))?;
        for (name, value) in self.headers.drain(..) {
            header.insert_header(name, value)?;
        }
        let body = match self.problem.take() {
            Some(problem) => {
                header.insert_header(CONTENT_TYPE, Problem::MEDIA_TYPE)?;
                header.insert_header(CACHE_CONTROL, "no-store")?;
                problem.trace_id(trace_id).to_json()
            }
            None => Vec::new(),
        };
        if self.status != StatusCode::NO_CONTENT {
            header.insert_header(CONTENT_LENGTH, body.len())?;
        }
        let body = if *method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(body)
        };
        Ok((header, body))
    }
}
