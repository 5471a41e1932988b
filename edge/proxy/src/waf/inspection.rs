//! One request's inspection, from its head to the end of its answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use mcsp_api::ProblemKind;
use mcsp_edge_waf::{Block, Client, Guarded, RequestLine, Verdict};

use super::Firewall;
use crate::answer::Answer;
use crate::stage::Flow;

/// The word for a refusal in `Cache-Status`, logs and metrics.
const DETAIL: &str = "waf";

/// What is inspected of a body, and the bytes that wait for what comes of it.
#[derive(Debug, Default)]
struct Held {
    bytes: BytesMut,
    is_decided: bool,
}

/// A request under inspection.
#[derive(Debug)]
pub(crate) struct Inspection {
    firewall: Arc<Firewall>,
    route: String,
    guarded: Option<Guarded>,
    request: Held,
    response: Held,
    is_blocked: bool,
}

impl Inspection {
    pub(super) fn begin(firewall: &Arc<Firewall>, route: &str, client: Client) -> Self {
        Self {
            firewall: firewall.clone(),
            route: route.to_owned(),
            guarded: Some(firewall.guard.begin(route, client)),
            request: Held::default(),
            response: Held::default(),
            is_blocked: false,
        }
    }

    fn judge(&mut self, step: impl FnOnce(&mut Guarded) -> Verdict) -> Flow {
        let verdict = self.guarded.as_mut().map_or(Verdict::Pass, step);
        match verdict {
            Verdict::Pass => ControlFlow::Continue(()),
            Verdict::Block(block) => {
                self.is_blocked = true;
                ControlFlow::Break(refusal(&block))
            }
        }
    }

    pub(super) fn head<'h>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Flow {
        self.judge(|guarded| guarded.request_head(line, fields))
    }

    /// The request is complete. Once: further calls say nothing.
    pub(crate) fn request_end(&mut self) -> Flow {
        if std::mem::replace(&mut self.request.is_decided, true) {
            return ControlFlow::Continue(());
        }
        self.judge(Guarded::request_body_done)
    }

    /// A piece of the request's body, before anybody else gets it.
    pub(crate) fn request_ahead(&mut self, piece: &[u8]) -> Flow {
        let wants = self
            .guarded
            .as_ref()
            .is_some_and(Guarded::wants_request_body);
        if !wants {
            return ControlFlow::Continue(());
        }
        self.judge(|guarded| guarded.request_body(piece))
    }

    /// A piece of the request's body, which is held back until the rules have seen all of it, or as much as they look at: an
    /// origin gets nothing of a body that is refused.
    pub(crate) fn request_piece(&mut self, piece: &mut Option<Bytes>, is_end: bool) -> Flow {
        if self.request.is_decided {
            return ControlFlow::Continue(());
        }
        let wants = self
            .guarded
            .as_ref()
            .is_some_and(Guarded::wants_request_body);
        let room = self.room(|limits| limits.request_body_bytes_max);
        let bytes = piece.take().unwrap_or_default();
        let is_full = self.request.bytes.len() + bytes.len() > room;
        self.request.bytes.extend_from_slice(&bytes);
        if wants {
            self.judge(|guarded| guarded.request_body(&bytes))?;
        }
        if !is_end && !is_full && wants {
            // Nothing yet, and not the end.
            *piece = Some(Bytes::new());
            return ControlFlow::Continue(());
        }
        self.request_end()?;
        *piece = Some(self.request.bytes.split().freeze());
        ControlFlow::Continue(())
    }

    /// The answer's head.
    pub(crate) fn response_head(&mut self, status: StatusCode, headers: &HeaderMap) -> Flow {
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.judge(|guarded| guarded.response_head(status.as_u16(), b"HTTP/1.1", fields))
    }

    /// A piece of the answer's body, held back as a request's is.
    pub(crate) fn response_piece(&mut self, piece: &mut Option<Bytes>, is_end: bool) -> Flow {
        if self.response.is_decided {
            return ControlFlow::Continue(());
        }
        let wants = self
            .guarded
            .as_ref()
            .is_some_and(Guarded::wants_response_body);
        let room = self.room(|limits| limits.response_body_bytes_max);
        let bytes = piece.take().unwrap_or_default();
        let is_full = self.response.bytes.len() + bytes.len() > room;
        self.response.bytes.extend_from_slice(&bytes);
        if wants {
            self.judge(|guarded| guarded.response_body(&bytes))?;
        }
        if !is_end && !is_full && wants {
            *piece = None;
            return ControlFlow::Continue(());
        }
        self.response.is_decided = true;
        self.judge(Guarded::response_body_done)?;
        *piece = Some(self.response.bytes.split().freeze());
        ControlFlow::Continue(())
    }

    fn room(&self, of: impl FnOnce(&mcsp_edge_waf::Limits) -> usize) -> usize {
        of(&self.firewall.guard.site().config().limits)
    }

    /// The end: counts, and writes the event if there is one. `status` is what the client got; 0 for nothing.
    pub(crate) fn finish(mut self, status: u16) {
        let Some(guarded) = self.guarded.take() else {
            return;
        };
        if !guarded.is_inspected() {
            // Told as a failure, or not inspected on purpose.
            drop(guarded.finish());
            return;
        }
        let event = guarded.finish();
        let outcome = match &event {
            _ if self.is_blocked => "blocked",
            Some(event) if !event.matches.is_empty() => "matched",
            _ => "passed",
        };
        self.firewall.count(&self.route, outcome);
        if let Some(mut event) = event {
            event.status = event.status.or((status > 0).then_some(status));
            self.firewall.audit.write(event);
        }
    }
}

impl Firewall {
    pub(super) fn count(&self, route: &str, outcome: &str) {
        self.metrics
            .requests
            .with_label_values(&[route, outcome])
            .inc();
    }
}

/// What the client is told: nothing about the rule.
fn refusal(block: &Block) -> Answer {
    if let Some(location) = &block.redirect {
        return Answer::redirect(location, DETAIL);
    }
    let kind = match block.status {
        400 => ProblemKind::InvalidRequest,
        413 => ProblemKind::PayloadTooLarge,
        500 => ProblemKind::BadGateway,
        _ => ProblemKind::Forbidden,
    };
    Answer::problem(kind, DETAIL, "the request is not allowed here")
}
