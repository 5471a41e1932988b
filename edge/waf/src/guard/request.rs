//! One request under guard.

use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{FailureKind, Guard, Probe};
use crate::beside::TurnedAway;
use crate::transaction::Transaction;
use crate::verdict::{AuditEvent, Block, Outcome};

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
}

impl Guarded {
    pub(super) fn new(
        guard: Arc<Guard>,
        route: &str,
        id: String,
        client: Option<IpAddr>,
        probe: Option<Probe>,
    ) -> Self {
        Self {
            guard,
            transaction: None,
            probe,
            route: Arc::from(route),
            id,
            client,
        }
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
            self.failed(FailureKind::Overload, why.name().to_owned());
        }
    }

    /// The request's head: phase 1.
    pub fn request_head<'h>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
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
        let transaction = self.transaction.as_mut()?;
        let is_aloud = self.guard.site.config().audit_all;
        let end = || match is_aloud {
            true => Some(transaction.finish_aloud()),
            false => transaction.finish(),
        };
        match catch_unwind(AssertUnwindSafe(end)) {
            Ok(event) => {
                if let Some(probe) = self.probe.take() {
                    self.guard.succeed(probe);
                }
                event
            }
            Err(panic) => {
                self.failed(FailureKind::Panic, message(&*panic));
                None
            }
        }
    }

    fn step(&mut self, run: impl FnOnce(&mut Transaction) -> Outcome) -> Verdict {
        let Some(transaction) = self.transaction.as_mut() else {
            return Verdict::Pass;
        };
        // What a panic leaves half done is this transaction, which is dropped, and shared counters, which are whole at every
        // moment that one can see them.
        match catch_unwind(AssertUnwindSafe(|| run(transaction))) {
            Ok(Outcome::Pass) => Verdict::Pass,
            Ok(Outcome::Block(block)) => Verdict::Block(block),
            Ok(Outcome::Overrun) => {
                let spent_us = transaction.spent_us();
                self.failed(FailureKind::Overrun, format!("{spent_us} us"));
                Verdict::Pass
            }
            Err(panic) => {
                self.failed(FailureKind::Panic, message(&*panic));
                Verdict::Pass
            }
        }
    }

    fn failed(&mut self, kind: FailureKind, detail: String) {
        let transaction = self.transaction.take();
        // One that panicked may panic again.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(transaction)));
        let whose = (self.probe.take(), self.client);
        self.guard.fail(kind, &self.route, &self.id, detail, whose);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
