//! One request's inspection, from its head to the end of its answer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use mcsp_api::ProblemKind;
use mcsp_edge_waf::{Block, Client, Guarded, Overload, RequestLine, TurnedAway, Verdict};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::Firewall;
use super::beside::{Step, Turn};
use crate::answer::Answer;
use crate::stage::Flow;

/// The word for a refusal in `Cache-Status`, logs and metrics.
const DETAIL: &str = "waf";
/// And for one because nobody had time to look.
const BUSY: &str = "waf-busy";

/// How often an answer whose client has too much beside the workers looks whether that is still so.
const SHARE_POLL: Duration = Duration::from_millis(10);

/// What is inspected of a body, and the bytes that wait for what comes of it.
#[derive(Debug, Default)]
struct Held {
    bytes: BytesMut,
    /// Of what comes next, that much is here already.
    known: usize,
    is_decided: bool,
}

/// A request under inspection.
#[derive(Debug)]
pub(crate) struct Inspection {
    firewall: Arc<Firewall>,
    route: Arc<str>,
    /// Absent while threads beside the workers have it.
    guarded: Option<Guarded>,
    request: Held,
    response: Held,
    /// What the request came to, if rules refused it or nobody had time for it.
    outcome: Option<&'static str>,
}

impl Inspection {
    pub(super) fn begin(firewall: &Arc<Firewall>, route: &str, client: Client) -> Self {
        Self {
            firewall: firewall.clone(),
            route: Arc::from(route),
            guarded: Some(firewall.guard.begin(route, client)),
            request: Held::default(),
            response: Held::default(),
            outcome: None,
        }
    }

    fn judge(&mut self, step: impl FnOnce(&mut Guarded) -> Verdict) -> Flow {
        let verdict = self.guarded.as_mut().map_or(Verdict::Pass, step);
        self.decide(verdict)
    }

    fn decide(&mut self, verdict: Verdict) -> Flow {
        match verdict {
            Verdict::Pass => ControlFlow::Continue(()),
            Verdict::Block(block) => {
                self.outcome = Some("blocked");
                ControlFlow::Break(refusal(&block))
            }
        }
    }

    /// Whether a step is nothing for a worker.
    fn is_long(&self, step: Step) -> bool {
        let guarded = self.guarded.as_ref();
        self.firewall.beside.is_some() && guarded.is_some_and(|guarded| step.is_long(guarded))
    }

    pub(super) fn head<'h>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Flow {
        self.judge(|guarded| guarded.request_head(line, fields))
    }

    /// Whether rules look at it at all.
    pub(super) fn is_inspected(&self) -> bool {
        self.guarded.as_ref().is_some_and(Guarded::is_inspected)
    }

    /// Whether rules have still to see the request as a whole.
    pub(crate) fn awaits_request_end(&self) -> bool {
        !self.request.is_decided
    }

    /// Whether that takes long, and is not to be waited for by others.
    pub(crate) fn is_request_long(&self) -> bool {
        self.is_long(Step::Request)
    }

    /// The request is complete. Once: further calls say nothing.
    pub(crate) async fn request_end(&mut self) -> Flow {
        if std::mem::replace(&mut self.request.is_decided, true) {
            return ControlFlow::Continue(());
        }
        if !self.is_request_long() {
            return self.judge(Guarded::request_body_done);
        }
        match self.take_turn(Step::Request).await {
            Ok(verdict) => self.decide(verdict),
            Err(why) => self.without_turn(why),
        }
    }

    /// The same, on this thread however long it takes.
    pub(crate) fn request_end_here(&mut self) -> Flow {
        if std::mem::replace(&mut self.request.is_decided, true) {
            return ControlFlow::Continue(());
        }
        self.judge(Guarded::request_body_done)
    }

    /// Hands what is inspected over, and takes it back.
    async fn take_turn(&mut self, step: Step) -> Result<Verdict, TurnedAway> {
        let Some(guarded) = self.guarded.take() else {
            return Ok(Verdict::Pass);
        };
        match self.firewall.take_turn(&self.route, guarded, step).await {
            Some(Turn::Had(guarded, verdict)) => {
                self.guarded = Some(guarded);
                Ok(verdict)
            }
            Some(Turn::None(guarded, why)) => {
                self.guarded = Some(guarded);
                Err(why)
            }
            None => Err(TurnedAway::Lost),
        }
    }

    /// There was no turn. Who has brought too much himself is not let through for it.
    fn without_turn(&mut self, why: TurnedAway) -> Flow {
        let is_clients = why == TurnedAway::Share;
        let overload = self.firewall.guard.site().config().beside.overload;
        if is_clients || overload == Overload::Refuse {
            self.outcome = Some("turned-away");
            return ControlFlow::Break(Answer::uninspected(is_clients, BUSY));
        }
        if let Some(guarded) = &mut self.guarded {
            guarded.let_through(why);
        }
        ControlFlow::Continue(())
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
    /// origin gets nothing of a body that is refused. True: that is all, and [`request_end`](Self::request_end) and
    /// [`release_request`](Self::release_request) are next.
    pub(crate) fn hold_request(
        &mut self,
        piece: &mut Option<Bytes>,
        is_end: bool,
    ) -> ControlFlow<Answer, bool> {
        if self.request.is_decided {
            return ControlFlow::Continue(false);
        }
        let wants = self
            .guarded
            .as_ref()
            .is_some_and(Guarded::wants_request_body);
        let room = self.room(|limits| limits.request_body_bytes_max);
        let mut bytes = piece.take().unwrap_or_default();
        let known = self.request.known.min(bytes.len());
        self.request.known -= known;
        bytes.advance(known);
        let is_full = self.request.bytes.len() + bytes.len() > room;
        self.request.bytes.extend_from_slice(&bytes);
        if wants {
            self.judge(|guarded| guarded.request_body(&bytes))?;
        }
        if !is_end && !is_full && wants {
            // Nothing yet, and not the end.
            *piece = Some(Bytes::new());
            return ControlFlow::Continue(false);
        }
        ControlFlow::Continue(true)
    }

    /// Another origin is asked, and the body comes from its beginning again: what is held of it, rules have seen.
    pub(crate) fn begin_request_again(&mut self) {
        self.request.known = self.request.bytes.len();
    }

    /// What was held back goes on.
    pub(crate) fn release_request(&mut self) -> Bytes {
        self.request.bytes.split().freeze()
    }

    /// The answer's head.
    pub(crate) fn response_head(&mut self, status: StatusCode, headers: &HeaderMap) -> Flow {
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.judge(|guarded| guarded.response_head(status.as_u16(), b"HTTP/1.1", fields))
    }

    /// A piece of the answer's body, held back as a request's is.
    pub(crate) async fn response_piece(&mut self, piece: &mut Option<Bytes>, is_end: bool) -> Flow {
        if !self.hold_response(piece, is_end)? {
            return ControlFlow::Continue(());
        }
        self.response_end().await?;
        *piece = Some(self.response.bytes.split().freeze());
        ControlFlow::Continue(())
    }

    /// The same for callers that cannot wait. Where it takes long, the thread gives up all its other work for as long.
    pub(crate) fn response_piece_here(&mut self, piece: &mut Option<Bytes>, is_end: bool) -> Flow {
        if !self.hold_response(piece, is_end)? {
            return ControlFlow::Continue(());
        }
        if self.is_long(Step::Response) && may_block() {
            // Not on the threads beside the workers: what is passed on has one turn at a time (`Turns`), which this call holds, and
            // a wait for those threads would be one for all others who are passed on.
            block_in_place(|| self.judge(Guarded::response_body_done))?;
        } else {
            self.judge(Guarded::response_body_done)?;
        }
        *piece = Some(self.response.bytes.split().freeze());
        ControlFlow::Continue(())
    }

    /// True: that is all that rules look at.
    fn hold_response(
        &mut self,
        piece: &mut Option<Bytes>,
        is_end: bool,
    ) -> ControlFlow<Answer, bool> {
        if self.response.is_decided {
            return ControlFlow::Continue(false);
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
            return ControlFlow::Continue(false);
        }
        self.response.is_decided = true;
        ControlFlow::Continue(true)
    }

    /// The answer's body is complete. Nothing that rules have not seen goes out. Who has brought too much himself waits for what is his
    /// own, and is refused if that takes too long, as with a request (what can wait are answers to GET and HEAD, which may be asked
    /// for again); without a turn through no fault of its client's an answer is looked at here.
    async fn response_end(&mut self) -> Flow {
        let until = Instant::now() + self.firewall.wait();
        loop {
            self.share_left(until).await;
            match self.take_turn(Step::Response).await {
                Ok(verdict) => return self.decide(verdict),
                Err(why) if self.guarded.is_none() => return self.without_turn(why),
                Err(TurnedAway::Share) if Instant::now() < until => {
                    tokio::time::sleep(SHARE_POLL).await;
                }
                Err(TurnedAway::Share) => return self.without_turn(TurnedAway::Share),
                Err(_) if may_block() => {
                    let here = || self.guarded.as_mut().map(Guarded::response_body_done);
                    let verdict = block_in_place(here).unwrap_or(Verdict::Pass);
                    return self.decide(verdict);
                }
                Err(_) => return self.judge(Guarded::response_body_done),
            }
        }
    }

    /// Waits until the client has less than its share beside the workers, but not for longer than until then.
    async fn share_left(&self, until: Instant) {
        let client = self.guarded.as_ref().and_then(Guarded::client);
        let beside = self.firewall.beside.as_ref();
        let (Some(beside), Some(client)) = (beside, client) else {
            return;
        };
        if !self.is_long(Step::Response) {
            return;
        }
        while !beside.has_share_left(client) && Instant::now() < until {
            tokio::time::sleep(SHARE_POLL).await;
        }
    }

    fn room(&self, of: impl FnOnce(&mcsp_edge_waf::Limits) -> usize) -> usize {
        of(&self.firewall.guard.site().config().limits)
    }

    /// The end of a request that was answered whatever rules say, after its head: they see the rest for its event.
    pub(super) fn see_out(mut self, judged: Flow, status: u16) {
        match self.guarded.take() {
            Some(guarded) if judged.is_continue() => {
                self.firewall.see_out(&self.route, guarded, status);
            }
            guarded => {
                self.guarded = guarded;
                self.finish(status);
            }
        }
    }

    /// The end: counts, and writes the event if there is one. `status` is what the client got; 0 for nothing.
    pub(crate) fn finish(mut self, status: u16) {
        if let Some(guarded) = self.guarded.take() {
            self.firewall
                .conclude(&self.route, guarded, self.outcome, status);
        }
    }
}

/// Whether there are other threads that take this one's work over while it waits.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Firewall {
    /// The end of a request's inspection. `outcome` is what it came to, if that is no matter of its rules.
    pub(super) fn conclude(
        &self,
        route: &str,
        guarded: Guarded,
        outcome: Option<&'static str>,
        status: u16,
    ) {
        let is_let_through = guarded.is_let_through();
        if !guarded.is_inspected() && !is_let_through {
            // On purpose.
            return;
        }
        let event = guarded.finish();
        let outcome = outcome.unwrap_or(match &event {
            _ if is_let_through => "let-through",
            Some(event) if !event.matches.is_empty() => "matched",
            _ => "passed",
        });
        self.count(route, outcome);
        if let Some(mut event) = event {
            event.status = event.status.or((status > 0).then_some(status));
            self.audit.write(event);
        }
    }

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
