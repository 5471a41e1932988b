//! `waf`, where pingora carries the request: its body before an origin is asked, or as it passes, and the answer.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT, UPGRADE};
use pingora_error::Result;
use pingora_proxy::Session;

use super::{EdgeProxy, of_client, refused};
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::stage::Flow;
use crate::waf::{self, Inspection};

/// Most bytes that pingora keeps of a body that was read before its origin is asked.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;
/// Why a request ends, for whoever reads the log.
const REFUSES: &str = "the firewall refuses it";

impl EdgeProxy {
    /// Reads and judges a short body before anybody else hears of the request. A longer one, and one of unknown length, is judged
    /// as it passes: its origin gets the head, once that is judged by itself, and the body once it is.
    pub(super) async fn inspect_ahead(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Flow> {
        let Some(inspection) = &mut context.inspection else {
            return Ok(ControlFlow::Continue(()));
        };
        if session.as_downstream_mut().is_body_empty() {
            return ended(session, inspection).await;
        }
        if session.is_body_done() {
            // Somebody had to read it.
            let Some(body) = session.as_downstream().get_retry_buffer() else {
                return Ok(ControlFlow::Continue(()));
            };
            let judged = inspection.request_ahead(&body);
            if judged.is_break() {
                return Ok(judged);
            }
            return ended(session, inspection).await;
        }
        if !is_short(&session.req_header().headers) {
            return Ok(waf::foresee(&self.edge, session.req_header(), context).await);
        }
        let timeout_ms = self.edge.config.limits.client_read_timeout_ms;
        let reading = read(session, inspection);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), reading).await {
            Ok(read) => {
                let judged = read?;
                if judged.is_break() {
                    return Ok(judged);
                }
                ended(session, inspection).await
            }
            Err(_) => Ok(ControlFlow::Break(Answer::slow_body())),
        }
    }

    /// A piece of a body that was not read ahead, on its way to the origin.
    pub(super) async fn inspect_piece(
        session: &mut Session,
        context: &mut RequestContext,
        piece: &mut Option<Bytes>,
        is_end: bool,
    ) -> Result<()> {
        let Some(inspection) = &mut context.inspection else {
            return Ok(());
        };
        let judged = match inspection.hold_request(piece, is_end) {
            ControlFlow::Continue(false) => return Ok(()),
            ControlFlow::Continue(true) => ended(session, inspection).await?,
            ControlFlow::Break(answer) => ControlFlow::Break(answer),
        };
        match judged {
            ControlFlow::Continue(()) => {
                *piece = Some(inspection.release_request());
                Ok(())
            }
            ControlFlow::Break(answer) => refused(context, answer, REFUSES),
        }
    }
}

/// The rules see the request as a whole. Where that takes long it ends when the client goes, as far as there is a way to know.
async fn ended(session: &mut Session, inspection: &mut Inspection) -> Result<Flow> {
    if !inspection.is_request_long() {
        return Ok(inspection.request_end_here());
    }
    let is_empty = session.as_downstream_mut().is_body_empty();
    // What follows a request for another protocol, or is left of a body, is not for us to read.
    let is_read =
        (is_empty || session.is_body_done()) && !session.req_header().headers.contains_key(UPGRADE);
    if !is_read {
        return Ok(inspection.request_end().await);
    }
    let client = session.as_downstream_mut();
    let gone = async {
        match of_client(client.read_body_or_idle(true).await) {
            Err(error) => error,
            Ok(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        judged = inspection.request_end() => Ok(judged),
        error = gone => Err(error),
    }
}

async fn read(session: &mut Session, inspection: &mut Inspection) -> Result<Flow> {
    let is_asked_for = session.req_header().headers.contains_key(EXPECT);
    let client = session.as_downstream_mut();
    client.enable_retry_buffering();
    if is_asked_for {
        of_client(client.write_continue_response().await)?;
    }
    while let Some(piece) = of_client(client.read_request_body().await)? {
        let judged = inspection.request_ahead(&piece);
        if judged.is_break() {
            return Ok(judged);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn is_short(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= READ_AHEAD_BYTES_MAX)
}

/// A step of the inspection; a refusal ends the request with an error, and its answer is kept for the client.
pub(super) fn inspected(
    context: &mut RequestContext,
    step: impl FnOnce(&mut Inspection) -> Flow,
) -> Result<()> {
    let Some(inspection) = &mut context.inspection else {
        return Ok(());
    };
    match step(inspection).break_value() {
        None => Ok(()),
        Some(answer) => refused(context, answer, REFUSES),
    }
}
