//! Frames that come in, other than those with fields.

use std::task::{Context, Poll};

use bytes::Bytes;
use mcsp_edge_h2_wire::frame::{self, Frame, Setting, Settings, put_ping, put_settings_ack};
use mcsp_edge_h2_wire::{Code, ConnectionError, StreamError};

use super::slots::Closed;
use super::stream::Gone;
use super::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, State};

/// Frames of `DATA` with nothing in them, over the life of a connection (CVE-2019-9518).
const EMPTY_DATA_MAX: u32 = 100;

/// The client is told of more room once this much was read: often enough that it need not wait, seldom enough to cost
/// little.
const STREAM_UNTOLD_BYTES: usize = STREAM_WINDOW_BYTES as usize / 2;
const UNTOLD_BYTES: usize = CONNECTION_WINDOW_BYTES as usize / 2;

/// What is read of a body at once.
const PIECE_BYTES_MAX: usize = 64 << 10;

impl State {
    /// Takes a frame in, or what is wrong with one.
    ///
    /// # Errors
    /// The connection is to be ended.
    pub(crate) fn apply(
        &mut self,
        frame: Result<Frame<'_>, StreamError>,
    ) -> Result<(), ConnectionError> {
        if !self.has_settings {
            let Ok(Frame::Settings(settings)) = frame else {
                return Err(ConnectionError::protocol("settings do not come first"));
            };
            self.has_settings = true;
            return self.settings(settings);
        }
        if self.assembly.is_some() {
            let Ok(Frame::Continuation {
                stream,
                block,
                is_whole,
            }) = frame
            else {
                return Err(ConnectionError::protocol("a frame within a block"));
            };
            return self.continuation(stream, block, is_whole);
        }
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return self.fault(error),
        };
        match frame {
            Frame::Data {
                stream,
                data,
                flow_bytes,
                is_end,
            } => self.data(stream, data, flow_bytes, is_end),
            Frame::Headers {
                stream,
                block,
                is_end,
                is_whole,
            } => self.headers(stream, block, is_end, is_whole),
            Frame::Continuation { .. } => {
                Err(ConnectionError::protocol("a block's end without its start"))
            }
            Frame::Reset { stream, code } => self.reset_by_client(stream, code),
            Frame::Settings(settings) => self.settings(settings),
            Frame::SettingsAck => {
                self.is_settled = true;
                Ok(())
            }
            Frame::Ping(payload) => {
                self.out.put(|out| put_ping(out, payload, true));
                Ok(())
            }
            Frame::Pong(payload) => {
                self.pong(payload);
                Ok(())
            }
            Frame::GoAway { .. } => {
                self.is_client_leaving = true;
                Ok(())
            }
            Frame::WindowUpdate { stream: 0, bytes } => {
                let grown = self.window.grow(bytes);
                grown.map_err(|_| too_large())?;
                self.wake_writers();
                Ok(())
            }
            Frame::WindowUpdate { stream, bytes } => self.stream_window_update(stream, bytes),
            Frame::Priority | Frame::Unknown => Ok(()),
        }
    }

    fn settings(&mut self, settings: Settings<'_>) -> Result<(), ConnectionError> {
        for setting in settings {
            match setting {
                Setting::HeaderTableSize(bytes) => self.encoder.set_table_bytes_max(bytes),
                Setting::InitialWindowSize(bytes) => self.initial_window(bytes)?,
                Setting::MaxFrameSize(bytes) => {
                    self.frame_bytes = usize::try_from(bytes).unwrap_or(frame::FRAME_BYTES);
                }
                // We push nothing, begin no streams, and our answers' fields are few.
                Setting::EnablePush(_)
                | Setting::MaxConcurrentStreams(_)
                | Setting::MaxHeaderListSize(_)
                | Setting::NoRfc7540Priorities(_) => {}
            }
        }
        self.out.put(put_settings_ack);
        Ok(())
    }

    /// Section 6.9.2: open streams follow, and may end up below nothing.
    fn initial_window(&mut self, bytes: u32) -> Result<(), ConnectionError> {
        let change = i64::from(bytes) - i64::from(self.stream_window);
        self.stream_window = bytes;
        for stream in self.slots.all() {
            stream.window.shift(change).map_err(|_| too_large())?;
        }
        self.all_in_turn();
        self.wake_writers();
        Ok(())
    }

    fn stream_window_update(&mut self, id: u32, bytes: u32) -> Result<(), ConnectionError> {
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("a window of no stream"));
        }
        // It may just have been closed, which the client need not know.
        let Some(slot) = self.slots.find(id) else {
            return Ok(());
        };
        let Some(stream) = self.slots.get(slot).filter(|stream| stream.gone.is_none()) else {
            return Ok(());
        };
        if stream.window.grow(bytes).is_err() {
            let why = "a window of more than 2^31-1 bytes";
            return self.fault(StreamError::new(id, Code::FLOW_CONTROL_ERROR, why));
        }
        if stream.waits_for_room {
            stream.wake();
        }
        self.in_turn(slot);
        Ok(())
    }

    fn reset_by_client(&mut self, id: u32, code: Code) -> Result<(), ConnectionError> {
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("a reset of no stream"));
        }
        let Some(slot) = self.slots.find(id) else {
            return Ok(());
        };
        let Some(stream) = self.slots.get(slot).filter(|stream| !stream.is_closed()) else {
            return Ok(());
        };
        let is_new = stream.is_new;
        self.give_up(slot, Gone::ByClient(code));
        if is_new {
            // Nobody has looked at it, which cost little; but not nothing (CVE-2023-44487).
            self.pending_resets += 1;
            if self.pending_resets > self.pending_resets_max {
                let why = "too many requests that are taken back at once";
                return Err(ConnectionError::new(Code::ENHANCE_YOUR_CALM, why));
            }
        }
        Ok(())
    }

    fn data(
        &mut self,
        id: u32,
        data: &[u8],
        flow_bytes: usize,
        is_end: bool,
    ) -> Result<(), ConnectionError> {
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("data of no stream"));
        }
        if !self.window_in.take(flow_bytes) {
            let why = "more data than the connection's window has room for";
            return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
        }
        if data.is_empty() && !is_end {
            self.empty_data += 1;
            if self.empty_data > EMPTY_DATA_MAX {
                let why = "too much data without any";
                return Err(ConnectionError::new(Code::ENHANCE_YOUR_CALM, why));
            }
        }
        let Some(slot) = self.slots.find(id) else {
            self.give_back(flow_bytes);
            return match self.slots.closed(id) {
                Some(Closed::ByUs) => Ok(()),
                Some(Closed::Known) => Err(closed()),
                // Of long ago, or left out.
                None => {
                    let why = "data of a stream that is closed";
                    self.fault_of_new(StreamError::new(id, Code::STREAM_CLOSED, why))
                }
            };
        };
        let Some(stream) = self.slots.get(slot) else {
            return Ok(());
        };
        let fault = match stream.gone {
            Some(Gone::ByUs(_)) => {
                self.give_back(flow_bytes);
                return Ok(());
            }
            Some(_) => return Err(closed()),
            None if stream.is_closed() => return Err(closed()),
            None if stream.is_heard => Some((Code::STREAM_CLOSED, "data after the end")),
            None if !stream.body_window.take(flow_bytes) => {
                let why = "more data than the stream's window has room for";
                Some((Code::FLOW_CONTROL_ERROR, why))
            }
            None => shorten(&mut stream.body_left, data.len(), is_end)
                .map(|why| (Code::PROTOCOL_ERROR, why)),
        };
        if let Some((code, why)) = fault {
            self.give_back(flow_bytes);
            return self.fault(StreamError::new(id, code, why));
        }
        if stream.has_handle {
            // Together, whatever its frames: each of them by itself would cost more than what it carries.
            stream.body.extend_from_slice(data);
        }
        let unread = if stream.has_handle {
            flow_bytes - data.len()
        } else {
            flow_bytes
        };
        stream.is_heard = is_end;
        stream.wake();
        if is_end {
            self.give_back(unread);
            self.close_if_done(slot);
        } else {
            self.was_read(slot, unread);
        }
        Ok(())
    }

    /// What has come of a body; nothing once that was all.
    pub(crate) fn poll_body(
        &mut self,
        slot: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, Gone>>> {
        let Some(stream) = self.slots.get(slot) else {
            return Poll::Ready(Some(Err(Gone::Connection)));
        };
        if !stream.body.is_empty() {
            let length = stream.body.len().min(PIECE_BYTES_MAX);
            let piece = stream.body.split_to(length).freeze();
            self.was_read(slot, length);
            return Poll::Ready(Some(Ok(piece)));
        }
        if stream.is_heard {
            return Poll::Ready(None);
        }
        if let Some(gone) = stream.gone {
            return Poll::Ready(Some(Err(gone)));
        }
        stream.wait(context.waker());
        Poll::Pending
    }

    /// Whether all of a body has come and was read.
    pub(crate) fn is_body_over(&mut self, slot: usize) -> bool {
        let stream = self.slots.get(slot);
        stream.is_none_or(|stream| stream.is_heard && stream.body.is_empty())
    }

    /// There is room for so much more of a stream's body.
    pub(super) fn was_read(&mut self, slot: usize, bytes: usize) {
        self.give_back(bytes);
        let Some(stream) = self.slots.get(slot) else {
            return;
        };
        stream.body_untold += bytes;
        if stream.is_heard || stream.gone.is_some() || stream.body_untold < STREAM_UNTOLD_BYTES {
            return;
        }
        let told = told(&mut stream.body_untold, &mut stream.body_window);
        let id = stream.id;
        self.out.put(|out| frame::put_window_update(out, id, told));
        self.nudge();
    }

    /// There is room for so much more of all bodies.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.untold += bytes;
        if self.untold < UNTOLD_BYTES || self.is_over {
            return;
        }
        let told = told(&mut self.untold, &mut self.window_in);
        self.out.put(|out| frame::put_window_update(out, 0, told));
        self.nudge();
    }
}

/// Gives a window what was read of it.
fn told(untold: &mut usize, window: &mut mcsp_edge_h2_wire::Window) -> u32 {
    // Never more than was in the window, which is far less than a window may be.
    let bytes = u32::try_from(std::mem::take(untold)).unwrap_or(0);
    let _ = window.grow(bytes);
    bytes
}

/// Counts what has come of a body against what was said to come (section 8.1.1).
pub(super) fn shorten(left: &mut Option<u64>, bytes: usize, is_end: bool) -> Option<&'static str> {
    let Some(left) = left else {
        return None;
    };
    match left.checked_sub(bytes as u64) {
        None => Some("more data than content-length says"),
        Some(1..) if is_end => Some("less data than content-length says"),
        Some(rest) => {
            *left = rest;
            None
        }
    }
}

fn closed() -> ConnectionError {
    ConnectionError::new(Code::STREAM_CLOSED, "a frame of a stream that is closed")
}

fn too_large() -> ConnectionError {
    let why = "a window of more than 2^31-1 bytes";
    ConnectionError::new(Code::FLOW_CONTROL_ERROR, why)
}
