//! The stages in pingora's terms, for what is routed and never kept: API calls, uploads, and all methods but `GET` and
//! `HEAD`.

mod answering;
mod forwarding;
mod inspecting;
mod keeping;
mod login;
mod tunnel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use mcsp_edge_limits::Class;
use mcsp_telemetry::TraceContext;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

pub(crate) use login::LOGIN_BYTES_MAX;

use self::inspecting::inspected;
use crate::access_log;
use crate::answer::Answer;
use crate::config::LimitsConfig;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::response::decorate;
use crate::stage;
use crate::visitor::{self, Visitor};

/// The edge as a pingora proxy.
#[derive(Debug, Clone)]
pub struct EdgeProxy {
    edge: Arc<Edge>,
}

impl EdgeProxy {
    /// A proxy over the node's shared state.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        let edge = &self.edge;
        let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
        let mut context = RequestContext::new(trace, Instant::now());
        context.visitor = Visitor::current();
        context.sent_line = visitor::sent_line();
        context
    }

    /// `client` to `region`.
    async fn request_filter(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<bool> {
        let limits = &self.edge.config.limits;
        session.set_read_timeout(Some(Duration::from_millis(limits.client_read_timeout_ms)));
        session.set_write_timeout(Some(Duration::from_millis(limits.client_write_timeout_ms)));
        context.peer = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .copied();
        context.is_tls = session
            .digest()
            .is_some_and(|digest| digest.ssl_digest.is_some());
        // HTTP/1.0 has none (RFC 9110 section 15.2).
        let is_old = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(is_old);
        // HTTP/1.1 has fields that say so.
        let is_framed = session.req_header().version == Version::HTTP_2;
        context.has_body = is_framed && !session.as_downstream_mut().is_body_empty();
        let mut flow = stage::run_all(&self.edge, session.req_header(), context);
        if let (Some(token), Some(token_keys)) = (
            stage::awaiting(session.req_header(), context),
            &self.edge.token_keys,
        ) {
            let verdict = token_keys.verify(&token).await;
            flow = stage::resume(&self.edge, session.req_header(), context, verdict);
        }
        if flow.is_continue() && context.class == Some(Class::Login) {
            flow = self.count_login(session, context).await?;
            flow = stage::told("limits", &self.edge, context, flow);
        }
        if flow.is_continue() {
            flow = self.inspect_ahead(session, context).await?;
            flow = stage::told("waf", &self.edge, context, flow);
        }
        // What goes on to an origin is made of this head.
        stage::strip(session.req_header_mut());
        if let Some(route) = context.route.as_deref() {
            stage::strip_untold(route, session.req_header_mut());
        }
        match flow.break_value() {
            None => {
                keeping::note_time(&self.edge, context);
                Ok(false)
            }
            Some(answer) => {
                self.answer(session, context, answer).await?;
                Ok(true)
            }
        }
    }

    /// `upstream`.
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        self.pick_peer(context)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if let Some(inspection) = &mut context.inspection {
            inspection.begin_request_again();
        }
        self.prepare_request(session, request, context)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<()> {
        let bytes = body.as_ref().map_or(0, Bytes::len) as u64;
        context.body_bytes += bytes;
        self.edge.metrics.calls.sent(bytes);
        if context.body_bytes > context.body_bytes_max {
            return Error::e_explain(
                ErrorType::HTTPStatus(413),
                "the body is larger than is allowed",
            );
        }
        if is_too_slow(&self.edge.config.limits, context) {
            return refused(context, Answer::slow_body(), "the body comes too slowly");
        }
        Self::inspect_piece(session, context, body, end_of_stream).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        self.judge_upstream(session, response, context)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut RequestContext,
        error: Box<Error>,
    ) -> Box<Error> {
        self.retry_elsewhere(context, error, true)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut RequestContext,
        is_reused: bool,
    ) -> Box<Error> {
        self.judge_failure(peer, session, error, context, is_reused)
    }

    /// `response`.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if keeping::see_head(&self.edge, session.req_header().as_ref(), response, context) {
            keeping::make_durable(&self.edge).await;
        }
        Self::forget_hop(response);
        tunnel::judge(response, context)?;
        if !response.status.is_informational() {
            inspected(context, |inspection| {
                inspection.response_head(response.status, &response.headers)
            })?;
        }
        decorate(&self.edge, context, response)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        let bytes = body.as_ref().map_or(0, Bytes::len) as u64;
        self.edge.metrics.calls.received(bytes);
        keeping::see_body(context, body.as_ref(), end_of_stream);
        inspected(context, |inspection| {
            inspection.response_piece_here(body, end_of_stream)
        })?;
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut RequestContext,
    ) -> FailToProxy {
        let error_code = self.answer_failure(session, error, context).await;
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    /// `log`.
    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        context: &mut RequestContext,
    ) {
        access_log::write_session(&self.edge, session, context, error);
        if let Some(inspection) = context.inspection.take() {
            let written = session.response_written();
            inspection.finish(written.map_or(0, |response| response.status.as_u16()));
        }
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _context: &RequestContext,
        _error: &Error,
    ) -> bool {
        // The access log has it.
        true
    }

    fn request_summary(&self, session: &Session, context: &RequestContext) -> String {
        let request = session.req_header();
        let path = mcsp_telemetry::redact_path(request.uri.path());
        format!(
            "{} {path}, trace {}",
            request.method,
            context.trace.trace_id_hex()
        )
    }
}

/// Ends the request with an error, and keeps the answer for the client.
fn refused(context: &mut RequestContext, answer: Answer, why: &'static str) -> Result<()> {
    let status = answer.status.as_u16();
    context.refusal = Some(answer);
    Error::e_explain(ErrorType::HTTPStatus(status), why)
}

/// Has the body's sender had the time between two reads, and since then sent less than it must?
/// What reading a body ahead came to. Whose fault a failure is, only pingora's own loop would add: without, a client that is
/// slow would look like a fault of the node.
fn of_client<T>(read: Result<T>) -> Result<T> {
    read.map_err(Error::into_down)
}

fn is_too_slow(limits: &LimitsConfig, context: &RequestContext) -> bool {
    let grace = Duration::from_millis(limits.client_read_timeout_ms);
    let beyond = context.started.elapsed().saturating_sub(grace);
    let least = u64::from(limits.client_body_bytes_s_min).saturating_mul(beyond.as_secs());
    context.body_bytes < least
}
