//! The connection loop.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use mcsp_edge_h1::Stop;
use mcsp_edge_h2_wire::{Code, PREFACE};
use mcsp_edge_limits::Flood;
use parking_lot::Mutex;
use pingora_core::protocols::Stream;
use tokio::sync::watch;

use crate::exchange::{Exchange, Peer};
use crate::farewell;
use crate::handler::Handler;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::request::{self, Refusal};
use crate::state::{Accepted, State};
use crate::watch::{Doing, Overdue, Watch};
use crate::wire::{Arrival, Wire};

/// Malformed requests after which a connection is ended; good ones in between do not make up for them.
pub const MALFORMED_MAX: u32 = 32;

/// Reads in one turn, after which others have theirs.
const READS_MAX: usize = 16;

/// While as much waits for a client that reads nothing, nothing is read of it: it cannot make answers to its frames
/// pile up. More than all heads of answers that may be under way.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// How long a client that has nothing under way may take, once the node ends, to say that it knows (RFC 9113 section 6.8).
/// One that is gone without a word never does.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// Requests that came.
    pub requests: u64,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client ended it, or it broke.
    Client,
    /// The client broke the protocol.
    Protocol,
    /// The client's preface did not come in time, or was none.
    Preface,
    /// No request came in time.
    Idle,
    /// The client took too little of what it had asked for.
    TooSlow,
    /// Too many malformed requests.
    Malformed,
    /// Too many frames that cost their sender nothing.
    Flood(Flood),
    /// Too many streams taken back before they were looked at, ended for their faults, or fields without an end: what nobody sends
    /// who means well (RFC 9113 section 10.5).
    Excess,
    /// The node ends.
    Stopped,
}

impl CloseReason {
    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Protocol => "protocol",
            Self::Preface => "preface",
            Self::Idle => "idle",
            Self::TooSlow => "too-slow",
            Self::Malformed => "malformed",
            Self::Flood(_) => "flood",
            Self::Excess => "excess",
            Self::Stopped => "stopped",
        }
    }

    /// What the client is told, where it is we who end it (RFC 9113 section 7).
    const fn told(self) -> Option<Code> {
        match self {
            Self::Idle => Some(Code::NO_ERROR),
            Self::TooSlow | Self::Malformed | Self::Flood(_) | Self::Excess => {
                Some(Code::ENHANCE_YOUR_CALM)
            }
            Self::Client | Self::Protocol | Self::Preface | Self::Stopped => None,
        }
    }
}

/// Serves one connection until it ends. Once `stop` shows true, the client is told (`GOAWAY`, RFC 9113 section 6.8), what
/// it has begun is answered, and the connection ends.
pub async fn serve_connection<H: Handler>(
    stream: Stream,
    limits: &Limits,
    handler: &Arc<H>,
    stop: watch::Receiver<bool>,
) -> Closed {
    let peer = Arc::new(Peer::of(&stream));
    let mut wire = Wire::new(stream, handler.frame_meter());
    let preface = tokio::time::timeout(limits.preface_timeout, preface(&mut wire));
    if !matches!(preface.await, Ok(true)) {
        let reason = CloseReason::Preface;
        let end = async move {
            // The turn is over when all is gone.
            drop(wire);
            Closed {
                reason,
                requests: 0,
            }
        };
        return handler.end(reason, end).await;
    }
    let mut driver = Driver {
        state: Arc::new(Mutex::new(State::new(limits))),
        peer,
        wire,
        limits,
        handler,
        stop: Stop::new(stop),
        is_stopping: false,
        watch: Watch::new(limits),
        under_way: UnderWay::default(),
        accepted: VecDeque::new(),
        requests: 0,
        malformed: 0,
    };
    let end = poll_fn(|context| driver.poll(context)).await;
    // Whoever still answers learns of it at once.
    driver.end(end.told);
    handler.end(end.reason, driver.part(end)).await
}

/// Reads what every client's connection begins with; false: this one's does not.
async fn preface(wire: &mut Wire) -> bool {
    let mut left = &PREFACE[..];
    poll_fn(|context| {
        loop {
            match wire.poll_read(context) {
                Poll::Ready(Arrival::Bytes) if !wire.take(&mut left) => return Poll::Ready(false),
                Poll::Ready(Arrival::Bytes) if left.is_empty() => return Poll::Ready(true),
                Poll::Ready(Arrival::Bytes) => {}
                Poll::Ready(Arrival::End) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Why a connection ends, and what the client is told.
struct End {
    reason: CloseReason,
    told: Option<Code>,
    /// All that was asked for has been answered.
    is_proper: bool,
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        Self {
            reason,
            told: reason.told(),
            is_proper: false,
        }
    }
}

/// Handlers that became tasks.
#[derive(Debug, Clone, Default)]
struct UnderWay(Arc<AtomicU32>);

impl UnderWay {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// Counts a handler until it is dropped.
struct Entered(UnderWay);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Driver<'c, H> {
    state: Arc<Mutex<State>>,
    peer: Arc<Peer>,
    wire: Wire,
    limits: &'c Limits,
    handler: &'c Arc<H>,
    stop: Stop,
    is_stopping: bool,
    watch: Watch,
    under_way: UnderWay,
    accepted: VecDeque<Accepted>,
    requests: u64,
    malformed: u32,
}

/// Whoever still answers learns of the end, however it comes.
impl<H> Drop for Driver<'_, H> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<H> Driver<'_, H> {
    fn end(&self, told: Option<Code>) {
        let wakers = self.state.lock().end(told);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The last of it; everything that the connection held is gone with this.
    async fn part(mut self, end: End) -> Closed {
        farewell::part(&self.state, &mut self.wire, end.is_proper).await;
        Closed {
            reason: end.reason,
            requests: self.requests,
        }
    }
}

impl<H: Handler> Driver<'_, H> {
    /// Everything that can be done now. What handlers have answered within goes out before this waits.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.state.lock().begin_turn(context.waker());
        if !self.is_stopping && self.stop.poll_stopped(context).is_ready() {
            self.is_stopping = true;
            self.state.lock().leave();
            self.watch.hurry(GOODBYE);
        }
        let is_over = match self.take_in(context) {
            Ok(is_over) => is_over,
            Err(end) => return Poll::Ready(end),
        };
        if self.wire.poll_send(&self.state, context).is_err() || is_over {
            return Poll::Ready(self.gone().into());
        }
        let mut state = self.state.lock();
        if state.is_done() && !self.wire.has_output() {
            drop(state);
            return Poll::Ready(End {
                is_proper: true,
                ..self.gone().into()
            });
        }
        let is_settled = state.is_settled();
        // What is written of streams that are closed has to be taken too.
        let has_streams = state.has_streams() || self.wire.has_output();
        if !state.end_turn(!self.wire.output.is_empty()) {
            context.waker().wake_by_ref();
        }
        drop(state);
        let doing = || Doing {
            requests: self.requests,
            taken: self.wire.taken(),
            is_at_work: self.under_way.count() > 0,
            is_settled,
            has_streams,
        };
        let overdue = self.watch.poll_overdue(context, doing);
        overdue.map(|overdue| match overdue {
            Overdue::Idle if self.is_stopping => CloseReason::Stopped.into(),
            Overdue::Idle => CloseReason::Idle.into(),
            Overdue::TooSlow => CloseReason::TooSlow.into(),
            Overdue::Unsettled => End {
                reason: CloseReason::Protocol,
                told: Some(Code::SETTINGS_TIMEOUT),
                is_proper: false,
            },
        })
    }

    /// The reason of an end that is nobody's fault.
    const fn gone(&self) -> CloseReason {
        if self.is_stopping {
            CloseReason::Stopped
        } else {
            CloseReason::Client
        }
    }

    /// Reads what there is, and has the requests in it answered. True: the client sends no more.
    fn take_in(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        // What came with the preface is there already.
        self.frames()?;
        for _ in 0..READS_MAX {
            self.answer(context)?;
            if let Some(flood) = self.wire.flood() {
                return Err(CloseReason::Flood(flood).into());
            }
            let waiting = self.state.lock().output_bytes();
            if waiting >= OUTPUT_BYTES_MAX {
                // If the client takes it, reading goes on at once.
                self.wire
                    .poll_send(&self.state, context)
                    .map_err(|()| self.gone())?;
                if self.state.lock().output_bytes() >= OUTPUT_BYTES_MAX {
                    return Ok(false);
                }
            }
            match self.wire.poll_read(context) {
                Poll::Ready(Arrival::Bytes) => self.frames()?,
                Poll::Ready(Arrival::End) => return Ok(true),
                Poll::Pending => return Ok(false),
            }
        }
        self.answer(context)?;
        context.waker().wake_by_ref();
        Ok(false)
    }

    /// Takes in the frames that were read.
    fn frames(&mut self) -> Result<(), End> {
        let mut state = self.state.lock();
        let applied = self.wire.frames(|frame| state.apply(frame));
        for why in state.take_malformed() {
            self.handler.on_malformed(why, &self.peer);
            self.handler.on_refused(Refusal::Malformed, &self.peer);
        }
        if let Err(error) = applied {
            let reason = match error.code {
                Code::ENHANCE_YOUR_CALM => CloseReason::Excess,
                _ => CloseReason::Protocol,
            };
            return Err(End {
                reason,
                told: Some(error.code),
                is_proper: false,
            });
        }
        if self.wire.flood().is_none() {
            state.take_accepted(&mut self.accepted);
        }
        Ok(())
    }

    /// Has the requests that came answered, as far as that goes without waiting.
    fn answer(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        while let Some(accepted) = self.accepted.pop_front() {
            if !self.begin(context, accepted) {
                return Err(CloseReason::Malformed.into());
            }
        }
        Ok(())
    }

    /// Has a request answered, as far as that goes without waiting. False: it was one too many that is malformed.
    fn begin(&mut self, context: &mut Context<'_>, accepted: Accepted) -> bool {
        self.requests += 1;
        let refusal = request::check(&accepted.request).err();
        if refusal.is_some() {
            self.handler
                .on_refused_request(&accepted.request, &self.peer);
        }
        let mut exchange = Exchange::new(
            accepted,
            Arc::clone(&self.state),
            Arc::clone(&self.peer),
            Pace::new(self.limits),
        );
        if let Some(refusal) = refusal {
            self.handler.on_refused(refusal, &self.peer);
            // If the client is gone, that is well.
            let _ = exchange.respond(StatusCode::BAD_REQUEST, HeaderMap::new(), true);
            self.malformed += 1;
            return self.malformed < MALFORMED_MAX;
        }
        if self.under_way.count() >= self.limits.streams_max {
            // The streams of those may be long gone: a client that resets what it asks for has it done all the same.
            self.handler.on_refused(Refusal::TooMany, &self.peer);
            exchange.refuse();
            return true;
        }
        let mut answering = Box::pin(Arc::clone(self.handler).on_request(exchange));
        if answering.as_mut().poll(context).is_pending() {
            let entered = self.under_way.enter();
            tokio::spawn(async move {
                answering.await;
                drop(entered);
            });
        }
        true
    }
}
