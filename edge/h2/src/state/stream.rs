//! One stream (RFC 9113 section 5.1).

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use mcsp_edge_h2_wire::{Code, Window};

/// How a stream was closed before both sides had said all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The client reset it.
    ByClient(Code),
    /// We reset it. The client may not know yet.
    ByUs(Code),
    /// Its connection is over.
    Connection,
}

impl std::fmt::Display for Gone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByClient(code) => write!(formatter, "reset by the client: {code}"),
            Self::ByUs(code) => write!(formatter, "reset: {code}"),
            Self::Connection => formatter.write_str("the connection is closed"),
        }
    }
}

/// What comes after the data that waits.
#[derive(Debug, Default)]
pub(super) enum Ending {
    /// More data.
    #[default]
    Open,
    /// Nothing.
    End,
    /// Trailers, and then nothing.
    Trailers(Box<HeaderMap>),
    /// A reset: the answer was given up.
    Cut,
}

/// What is known of a stream from its request until it is closed and nobody holds it any more.
#[derive(Debug)]
pub(super) struct Stream {
    /// 0: this place is free.
    pub(super) id: u32,
    pub(super) gone: Option<Gone>,
    /// Somebody answers it, or is about to.
    pub(super) has_handle: bool,
    /// No handler has seen it yet.
    pub(super) is_new: bool,
    /// Woken by everything that whoever answers may wait for: one task, one thing at a time.
    pub(super) waker: Option<Waker>,

    /// The client has said that nothing more comes.
    pub(super) is_heard: bool,
    /// What has come of the body and was not read.
    pub(super) body: BytesMut,
    /// What the client may still send of it.
    pub(super) body_window: Window,
    /// What was read of it since the client was told of more room.
    pub(super) body_untold: usize,
    /// What has to come of it yet, where the request said how long it is.
    pub(super) body_left: Option<u64>,

    /// The last of the answer is on its way.
    pub(super) is_said: bool,
    pub(super) window: Window,
    /// What waits of the answer's body.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// How much of it has room in the connection's window.
    pub(super) reserved: usize,
    pub(super) ending: Ending,
    pub(super) is_in_turn: bool,
    pub(super) waits_for_room: bool,
}

impl Stream {
    pub(super) fn new(id: u32, window: u32, body_window: u32) -> Self {
        Self {
            id,
            gone: None,
            has_handle: true,
            is_new: true,
            waker: None,
            is_heard: false,
            body: BytesMut::new(),
            body_window: Window::new(body_window),
            body_untold: 0,
            body_left: None,
            is_said: false,
            window: Window::new(window),
            queue: VecDeque::new(),
            queued: 0,
            reserved: 0,
            ending: Ending::Open,
            is_in_turn: false,
            waits_for_room: false,
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.gone.is_some() || (self.is_heard && self.is_said)
    }

    /// Whether a frame of it could be sent, windows aside.
    pub(super) fn has_frame(&self) -> bool {
        self.gone.is_none()
            && !self.is_said
            && (self.queued > 0 || !matches!(self.ending, Ending::Open))
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wait(&mut self, waker: &Waker) {
        match &self.waker {
            Some(other) if other.will_wake(waker) => {}
            _ => self.waker = Some(waker.clone()),
        }
    }
}
