//! Answers on their way out.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mcsp_edge_h2_wire::Code;
use mcsp_edge_h2_wire::frame::{put_data_head, put_headers};

use super::State;
use super::output::Output;
use super::stream::{Ending, Gone};
use crate::fields::AnswerFields;

/// A frame of this many bytes fills with its own 9 one TLS record (RFC 8446 section 5.1), where one of 16 384 would take
/// two; and four of them, where the client takes frames as large.
const FRAME_BYTES: usize = (16 << 10) - 9;
const LARGE_FRAME_BYTES: usize = (64 << 10) - 9;

/// Frames are made until there is as much to write: enough for a write, little enough that what is urgent need not wait long.
const OUTPUT_BYTES: usize = 128 << 10;

/// What of one answer waits here at most, where its handler asks for room.
const STREAM_BYTES_MAX: usize = 512 << 10;

/// What has room in the client's windows and has not left. A client that gives room and reads nothing keeps no more than
/// this here, however many streams it opens, beside answers that are handed over at once.
pub(super) const WAITING_BYTES_MAX: usize = 2 << 20;
/// Those who wait go on from here: all of them at once, so not for every frame that leaves.
const WAITING_BYTES_LESS: usize = WAITING_BYTES_MAX / 2;

impl State {
    /// Sends a head, final unless its status is 1xx.
    pub(crate) fn head(
        &mut self,
        slot: usize,
        status: StatusCode,
        fields: &impl AnswerFields,
        is_end: bool,
    ) -> Result<(), Gone> {
        let stream = self.slots.get(slot).ok_or(Gone::Connection)?;
        if let Some(gone) = stream.gone {
            return Err(gone);
        }
        stream.is_said = is_end;
        let id = stream.id;
        self.put_fields(id, is_end, Some(status), fields);
        if is_end {
            self.close_if_done(slot);
        }
        self.nudge();
        Ok(())
    }

    fn put_fields(
        &mut self,
        id: u32,
        is_end: bool,
        status: Option<StatusCode>,
        fields: &impl AnswerFields,
    ) {
        let (encoder, frame_bytes) = (&mut self.encoder, self.frame_bytes);
        self.out.put(|out| {
            put_headers(out, id, is_end, frame_bytes, |out| {
                let mut block = encoder.block(out);
                if let Some(status) = status {
                    block.status(status);
                }
                fields.append_to(&mut block);
            });
        });
    }

    /// Hands data over. `has_room`: it was promised by [`poll_room`](Self::poll_room).
    pub(crate) fn data_out(
        &mut self,
        slot: usize,
        data: Bytes,
        is_end: bool,
        has_room: bool,
    ) -> Result<(), Gone> {
        let stream = self.slots.get(slot).ok_or(Gone::Connection)?;
        if let Some(gone) = stream.gone {
            return Err(gone);
        }
        if !data.is_empty() {
            stream.queued += data.len();
            if has_room {
                stream.reserved += data.len();
                self.reserved += data.len();
                self.is_full |= self.reserved >= WAITING_BYTES_MAX;
            }
            stream.queue.push_back(data);
        }
        if is_end {
            stream.ending = Ending::End;
        }
        self.in_turn(slot);
        self.nudge();
        Ok(())
    }

    /// Ends an answer with trailers.
    pub(crate) fn trailers_out(&mut self, slot: usize, trailers: HeaderMap) -> Result<(), Gone> {
        let stream = self.slots.get(slot).ok_or(Gone::Connection)?;
        if let Some(gone) = stream.gone {
            return Err(gone);
        }
        stream.ending = Ending::Trailers(Box::new(trailers));
        self.in_turn(slot);
        self.nudge();
        Ok(())
    }

    /// How many bytes may be handed over, at least one. They have room in the client's windows, so that they leave as the
    /// client reads, and whoever waits for others' to leave does not wait for itself.
    pub(crate) fn poll_room(
        &mut self,
        slot: usize,
        context: &Context<'_>,
    ) -> Poll<Result<usize, Gone>> {
        let left = self.window.room().saturating_sub(self.reserved);
        let others = self.others_who_wait(slot, left);
        let share = match others {
            0 => usize::MAX,
            others => ((left + self.reserved) / (others + 1)).max(FRAME_BYTES),
        };
        let is_full = self.is_full;
        let Some(stream) = self.slots.get(slot) else {
            return Poll::Ready(Err(Gone::Connection));
        };
        if let Some(gone) = stream.gone {
            return Poll::Ready(Err(gone));
        }
        let room = left
            .min(stream.window.room().saturating_sub(stream.queued))
            .min(STREAM_BYTES_MAX.saturating_sub(stream.queued))
            .min(share.saturating_sub(stream.reserved));
        if room > 0 && !is_full {
            stream.waits_for_room = false;
            return Poll::Ready(Ok(room));
        }
        stream.waits_for_room = true;
        stream.wait(context.waker());
        Poll::Pending
    }

    /// How many others wait for room in the connection's window. Of no interest while there is enough for everybody.
    fn others_who_wait(&mut self, slot: usize, left: usize) -> usize {
        if left >= WAITING_BYTES_MAX {
            return 0;
        }
        let own = self.slots.get(slot).map_or(0, |stream| stream.id);
        let others = self.slots.all();
        others
            .filter(|stream| stream.waits_for_room && stream.id != own)
            .count()
    }

    /// There may be room for those who wait for it.
    pub(super) fn wake_writers(&mut self) {
        for stream in self.slots.all() {
            if stream.waits_for_room {
                stream.wake();
            }
        }
    }

    pub(super) fn unreserve(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(bytes);
        if self.is_full && self.reserved < WAITING_BYTES_LESS {
            self.is_full = false;
            self.wake_writers();
        }
    }

    /// A stream that has a frame to send gets its turn.
    pub(super) fn in_turn(&mut self, slot: usize) {
        if let Some(stream) = self.slots.get(slot)
            && stream.has_frame()
            && !stream.is_in_turn
        {
            stream.is_in_turn = true;
            self.turns.push_back((slot, stream.id));
        }
    }

    pub(super) fn all_in_turn(&mut self) {
        for slot in 0..self.slots.places() {
            self.in_turn(slot);
        }
    }

    /// Makes frames of what waits, each stream in its turn, and gives them out in place of `written`, which is empty.
    pub(crate) fn fill(&mut self, written: &mut Output) {
        self.the_loop.has_work = false;
        // Streams that have found the connection's window closed.
        let mut blocked = 0;
        while self.out.len() < OUTPUT_BYTES && blocked < self.turns.len() {
            let Some((slot, id)) = self.turns.pop_front() else {
                break;
            };
            match self.turn(slot, id) {
                Turn::Over => blocked = 0,
                Turn::More => {
                    blocked = 0;
                    self.turns.push_back((slot, id));
                }
                Turn::Blocked => {
                    blocked += 1;
                    self.turns.push_back((slot, id));
                }
            }
        }
        std::mem::swap(&mut self.out, written);
    }

    /// One frame of one stream.
    fn turn(&mut self, slot: usize, id: u32) -> Turn {
        let frame_bytes = if self.frame_bytes >= LARGE_FRAME_BYTES {
            LARGE_FRAME_BYTES
        } else {
            FRAME_BYTES
        };
        let window = self.window.room();
        let Some(stream) = self.slots.get(slot).filter(|stream| stream.id == id) else {
            return Turn::Over;
        };
        if !stream.has_frame() {
            stream.is_in_turn = false;
            return Turn::Over;
        }
        let length = stream
            .queued
            .min(frame_bytes)
            .min(stream.window.room())
            .min(window);
        if length == 0 && stream.queued > 0 {
            if stream.window.room() > 0 {
                return Turn::Blocked;
            }
            // Until its window grows.
            stream.is_in_turn = false;
            return Turn::Over;
        }
        let is_last = length == stream.queued;
        let ending = if is_last {
            std::mem::take(&mut stream.ending)
        } else {
            Ending::Open
        };
        let is_end = matches!(ending, Ending::End);
        if length > 0 || is_end {
            self.out.put(|out| put_data_head(out, id, length, is_end));
            let mut left = length;
            while left > 0 {
                let Some(mut piece) = stream.queue.pop_front() else {
                    break;
                };
                if piece.len() > left {
                    stream.queue.push_front(piece.split_off(left));
                }
                left -= piece.len();
                self.out.data(piece);
            }
            stream.queued -= length;
            stream.window.take(length);
            self.window.take(length);
        }
        let unreserved = length.min(stream.reserved);
        stream.reserved -= unreserved;
        if stream.waits_for_room && stream.queued < STREAM_BYTES_MAX / 2 {
            stream.wake();
        }
        let is_said = matches!(ending, Ending::End | Ending::Trailers(_));
        stream.is_said = is_said;
        stream.is_in_turn = !is_said && stream.has_frame();
        let is_in_turn = stream.is_in_turn;
        let is_deserted = is_said && !stream.has_handle && !stream.is_heard;
        self.unreserve(unreserved);
        match ending {
            Ending::Open | Ending::End => {}
            Ending::Trailers(trailers) => self.put_fields(id, true, None, &*trailers),
            Ending::Cut => self.reset(slot, Code::CANCEL),
        }
        if is_deserted {
            // Nobody reads the rest of the request (section 8.1).
            self.reset(slot, Code::NO_ERROR);
        } else if is_said {
            self.close_if_done(slot);
        }
        if is_in_turn { Turn::More } else { Turn::Over }
    }
}

/// What became of a stream's turn.
enum Turn {
    /// It has no frame any more, or none that its window has room for.
    Over,
    More,
    /// The connection's window has no room.
    Blocked,
}
