//! Each encoder in a thread of its own, so that renditions are encoded side by side. An encoder that need not share its
//! pictures among threads itself takes less time in all.
//!
//! One decode feeds all of them at the pace of the slowest, less what may wait for it. What waits is bounded in bytes
//! over all encoders: the slow ones take that room up, so the quick ones run ahead by as much and end first.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use ffmpeg_next::frame;
use mcsp_media_package::RenditionInfo;
use mcsp_media_sandbox::JobError;

use crate::x264::VideoOutput;

/// Pictures that wait for the encoders of a pass, bytes: some two seconds of 1080p.
const WAITING_BYTES_MAX: usize = 192 << 20;
/// Pictures that wait for one of several encoders.
const WAITING_PICTURES_MAX: usize = 256;
/// Pictures that wait for an encoder that has no other to be ahead of: enough to even out key frames.
const WAITING_ALONE_MAX: usize = 4;

/// What came of an encoder: the rendition's id, and the rendition.
pub(crate) type Ended = (String, Result<RenditionInfo, JobError>);

enum Message {
    Picture(frame::Video, Seat),
    /// No more; the last picture stands until this time.
    End(u64),
}

/// The encoders of a pass. One that fails leaves the others alone.
pub(crate) struct EncodeThreads {
    /// None of those that have failed.
    inputs: Vec<Option<SyncSender<Message>>>,
    ids: Vec<String>,
    ended: Receiver<Ended>,
    room: Arc<Room>,
}

impl EncodeThreads {
    /// Starts a thread for each encoder; one that could not be opened has failed.
    pub(crate) fn start(
        outputs: Vec<(String, Result<VideoOutput, JobError>)>,
    ) -> Result<Self, JobError> {
        let ids = outputs.iter().map(|(id, _)| id.clone()).collect();
        let (tell, ended) = sync_channel(outputs.len().max(1));
        let mut inputs = Vec::with_capacity(outputs.len());
        let waiting_max = if outputs.len() > 1 {
            WAITING_PICTURES_MAX
        } else {
            WAITING_ALONE_MAX
        };
        for (id, output) in outputs {
            let tell = tell.clone();
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    // There is a place for each.
                    let _ = tell.send((id, Err(error)));
                    inputs.push(None);
                    continue;
                }
            };
            let (messages, received) = sync_channel(waiting_max);
            thread::Builder::new()
                .name("encoder".into())
                .spawn(move || {
                    let result = encode_all(output, received);
                    let _ = tell.send((id, result));
                })
                .map_err(JobError::failed)?;
            inputs.push(Some(messages));
        }
        Ok(Self {
            inputs,
            ids,
            ended,
            room: Room::new(WAITING_BYTES_MAX),
        })
    }

    /// Hands a picture to the encoder of this rank; waits while too much waits already. An encoder that has failed takes
    /// nothing.
    pub(crate) fn push(&mut self, rank: usize, picture: frame::Video) {
        let Some(input) = self.inputs.get_mut(rank) else {
            return;
        };
        if let Some(messages) = input {
            let seat = Room::take(&self.room, bytes_of(&picture));
            if messages.send(Message::Picture(picture, seat)).is_err() {
                *input = None;
            }
        }
    }

    /// Has every encoder failed?
    pub(crate) fn are_all_gone(&self) -> bool {
        self.inputs.iter().all(Option::is_none)
    }

    /// Says that no picture follows; the last one stands until `end_ticks`.
    pub(crate) fn end(&mut self, end_ticks: u64) {
        for messages in self.inputs.drain(..).flatten() {
            // One that is gone has said why.
            let _ = messages.send(Message::End(end_ticks));
        }
    }

    /// What came of each encoder, in the order in which they end. To be called after [`Self::end`].
    pub(crate) fn ended(self) -> impl Iterator<Item = Ended> {
        let Self {
            inputs, ids, ended, ..
        } = self;
        drop(inputs);
        let mut missing = ids;
        std::iter::from_fn(move || {
            if let Ok((id, result)) = ended.recv() {
                missing.retain(|other| *other != id);
                return Some((id, result));
            }
            // All threads are gone.
            let panicked = JobError::failed("an encoder's thread panicked");
            missing.pop().map(|id| (id, Err(panicked)))
        })
    }
}

fn encode_all(
    mut output: VideoOutput,
    received: Receiver<Message>,
) -> Result<RenditionInfo, JobError> {
    loop {
        match received.recv() {
            Ok(Message::Picture(mut picture, _seat)) => output.encode(&mut picture)?,
            Ok(Message::End(end_ticks)) => return output.finish(end_ticks),
            Err(_) => return Err(JobError::failed("the pass ended before its encoder")),
        }
    }
}

fn bytes_of(picture: &frame::Video) -> usize {
    (0..picture.planes())
        .map(|plane| picture.data(plane).len())
        .sum()
}

/// Room for what waits. A picture that is larger than all of it gets it when nothing else waits.
struct Room {
    bytes_max: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

impl Room {
    fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: Mutex::new(0),
            freed: Condvar::new(),
        })
    }

    fn used(&self) -> MutexGuard<'_, usize> {
        // A number is never half written.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room; whoever has some gives it back as it encodes or fails.
    fn take(room: &Arc<Self>, bytes: usize) -> Seat {
        let is_full = |used: &mut usize| *used > 0 && *used + bytes > room.bytes_max;
        let mut used = room
            .freed
            .wait_while(room.used(), is_full)
            .unwrap_or_else(PoisonError::into_inner);
        *used += bytes;
        drop(used);
        Seat {
            room: Arc::clone(room),
            bytes,
        }
    }
}

/// Bytes of the room, given back with this value.
struct Seat {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.room.used() -= self.bytes;
        self.room.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_a_large_picture_gets_through_alone() {
        let room = Room::new(100);
        let first = Room::take(&room, 60);
        let (tell, told) = channel();
        let waiting = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                drop(Room::take(&room, 60));
                tell.send("second").unwrap();
                drop(Room::take(&room, 1000));
                tell.send("larger than all").unwrap();
            })
        };
        let early = told.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(RecvTimeoutError::Timeout), "there is no room");
        drop(first);
        let patience = Duration::from_secs(60);
        assert_eq!(told.recv_timeout(patience), Ok("second"));
        assert_eq!(told.recv_timeout(patience), Ok("larger than all"));
        waiting.join().unwrap();
        assert_eq!(*room.used(), 0);
    }
}
