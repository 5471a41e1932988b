//! How streams and connections end.

use std::task::Waker;

use mcsp_edge_h2_wire::frame::{GoAway, STREAM_MAX, put_go_away, put_ping};
use mcsp_edge_h2_wire::{Code, ConnectionError, StreamError};

use super::slots::Closed;
use super::stream::Gone;
use super::{Leaving, State};

/// What the client answers once it knows that its connection ends.
const FAREWELL: [u8; 8] = *b"farewell";

impl State {
    /// Tells the client that the connection ends with what it has asked for (RFC 9113 section 6.8). What it sends before it
    /// knows counts too, so that nothing is lost.
    pub(crate) fn leave(&mut self) {
        if self.leaving != Leaving::No {
            return;
        }
        self.leaving = Leaving::Announced;
        self.go_away(STREAM_MAX, Code::NO_ERROR);
        self.out.put(|out| put_ping(out, FAREWELL, false));
    }

    /// The answer to a `PING` of ours.
    pub(super) fn pong(&mut self, payload: [u8; 8]) {
        if self.leaving == Leaving::Announced && payload == FAREWELL {
            self.leaving = Leaving::Final;
            self.go_away(self.last_stream, Code::NO_ERROR);
        }
    }

    /// Ends the connection at once, with all its streams; those who wait for them are to be woken once the lock is free, since
    /// whoever is woken late in a runtime's life may be dropped instead.
    pub(crate) fn end(&mut self, code: Option<Code>) -> Vec<Waker> {
        if let Some(code) = code {
            self.go_away(self.last_stream, code);
        }
        self.is_over = true;
        self.accepted.clear();
        let mut wakers = Vec::new();
        for stream in self.slots.all() {
            stream.gone.get_or_insert(Gone::Connection);
            stream.queue.clear();
            wakers.extend(stream.waker.take());
        }
        wakers
    }

    fn go_away(&mut self, last_stream: u32, code: Code) {
        self.told_last = self.told_last.min(last_stream);
        let go_away = GoAway {
            last_stream: self.told_last,
            code,
        };
        self.out.put(|out| put_go_away(out, go_away));
    }

    /// Whether one side has said that it leaves, and nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        let is_leaving = self.is_client_leaving || self.leaving == Leaving::Final;
        is_leaving && !self.has_streams() && self.accepted.is_empty() && self.out.is_empty()
    }

    /// New requests are passed over.
    pub(super) fn takes_no_more(&self) -> bool {
        self.leaving == Leaving::Final
    }

    /// Resets a stream for what the client did on it.
    pub(super) fn fault(&mut self, error: StreamError) -> Result<(), ConnectionError> {
        if self.is_idle(error.stream) {
            // There is nothing to reset.
            return Err(ConnectionError::new(error.code, error.why));
        }
        self.error_resets += 1;
        if self.error_resets > self.error_resets_max {
            let why = "too many streams whose frames are wrong";
            return Err(ConnectionError::new(Code::ENHANCE_YOUR_CALM, why));
        }
        if let Some(slot) = self.slots.find(error.stream) {
            self.reset(slot, error.code);
        }
        Ok(())
    }

    /// Whether the client has not begun the stream, or cannot: it has odd ones (section 5.1.1).
    pub(super) const fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream || id.is_multiple_of(2)
    }

    /// Closes a stream before its end.
    pub(super) fn give_up(&mut self, slot: usize, gone: Gone) {
        let Some(stream) = self.slots.get(slot) else {
            return;
        };
        stream.gone = Some(gone);
        stream.queue.clear();
        stream.queued = 0;
        let (id, reserved) = (stream.id, std::mem::take(&mut stream.reserved));
        stream.waits_for_room = false;
        stream.wake();
        let how = match gone {
            Gone::ByUs(_) => Closed::ByUs,
            Gone::ByClient(_) | Gone::Connection => Closed::Known,
        };
        self.slots.close(id, how);
        if reserved > 0 {
            self.unreserve(reserved);
            self.wake_writers();
        }
        self.slots.free(slot);
    }

    /// One side has just said its last word on a stream.
    pub(super) fn close_if_done(&mut self, slot: usize) {
        let Some(stream) = self.slots.get(slot) else {
            return;
        };
        if stream.gone.is_none() && stream.is_heard && stream.is_said {
            let id = stream.id;
            self.slots.close(id, Closed::Known);
            self.slots.free(slot);
        }
    }
}
