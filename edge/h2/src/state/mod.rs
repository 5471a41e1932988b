//! What a connection is about to do and to have done: all of HTTP/2 that needs no socket.
//!
//! One lock for a connection, taken by its loop and by whoever answers its requests, never for longer than it takes to note
//! something. The loop hands frames in ([`State::apply`]) and takes out what is to be written ([`State::fill`]).

mod closing;
mod fields;
mod output;
mod receiving;
mod sending;
mod slots;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use mcsp_edge_h2_wire::frame::{self, FRAME_BYTES, Setting, put_settings, put_window_update};
use mcsp_edge_h2_wire::hpack::{Decoder, Encoder};
use mcsp_edge_h2_wire::{Code, Window};

pub(crate) use self::output::Output;
pub(crate) use self::stream::Gone;

use self::fields::Assembly;
use self::slots::Slots;
use crate::limits::Limits;

/// What a client may send of one body before it is read, and of all of them.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// A request that has come: where its stream is, and what it says.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) slot: usize,
    pub(crate) request: Parts,
}

/// How far we are with telling the client that its connection ends (RFC 9113 section 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// It was told that it will; requests that it had sent before it knew are still answered.
    Announced,
    /// It knows, and was told which was the last.
    Final,
}

/// The loop, as the others see it.
#[derive(Debug, Default)]
struct Loop {
    waker: Option<Waker>,
    /// It runs, or has been woken.
    is_awake: bool,
    /// There is something for it since it has made frames last.
    has_work: bool,
}

/// What one connection has agreed on, what is under way on it, and what is to be sent.
#[derive(Debug)]
pub(crate) struct State {
    slots: Slots,
    out: Output,
    the_loop: Loop,
    /// Requests that no handler has seen yet.
    accepted: VecDeque<Accepted>,
    /// The highest stream that the client has begun.
    last_stream: u32,
    /// The highest that the client was told is looked at, which never grows (RFC 9113 section 6.8).
    told_last: u32,
    leaving: Leaving,
    is_client_leaving: bool,
    is_over: bool,

    decoder: Decoder,
    assembly: Option<Assembly>,
    has_settings: bool,
    is_settled: bool,
    window_in: Window,
    /// What was read since the client was told of more room.
    untold: usize,

    encoder: Encoder,
    window: Window,
    /// What is promised of it to data that wait.
    reserved: usize,
    /// So much of it that nobody gets more, until it is much less.
    is_full: bool,
    stream_window: u32,
    frame_bytes: usize,
    /// Streams that have a frame to send, in their turn.
    turns: VecDeque<(usize, u32)>,

    streams_max: u32,
    fields_bytes_max: usize,
    pending_resets_max: usize,
    error_resets_max: usize,
    /// Since the loop has looked at requests.
    pending_resets: usize,
    error_resets: usize,
    /// Why requests were reset since the loop has asked; no more than there may be faults.
    malformed: Vec<&'static str>,
    empty_data: u32,
}

impl State {
    /// Of a connection of which nothing was read; our settings are the first to be sent.
    pub(crate) fn new(limits: &Limits) -> Self {
        let fields_bytes_max = limits.fields_bytes_max;
        let mut out = Output::default();
        out.put(|out| {
            let settings = [
                Setting::MaxConcurrentStreams(limits.streams_max),
                Setting::InitialWindowSize(STREAM_WINDOW_BYTES),
                Setting::MaxHeaderListSize(fields_bytes_max),
                Setting::NoRfc7540Priorities(true),
            ];
            put_settings(out, &settings);
            put_window_update(out, 0, CONNECTION_WINDOW_BYTES - Window::INITIAL);
        });
        Self {
            slots: Slots::default(),
            out,
            the_loop: Loop::default(),
            accepted: VecDeque::new(),
            last_stream: 0,
            told_last: frame::STREAM_MAX,
            leaving: Leaving::No,
            is_client_leaving: false,
            is_over: false,
            decoder: Decoder::new(),
            assembly: None,
            has_settings: false,
            is_settled: false,
            window_in: Window::new(CONNECTION_WINDOW_BYTES),
            untold: 0,
            encoder: Encoder::new(),
            window: Window::new(Window::INITIAL),
            reserved: 0,
            is_full: false,
            stream_window: Window::INITIAL,
            frame_bytes: FRAME_BYTES,
            turns: VecDeque::new(),
            streams_max: limits.streams_max,
            fields_bytes_max: usize::try_from(fields_bytes_max).unwrap_or(usize::MAX),
            pending_resets_max: limits.pending_resets_max,
            error_resets_max: limits.error_resets_max,
            pending_resets: 0,
            error_resets: 0,
            malformed: Vec::new(),
            empty_data: 0,
        }
    }

    /// The loop begins a turn.
    pub(crate) fn begin_turn(&mut self, waker: &Waker) {
        self.the_loop.is_awake = true;
        match &self.the_loop.waker {
            Some(other) if other.will_wake(waker) => {}
            _ => self.the_loop.waker = Some(waker.clone()),
        }
    }

    /// The loop ends a turn; `is_blocked`: the client takes nothing at the moment, and wakes it when it does. False: there is
    /// something to do already.
    pub(crate) fn end_turn(&mut self, is_blocked: bool) -> bool {
        self.the_loop.is_awake = self.the_loop.has_work && !is_blocked;
        !self.the_loop.is_awake
    }

    /// There is something for the loop to do.
    fn nudge(&mut self) {
        self.the_loop.has_work = true;
        if !self.the_loop.is_awake {
            self.the_loop.is_awake = true;
            if let Some(waker) = &self.the_loop.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Why requests were reset since this was asked last.
    pub(crate) fn take_malformed(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.malformed)
    }

    /// Requests that have come and were not taken back, for handlers.
    pub(crate) fn take_accepted(&mut self, accepted: &mut VecDeque<Accepted>) {
        self.pending_resets = 0;
        while let Some(request) = self.accepted.pop_front() {
            let Some(stream) = self.slots.get(request.slot) else {
                continue;
            };
            stream.is_new = false;
            if stream.gone.is_some() {
                self.let_go(request.slot);
            } else {
                accepted.push_back(request);
            }
        }
    }

    /// Whether streams are open.
    pub(crate) const fn has_streams(&self) -> bool {
        self.slots.open() > 0
    }

    /// Whether the client follows our settings (RFC 9113 section 6.5.3).
    pub(crate) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Bytes that wait for being written.
    pub(crate) const fn output_bytes(&self) -> usize {
        self.out.len()
    }

    /// Ready once the stream is of no use any more.
    pub(crate) fn poll_gone(&mut self, slot: usize, context: &Context<'_>) -> Poll<Gone> {
        match self.slots.get(slot) {
            Some(stream) => match stream.gone {
                Some(gone) => Poll::Ready(gone),
                None => {
                    stream.wait(context.waker());
                    Poll::Pending
                }
            },
            None => Poll::Ready(Gone::Connection),
        }
    }

    /// Resets a stream, unless it is closed.
    pub(crate) fn reset(&mut self, slot: usize, code: Code) {
        let Some(stream) = self.slots.get(slot) else {
            return;
        };
        if stream.is_closed() {
            return;
        }
        let id = stream.id;
        self.out.put(|out| frame::put_reset(out, id, code));
        self.give_up(slot, Gone::ByUs(code));
        self.nudge();
    }

    /// Nobody answers the stream any more. What is handed over already still goes out.
    pub(crate) fn let_go(&mut self, slot: usize) {
        let Some(stream) = self.slots.get(slot) else {
            return;
        };
        stream.has_handle = false;
        stream.waker = None;
        stream.waits_for_room = false;
        // Nobody will read it.
        let unread = std::mem::take(&mut stream.body).len();
        let is_cut = matches!(stream.ending, stream::Ending::Open) && !stream.is_said;
        if is_cut && stream.queued > 0 {
            // It leaves as the client reads. Dropped, it would make room for others at once, as if the client had read it.
            stream.ending = stream::Ending::Cut;
            self.in_turn(slot);
        } else if is_cut {
            self.reset(slot, Code::CANCEL);
        } else if stream.is_said && !stream.is_heard {
            self.reset(slot, Code::NO_ERROR);
        }
        self.was_read(slot, unread);
        self.slots.free(slot);
        self.nudge();
    }
}
