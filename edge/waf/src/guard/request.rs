//! One request under guard.

use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{FailureKind, Guard, Probe, Reason, Unfinished};
use crate::beside::TurnedAway;
use crate::transaction::{Client, Transaction};
use crate::verdict::{AuditEvent, Block, LetThrough, Outcome, excerpt};

/// The answer after each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is refused.
    Block(Block),
}

/// A request line as it was received.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The target.
    pub target: &'a [u8],
    /// Like `HTTP/1.1`.
    pub protocol: &'a [u8],
}

/// A request under inspection, or one that passes without.
#[derive(Debug)]
pub struct Guarded {
    guard: Arc<Guard>,
    transaction: Option<Box<Transaction>>,
    probe: Option<Probe>,
    route: Arc<str>,
    id: String,
    client: Option<IpAddr>,
    began_ms: i64,
    is_let_through: bool,
    /// The event of a request that was let through, if it has one.
    aloud: Option<Box<AuditEvent>>,
}

impl Guarded {
    /// Of `client`, if there is to be any inspection.
    pub(super) fn new(
        guard: Arc<Guard>,
        route: &str,
        client: Option<&Client>,
        probe: Option<Probe>,
    ) -> Self {
        Self {
            guard,
            transaction: None,
            probe,
            route: Arc::from(route),
            id: client.map_or_else(String::new, |client| client.id.clone()),
            client: client.map(|client| client.address),
            began_ms: client.map_or(0, |client| client.now_ms),
            is_let_through: false,
            aloud: None,
        }
    }

    /// There are no rules, which is no fault of the client's.
    pub(super) fn unloaded(&mut self) {
        let kind = FailureKind::Unloaded;
        self.tell_let_through(Reason::Failed(kind), "", None);
        let whose = (self.probe.take(), None);
        self.guard
            .fail(kind, &self.route, &self.id, String::new(), whose);
    }

    /// Inspection is given up.
    pub(super) fn bypassed(&mut self) {
        self.tell_let_through(Reason::Bypassed, "", None);
    }

    pub(super) fn start(&mut self, begin: impl FnOnce() -> Transaction) {
        match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(transaction) => self.transaction = Some(Box::new(transaction)),
            Err(panic) => self.failed(FailureKind::Panic, message(&*panic)),
        }
    }

    /// Whether anything is inspected.
    #[must_use]
    pub fn is_inspected(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether it, or the rest of it, was let through without its rules. On a route without inspection it was not.
    #[must_use]
    pub fn is_let_through(&self) -> bool {
        self.is_let_through
    }

    /// Has rules end early once `left` is set: nobody waits for what comes of them.
    pub fn heed(&mut self, left: Option<Arc<AtomicBool>>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.heed(left);
        }
    }

    /// Whether rules ended early since nobody waited for them.
    #[must_use]
    pub fn has_ended_early(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|transaction| transaction.has_ended_early())
    }

    /// Whether what is left to look at of the request is long, and nothing for a worker.
    #[must_use]
    pub fn is_request_long(&self) -> bool {
        let beside = &self.guard.site.config().beside;
        self.transaction.as_ref().is_some_and(|transaction| {
            transaction.request_body_bytes() >= beside.request_bytes_min
                || transaction.given_bytes() >= beside.head_bytes_min
        })
    }

    /// The same of the response's body.
    #[must_use]
    pub fn is_response_long(&self) -> bool {
        let beside = &self.guard.site.config().beside;
        self.transaction.as_ref().is_some_and(|transaction| {
            transaction.response_body_bytes() >= beside.response_bytes_min
        })
    }

    /// Whose request it is, if anything is inspected.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client.filter(|_| self.is_inspected())
    }

    /// Lets the request through without the rules that are left: there is no turn for them.
    pub fn let_through(&mut self, why: TurnedAway) {
        if self.is_inspected() {
            let kind = match why {
                TurnedAway::Lost => FailureKind::Lost,
                _ => FailureKind::Overload,
            };
            self.failed(kind, why.name().to_owned());
        }
    }

    /// The request's head: phase 1.
    pub fn request_head<'h>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        if self.aloud.is_some() {
            self.describe(line, fields);
            return Verdict::Pass;
        }
        self.step(|transaction| {
            transaction.request_line(line.method, line.target, line.protocol);
            for (name, value) in fields {
                transaction.request_header(name, value);
            }
            transaction.request_head_done()
        })
    }

    /// Whether the request's body is to be handed over.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.wants_request_body())
    }

    /// A piece of the request's body.
    pub fn request_body(&mut self, piece: &[u8]) -> Verdict {
        self.step(|transaction| transaction.request_body(piece))
    }

    /// The request's body is complete, or there is none, or no more of it is handed over: phase 2.
    pub fn request_body_done(&mut self) -> Verdict {
        self.step(Transaction::request_body_done)
    }

    /// The response's head: phase 3.
    pub fn response_head<'h>(
        &mut self,
        status: u16,
        protocol: &[u8],
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        self.step(|transaction| {
            transaction.response_line(status, protocol);
            for (name, value) in fields {
                transaction.response_header(name, value);
            }
            transaction.response_head_done()
        })
    }

    /// Whether the response's body is to be handed over; ask after its head.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.wants_response_body())
    }

    /// A piece of the response's body.
    pub fn response_body(&mut self, piece: &[u8]) -> Verdict {
        self.step(|transaction| transaction.response_body(piece))
    }

    /// The response's body is complete, or there is none: phase 4.
    pub fn response_body_done(&mut self) -> Verdict {
        self.step(Transaction::response_body_done)
    }

    /// The end: phase 5, and the event if there is anything to tell.
    pub fn finish(mut self) -> Option<AuditEvent> {
        let Some(transaction) = self.transaction.as_mut() else {
            return self.aloud.map(|event| *event);
        };
        let is_aloud = self.guard.site.config().audit_all;
        let end = || match is_aloud {
            true => Some(transaction.finish_aloud()),
            false => transaction.finish(),
        };
        match catch_unwind(AssertUnwindSafe(end)) {
            Ok(event) => {
                // One whose rules ended early has tried nothing.
                let has_tried = !transaction.has_ended_early();
                if let Some(probe) = self.probe.take().filter(|_| has_tried) {
                    self.guard.succeed(probe);
                }
                self.tell_unfinished();
                event
            }
            Err(panic) => {
                self.failed(FailureKind::Panic, message(&*panic));
                self.aloud.map(|event| *event)
            }
        }
    }

    fn step(&mut self, run: impl FnOnce(&mut Transaction) -> Outcome) -> Verdict {
        let Some(transaction) = self.transaction.as_mut() else {
            return Verdict::Pass;
        };
        // What a panic leaves half done is this transaction, which is dropped, and shared counters, which are whole at every
        // moment that one can see them.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(transaction)));
        let spent_us = transaction.spent_us();
        self.tell_unfinished();
        match outcome {
            Ok(Outcome::Pass) => Verdict::Pass,
            Ok(Outcome::Block(block)) => Verdict::Block(block),
            Ok(Outcome::Overrun) => {
                self.failed(FailureKind::Overrun, format!("{spent_us} us"));
                Verdict::Pass
            }
            Err(panic) => {
                self.failed(FailureKind::Panic, message(&*panic));
                Verdict::Pass
            }
        }
    }

    fn tell_unfinished(&mut self) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        while let Some(rule) = transaction.next_unfinished() {
            self.guard.witness.unfinished(&Unfinished {
                rule,
                route: &self.route,
                id: &self.id,
            });
        }
    }

    fn failed(&mut self, kind: FailureKind, detail: String) {
        let transaction = self.transaction.take();
        // What rules had found by then. One that panicked may panic again.
        let tell = || transaction.map(|mut transaction| transaction.event());
        let event = catch_unwind(AssertUnwindSafe(tell)).ok().flatten();
        self.tell_let_through(Reason::Failed(kind), &detail, event);
        let whose = (self.probe.take(), self.client);
        self.guard.fail(kind, &self.route, &self.id, detail, whose);
    }

    /// Keeps an event of it for the end, if there is to be one: always of a request in which a rule matched.
    fn tell_let_through(&mut self, reason: Reason, detail: &str, event: Option<AuditEvent>) {
        self.is_let_through = true;
        let has_matched = event
            .as_ref()
            .is_some_and(|event| !event.matches.is_empty());
        let untold = match has_matched {
            true => Some(0),
            false => self.guard.sample(reason),
        };
        let Some(untold) = untold else { return };
        let mut event = event.unwrap_or_else(|| {
            let client = self
                .client
                .map_or_else(String::new, |client| client.to_string());
            AuditEvent::bare(self.id.clone(), self.began_ms, client)
        });
        event.let_through = Some(LetThrough {
            reason: reason.name().to_owned(),
            detail: detail.to_owned(),
            untold,
        });
        self.aloud = Some(Box::new(event));
    }

    /// What is told of a request that no rule looks at.
    fn describe<'h>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        let Some(event) = &mut self.aloud else { return };
        let most = self.guard.site.config().limits.excerpt_bytes_max;
        event.method = excerpt(line.method, most);
        event.target = excerpt(line.target, most);
        let mut fields = fields.into_iter();
        let host = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        event.host = excerpt(host.map_or(b"", |(_, value)| value), most);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
