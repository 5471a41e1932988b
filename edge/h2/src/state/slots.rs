//! The streams of one connection.

use super::stream::Stream;

/// Streams that we reset and of which is known that we did: of these, frames may still come.
const BY_US_MAX: usize = 256;
/// Other streams that are closed and of which is known how.
const KNOWN_MAX: usize = 64;

/// How a stream that is not there any more was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Both sides had said all, or the client reset it: it knows.
    Known,
    /// We reset it, or never looked at it: what the client had sent before it knew is passed over.
    ByUs,
}

/// Places for streams. There are few, so that looking through their numbers costs less than a table by hash.
#[derive(Debug, Default)]
pub(super) struct Slots {
    ids: Vec<u32>,
    streams: Vec<Stream>,
    free: Vec<usize>,
    /// Streams that are not closed.
    open: u32,
    by_us: Ring<BY_US_MAX>,
    known: Ring<KNOWN_MAX>,
}

/// The last so many streams.
#[derive(Debug, Default)]
struct Ring<const MAX: usize> {
    ids: Vec<u32>,
    next: usize,
}

impl<const MAX: usize> Ring<MAX> {
    fn push(&mut self, id: u32) {
        if self.ids.len() < MAX {
            self.ids.push(id);
        } else if let Some(place) = self.ids.get_mut(self.next) {
            *place = id;
            self.next = (self.next + 1) % MAX;
        }
    }
}

impl Slots {
    /// Streams that are not closed.
    pub(super) const fn open(&self) -> u32 {
        self.open
    }

    pub(super) fn find(&self, id: u32) -> Option<usize> {
        self.ids.iter().position(|other| *other == id)
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Stream> {
        self.streams.get_mut(slot).filter(|stream| stream.id != 0)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut().filter(|stream| stream.id != 0)
    }

    /// How many places there are.
    pub(super) const fn places(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn insert(&mut self, stream: Stream) -> usize {
        self.open += 1;
        match self.free.pop() {
            Some(slot) => {
                if let (Some(id), Some(place)) =
                    (self.ids.get_mut(slot), self.streams.get_mut(slot))
                {
                    *id = stream.id;
                    *place = stream;
                }
                slot
            }
            None => {
                self.ids.push(stream.id);
                self.streams.push(stream);
                self.streams.len() - 1
            }
        }
    }

    /// The stream has just been closed.
    pub(super) fn close(&mut self, id: u32, how: Closed) {
        self.open -= 1;
        self.note(id, how);
    }

    /// A stream that never had a place here.
    pub(super) fn note(&mut self, id: u32, how: Closed) {
        match how {
            Closed::ByUs => self.by_us.push(id),
            Closed::Known => self.known.push(id),
        }
    }

    /// How a stream that is not here was closed, if that is still known.
    pub(super) fn closed(&self, id: u32) -> Option<Closed> {
        if self.by_us.ids.contains(&id) {
            return Some(Closed::ByUs);
        }
        self.known.ids.contains(&id).then_some(Closed::Known)
    }

    /// Makes room, if it is closed and nobody holds it.
    pub(super) fn free(&mut self, slot: usize) {
        let Some(stream) = self.get(slot) else {
            return;
        };
        if stream.has_handle || !stream.is_closed() {
            return;
        }
        stream.id = 0;
        // What is large goes at once, not when the place is taken again.
        stream.body = bytes::BytesMut::new();
        stream.queue.clear();
        stream.waker = None;
        if let Some(id) = self.ids.get_mut(slot) {
            *id = 0;
        }
        self.free.push(slot);
    }
}
