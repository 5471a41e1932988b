//! The connection loop: head, handler, answer, and again.

use std::future::poll_fn;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http::request::Parts;
use mcsp_edge_limits::Drip;
use pingora_core::protocols::Stream;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::answer::head::{Head, WireLength};
use crate::closed::{CloseReason, Closed};
use crate::delegated::{Delegated, Ended, Returned};
use crate::exchange::{Exchange, Peer, Verdict};
use crate::handler::{Delegation, Handler};
use crate::limits::Limits;
use crate::parse::{
    HeadInfo, Oddity, Scan, Scanner, SentLine, empty_parts, lent_head, mend, take_head,
};
use crate::refusal::Refusal;
use crate::spare;
use crate::wire::{Arrival, Wire};

/// Bytes that a client may still send on a connection that has ended for it.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Serves one connection until it ends: requests one after the other, answers in their order (RFC 9112 9.3.2).
///
/// Once `stop` shows true, an idle connection ends at once and one with a request after its answer.
pub async fn serve_connection<H: Handler>(
    stream: Stream,
    limits: &Limits,
    handler: &H,
    stop: watch::Receiver<bool>,
) -> Closed {
    let peer = Peer::of(&stream);
    let mut connection = Connection {
        drip: Drip::new(peer.address.map_or(0, |address| address.port())),
        peer,
        wire: Wire::new(stream, limits, stop),
        scanner: Scanner::default(),
        arrived: Instant::now(),
        requests: 0,
        limits,
        handler,
    };
    loop {
        let taken = match connection.head().await {
            Ok(taken) => taken,
            Err(end) => return handler.end(Box::pin(connection.end(end))).await,
        };
        // All that a request needs lies in memory that the last one of the thread gave back. In the connection's own it would
        // have left the core's caches meanwhile, for each of many connections.
        let request = Box::write(Box::new_uninit(), connection.request(taken));
        match Box::into_pin(request).await {
            Flow::Next => {}
            Flow::End(closed) => return closed,
            // In a box: it needs far more room than what is served here.
            Flow::Delegate(request) => match Box::pin(connection.delegate(request)).await {
                Ok(returned) => connection = returned,
                Err(closed) => return closed,
            },
        }
    }
}

struct Connection<'c, H> {
    wire: Wire,
    peer: Peer,
    drip: Drip,
    scanner: Scanner,
    /// When the last bytes came of the head that is being read, or was.
    arrived: Instant,
    requests: u32,
    limits: &'c Limits,
    handler: &'c H,
}

/// A head that is complete.
struct Taken {
    info: HeadInfo,
    raw: Bytes,
    parts: Parts,
}

/// What follows a request.
enum Flow {
    Next,
    End(Closed),
    Delegate(Delegate),
}

/// A request that is served elsewhere.
struct Delegate {
    info: HeadInfo,
    raw: Bytes,
    is_last: bool,
    sent_line: Option<SentLine>,
}

/// Why there is no further request.
enum End {
    Quiet(CloseReason),
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<H: Handler> Connection<'_, H> {
    /// Reads the next head.
    async fn head(&mut self) -> Result<Taken, End> {
        self.scanner.reset();
        let mut has_begun = false;
        if !self.wire.buffer.is_empty() {
            // Requests that wait here already must not keep the thread from other connections.
            tokio::task::consume_budget().await;
        }
        let begun = Instant::now();
        self.arrived = begun;
        self.drip.restart(begun);
        let idle_deadline = begun
            + if self.requests == 0 {
                self.limits.head_timeout()
            } else {
                self.limits.idle_timeout()
            };
        let mut deadline = idle_deadline;
        // The clock is read once for all that happens without a wait.
        let mut now = Some(begun);
        loop {
            while !self.wire.buffer.is_empty() {
                let scanned = self.scanner.scan(&self.wire.buffer, self.limits);
                if scanned.is_err() {
                    let most = self.limits.head_bytes_max as usize;
                    let head = &self.wire.buffer[..self.wire.buffer.len().min(most)];
                    self.handler.on_refused_head(head, &self.peer);
                }
                match scanned? {
                    Scan::Skip(bytes) => {
                        // An empty line begins nothing.
                        self.wire.buffer.advance(bytes);
                        has_begun = false;
                        deadline = idle_deadline;
                    }
                    Scan::Complete(bytes) => return self.take(bytes),
                    Scan::Partial => {
                        if !has_begun && self.requests > 0 {
                            deadline = self.arrived + self.limits.head_timeout();
                        }
                        has_begun = true;
                        break;
                    }
                }
            }
            if self.drip.is_gathering() {
                let gathered = poll_fn(|context| self.drip.poll_gathered(context));
                // What has come by the deadline is read all the same.
                let _ = tokio::time::timeout_at(deadline, gathered).await;
                now = None;
            }
            let had = self.wire.buffer.len();
            match self.wire.read_at(now.take(), deadline, !has_begun).await {
                Arrival::Bytes => {
                    let read = self.wire.buffer.len() - had;
                    self.arrived = Instant::now();
                    let most = self.limits.head_timeout() / 4;
                    self.drip.took(read, most, self.arrived);
                }
                Arrival::Late if has_begun => return Err(Refusal::HeadTimeout.into()),
                Arrival::Late => return Err(End::Quiet(CloseReason::Idle)),
                Arrival::Stopped => return Err(End::Quiet(CloseReason::Stopped)),
                Arrival::End | Arrival::Broken(_) if has_begun => {
                    return Err(End::Quiet(CloseReason::Truncated));
                }
                Arrival::End | Arrival::Broken(_) => return Err(End::Quiet(CloseReason::Client)),
            }
        }
    }

    /// Takes a head of so many bytes off the buffer.
    fn take(&mut self, bytes: usize) -> Result<Taken, End> {
        let mut parts = empty_parts();
        parts.headers = spare::fields();
        let buffer = &mut self.wire.buffer;
        let (info, raw) = take_head(buffer, bytes, &self.scanner, self.limits, &mut parts)
            .or_else(|(refusal, head)| {
                let odd = self.take_odd(&head, refusal, &mut parts);
                odd.ok_or_else(|| {
                    self.handler.on_refused_head(&head, &self.peer);
                    refusal
                })
            })?;
        Ok(Taken { info, raw, parts })
    }

    /// Takes a head that was refused, if its route wants it all the same.
    fn take_odd(
        &mut self,
        head: &Bytes,
        refusal: Refusal,
        parts: &mut Parts,
    ) -> Option<(HeadInfo, Bytes)> {
        let oddity = Oddity::of(head, &self.scanner, refusal)
            .filter(|oddity| self.handler.may_take(*oddity))?;
        let mended = mend(head, &mut self.scanner, oddity, self.limits, parts)?;
        let is_taken = self.handler.takes(oddity, parts, &self.peer);
        is_taken.then_some((mended.info, mended.head))
    }

    /// Has one request served.
    async fn request(&mut self, taken: Taken) -> Flow {
        let Taken {
            info,
            raw,
            mut parts,
        } = taken;
        let requests_before = self.requests;
        self.requests += 1;
        let may_persist = self.requests < self.limits.requests_max;
        let mut scratch = spare::bytes();
        let mut exchange = Exchange::new(
            &mut self.wire,
            self.limits,
            &self.peer,
            &mut scratch,
            &mut parts,
            self.arrived,
            info,
            requests_before,
            may_persist,
        );
        let next = self.handler.on_request(&mut exchange).await;
        let (verdict, mut info, refusal) = exchange.end(next);
        let sent_line = parts.extensions.remove::<SentLine>();
        let raw = match verdict {
            Verdict::Delegated => lent_head(raw, &self.scanner),
            _ => raw,
        };
        // What the request held goes, so that the read buffer is ours alone again, and the memory is kept.
        spare::keep_fields(&mut parts.headers);
        spare::keep_bytes(&mut scratch);
        self.scanner.rest();
        drop(parts);
        let closed = match verdict {
            Verdict::Answered { persists } => {
                if let Some(refusal) = refusal {
                    self.handler.on_refused(refusal, &self.peer);
                }
                if persists {
                    drop(raw);
                    match self.discard(&mut info).await {
                        Ok(()) => return Flow::Next,
                        Err(reason) => self.close(reason, true).await,
                    }
                } else {
                    // A client that asked for the end sends nothing that a reset could answer.
                    let lingers = !info.framing.is_done() || info.is_persistent;
                    self.close(CloseReason::Answered, lingers).await
                }
            }
            Verdict::Refused => self.refuse(refusal.unwrap_or(Refusal::ChunkEnd)).await,
            Verdict::Unanswered => {
                self.answer(StatusCode::INTERNAL_SERVER_ERROR).await;
                self.close(CloseReason::Failed, true).await
            }
            Verdict::Cut => self.closed(CloseReason::Cut),
            Verdict::Dropped => self.closed(CloseReason::Dropped),
            Verdict::Delegated => {
                let is_stopped = self.wire.watches.stop.is_stopped();
                let is_last = !may_persist || !info.is_persistent || is_stopped;
                return Flow::Delegate(Delegate {
                    info,
                    raw,
                    is_last,
                    sent_line,
                });
            }
        };
        Flow::End(closed)
    }

    /// Lends the stream out for one request.
    async fn delegate(self, request: Delegate) -> Result<Self, Closed> {
        let Delegate {
            info,
            raw,
            is_last,
            sent_line,
        } = request;
        let Wire {
            stream,
            buffer,
            watches,
        } = self.wire;
        let (home, mut ended) = oneshot::channel();
        let lent = Delegated::new(
            stream,
            raw,
            buffer,
            info.framing,
            info.is_upgrade,
            Drip::new(self.peer.address.map_or(0, |address| address.port())),
            self.limits.body_timeout() / 4,
        );
        let delegation = Delegation {
            stream: Box::new(lent.at_its_end(home)),
            is_last,
            requests_before: self.requests - 1,
            sent_line,
        };
        let returned = self.handler.delegate(delegation).await;
        // What the client still sends would, on a socket that is closed, take back the answer that is on its way. One that
        // says nothing after this request sends nothing.
        let (stream, buffer, goes_on, lingers) = match returned.and_then(Delegated::take_back) {
            Some(Returned { stream, buffer }) => (stream, buffer, !is_last, info.is_persistent),
            None => match ended.try_recv() {
                Ok(Ended { stream, is_read }) => {
                    let lingers = info.is_persistent || !is_read;
                    (stream, BytesMut::new(), false, lingers)
                }
                Err(_) => {
                    return Err(Closed {
                        reason: CloseReason::Delegated,
                        requests: self.requests,
                    });
                }
            },
        };
        let wire = Wire {
            stream,
            buffer,
            watches,
        };
        let mut returned = Self { wire, ..self };
        if goes_on {
            return Ok(returned);
        }
        let handler = returned.handler;
        let end = async move { returned.close(CloseReason::Delegated, lingers).await };
        Err(handler.end(end).await)
    }

    /// Reads over what is left of a request's body.
    async fn discard(&mut self, info: &mut HeadInfo) -> Result<(), CloseReason> {
        if info.framing.is_done() {
            return Ok(());
        }
        let deadline = Instant::now() + self.limits.discard_timeout();
        let mut left = self.limits.discard_bytes_max as usize;
        loop {
            let passed = info.framing.pass(&self.wire.buffer).map_err(|refusal| {
                self.handler.on_refused(refusal, &self.peer);
                CloseReason::Refused(refusal)
            })?;
            self.wire.buffer.advance(passed);
            left = left.checked_sub(passed).ok_or(CloseReason::Body)?;
            if info.framing.is_done() {
                return Ok(());
            }
            match self.wire.read(Some(deadline), false).await {
                Arrival::Bytes => {}
                _ => return Err(CloseReason::Body),
            }
        }
    }

    async fn refuse(&mut self, refusal: Refusal) -> Closed {
        self.handler.on_refused(refusal, &self.peer);
        self.answer(refusal.status()).await;
        self.close(CloseReason::Refused(refusal), true).await
    }

    /// Ends without a further request, and lets go of everything.
    async fn end(mut self, end: End) -> Closed {
        match end {
            End::Quiet(reason) => self.close(reason, false).await,
            End::Refused(refusal) => self.refuse(refusal).await,
        }
    }

    /// An answer of the connection's own, its last.
    async fn answer(&mut self, status: StatusCode) {
        let mut head = Head::new(status, spare::bytes());
        self.handler.fields(&mut head);
        let head = head.seal(WireLength::Known(0), Some(b"Connection: close\r\n"));
        // Whether it arrives or not, the connection ends.
        let _ = self.wire.write(&mut [IoSlice::new(&head)], true).await;
    }

    /// Ends the connection properly. While it lingers, what the client still sends is read and thrown away: a reset in
    /// answer to it could destroy the answer before the client has read it (RFC 9112 9.6).
    async fn close(&mut self, reason: CloseReason, lingers: bool) -> Closed {
        let deadline = Instant::now() + self.limits.linger();
        self.wire.shut_down(deadline).await;
        let mut left = LINGER_BYTES_MAX;
        while lingers && left > 0 {
            self.wire.buffer.clear();
            match self.wire.read(Some(deadline), false).await {
                Arrival::Bytes => left = left.saturating_sub(self.wire.buffer.len()),
                _ => break,
            }
        }
        self.closed(reason)
    }

    const fn closed(&self, reason: CloseReason) -> Closed {
        Closed {
            reason,
            requests: self.requests,
        }
    }
}
