//! `waf`, where pingora carries the request: its body before an origin is asked, or as it passes, and the answer.

use std::ops::ControlFlow;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora_error::Result;
use pingora_proxy::Session;

use super::{EdgeProxy, of_client, refused};
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::stage::Flow;
use crate::waf::Inspection;

/// Most bytes that pingora keeps of a body that was read before its origin is asked.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

impl EdgeProxy {
    /// Reads and judges a short body before anybody else hears of the request. A longer one, and one of unknown length, is judged
    /// as it passes: its origin gets the head, and the body once it is judged.
    pub(super) async fn inspect_ahead(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Flow> {
        let Some(inspection) = &mut context.inspection else {
            return Ok(ControlFlow::Continue(()));
        };
        if session.as_downstream_mut().is_body_empty() {
            return Ok(inspection.request_end());
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
            return Ok(inspection.request_end());
        }
        if !is_short(&session.req_header().headers) {
            return Ok(ControlFlow::Continue(()));
        }
        let timeout_ms = self.edge.config.limits.client_read_timeout_ms;
        let reading = read(session, inspection);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), reading).await {
            Ok(read) => read,
            Err(_) => Ok(ControlFlow::Break(Answer::slow_body())),
        }
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
    Ok(inspection.request_end())
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
        Some(answer) => refused(context, answer, "the firewall refuses it"),
    }
}
