//! Answers of the edge itself, on their way out.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use mcsp_api::ProblemKind;
use mcsp_edge_h1::Refusal;
use mcsp_edge_policy::cache_status::CacheStatus;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::EdgeProxy;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::response::decorate;

/// How much of a refused request's body is read and thrown away, so that the client reads our answer and not a reset.
const DRAIN_BYTES_MAX: usize = 256 << 10;
const DRAIN_MS_MAX: u64 = 500;

impl EdgeProxy {
    /// Sends an answer, decorated as every other.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
        answer: Answer,
    ) -> Result<()> {
        if context.is_media() {
            let status = CacheStatus {
                cache: &self.edge.name,
                detail: Some(answer.detail),
                ..CacheStatus::default()
            };
            context.cache_status = Some(status.to_string());
        }
        let method = session.req_header().method.clone();
        let (mut header, body) = answer.render(context.trace.trace_id_hex(), &method)?;
        decorate(&self.edge, context, &mut header)?;
        let has_body = has_body(session);
        if has_body || context.ends_connection {
            session.set_keepalive(None);
        }
        let end = body.is_empty();
        session.write_response_header(Box::new(header), end).await?;
        if !end {
            session.write_response_body(Some(body), true).await?;
        }
        if has_body && !session.req_header().headers.contains_key(EXPECT) {
            drain(session).await;
        }
        Ok(())
    }

    /// Tells the client of a failure, if nothing was said yet; returns the status, 0 for none.
    pub(super) async fn answer_failure(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut RequestContext,
    ) -> u16 {
        if let Some(refusal) = misframed(error) {
            let counter = &self.edge.metrics.bodies_refused;
            counter.with_label_values(&[refusal.label()]).inc();
        }
        if let Some(written) = session.response_written() {
            return written.status.as_u16();
        }
        let refusal = context.refusal.take();
        let answer = refusal.or_else(|| answer_to(error, &session.req_header().method));
        let Some(answer) = answer else {
            return 0;
        };
        let status = answer.status.as_u16();
        context.detail = Some(answer.detail);
        // The connection ends with this answer; the client is told, so that it does not use it again.
        session.set_keepalive(None);
        self.edge
            .metrics
            .answers
            .with_label_values(&["upstream", answer.detail])
            .inc();
        match self.answer(session, context, answer).await {
            Ok(()) => {
                // Pingora would drop the connection after a failure as if this answer were cut; that it is whole keeps it open
                // until the client has read it.
                session.as_downstream_mut().shutdown().await;
                status
            }
            // The client is gone; the access log says so.
            Err(_) => 0,
        }
    }
}

/// What a client is told of a failure: nothing when it is the client that is gone.
fn answer_to(error: &Error, method: &Method) -> Option<Answer> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, WriteError,
        WriteTimedout,
    };
    let problem = |kind, detail, text| Some(Answer::problem(kind, detail, text));
    match (error.etype(), error.esource()) {
        (HTTPStatus(413), _) => problem(
            ProblemKind::PayloadTooLarge,
            "body-too-large",
            "the body is larger than is allowed here",
        ),
        (HTTPStatus(503), _) => problem(
            ProblemKind::Unavailable,
            "no-origin",
            "the origin cannot be reached; try again",
        ),
        (ReadError, ErrorSource::Downstream) if is_malformed(error) => problem(
            ProblemKind::InvalidRequest,
            "bad-request",
            "the request's body cannot be read",
        ),
        (ReadError | WriteError | ConnectionClosed, ErrorSource::Downstream) => None,
        // It may still listen (RFC 9110 section 15.5.9).
        (ReadTimedout, ErrorSource::Downstream) => Some(Answer::slow_body()),
        (WriteTimedout, ErrorSource::Downstream) => None,
        (_, ErrorSource::Downstream) => problem(
            ProblemKind::InvalidRequest,
            "bad-request",
            "the request cannot be read",
        ),
        (ReadTimedout | WriteTimedout, ErrorSource::Upstream) => problem(
            ProblemKind::Timeout,
            "origin-timeout",
            if method.is_safe() {
                "the origin did not answer in time"
            } else {
                "the origin did not answer in time; whether it acted is not known"
            },
        ),
        (ConnectTimedout, _) => unreachable_origin(),
        (etype, ErrorSource::Upstream) if is_connect_failure(etype) => unreachable_origin(),
        (_, ErrorSource::Upstream) => problem(
            ProblemKind::BadGateway,
            "bad-origin",
            "the origin gave no usable answer",
        ),
        (_, ErrorSource::Internal | ErrorSource::Unset) => problem(
            ProblemKind::Internal,
            "internal",
            "something went wrong here",
        ),
    }
}

/// Is the body not framed as it should be (RFC 9112 section 7.1)? Our connection loop then gives no more of it.
fn is_malformed(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

/// How its framing is wrong.
fn misframed(error: &Error) -> Option<&Refusal> {
    let cause = error.root_cause().downcast_ref::<io::Error>()?;
    cause.get_ref()?.downcast_ref()
}

fn unreachable_origin() -> Option<Answer> {
    let text = "the origin cannot be reached; try again";
    Some(Answer::problem(ProblemKind::Unavailable, "no-origin", text))
}

/// Did the request never reach an origin?
pub(super) fn is_connect_failure(etype: &ErrorType) -> bool {
    use ErrorType::{
        BindError, ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, InvalidCert,
        SocketError, TLSHandshakeFailure, TLSHandshakeTimedout,
    };
    matches!(
        etype,
        ConnectTimedout
            | ConnectRefused
            | ConnectNoRoute
            | ConnectError
            | BindError
            | SocketError
            | TLSHandshakeFailure
            | TLSHandshakeTimedout
            | InvalidCert
    )
}

fn has_body(session: &mut Session) -> bool {
    let headers = &session.req_header().headers;
    let said = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    said && !session.is_body_done()
}

async fn drain(session: &mut Session) {
    let read = async {
        let mut bytes = 0;
        while bytes < DRAIN_BYTES_MAX {
            match session.read_request_body().await {
                Ok(Some(piece)) => bytes += Bytes::len(&piece),
                // Its end, or the client's: either way there is no more.
                Ok(None) | Err(_) => return,
            }
        }
    };
    // Running out of time only means that the connection closes with bytes unread.
    let _ = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_become_problems_and_lost_clients_nothing() {
        let made = |etype, source: ErrorSource| {
            let error = Error::create(etype, source, None, None);
            answer_to(&error, &Method::GET).map(|answer| (answer.status.as_u16(), answer.detail))
        };
        use ErrorSource::{Downstream, Internal, Upstream};
        let cases = [
            (
                ErrorType::ConnectRefused,
                Upstream,
                Some((503, "no-origin")),
            ),
            (
                ErrorType::ConnectTimedout,
                Upstream,
                Some((503, "no-origin")),
            ),
            (
                ErrorType::TLSHandshakeFailure,
                Upstream,
                Some((503, "no-origin")),
            ),
            (
                ErrorType::ReadTimedout,
                Upstream,
                Some((504, "origin-timeout")),
            ),
            (
                ErrorType::ConnectionClosed,
                Upstream,
                Some((502, "bad-origin")),
            ),
            (
                ErrorType::InvalidHTTPHeader,
                Upstream,
                Some((502, "bad-origin")),
            ),
            (
                ErrorType::HTTPStatus(413),
                Internal,
                Some((413, "body-too-large")),
            ),
            (
                ErrorType::InvalidHTTPHeader,
                Downstream,
                Some((400, "bad-request")),
            ),
            (ErrorType::ConnectionClosed, Downstream, None),
            (
                ErrorType::ReadTimedout,
                Downstream,
                Some((408, "slow-body")),
            ),
            (ErrorType::WriteTimedout, Downstream, None),
            (ErrorType::InternalError, Internal, Some((500, "internal"))),
        ];
        for (etype, source, wanted) in cases {
            let name = etype.as_str().to_owned();
            assert_eq!(made(etype, source), wanted, "{name}");
        }
    }
}
