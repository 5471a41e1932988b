//! Each encoder in a thread of its own, so that renditions are encoded side by side. An encoder that need not share its
//! pictures among threads itself takes less time in all.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use ffmpeg_next::frame;
use mcsp_media_package::RenditionInfo;
use mcsp_media_sandbox::JobError;

use crate::x264::VideoOutput;

/// Pictures that wait for an encoder: enough to even out key frames.
const QUEUED_MAX: usize = 4;

enum Message {
    Picture(frame::Video),
    /// No more; the last picture stands until this time.
    End(u64),
}

/// An encoder in its thread.
pub(crate) struct EncodeThread {
    messages: SyncSender<Message>,
    thread: JoinHandle<Result<RenditionInfo, JobError>>,
}

impl EncodeThread {
    pub(crate) fn start(output: VideoOutput) -> Result<Self, JobError> {
        let (messages, received) = sync_channel(QUEUED_MAX);
        let thread = thread::Builder::new()
            .name("encoder".into())
            .spawn(move || encode_all(output, &received))
            .map_err(JobError::failed)?;
        Ok(Self { messages, thread })
    }

    /// Hands a picture over; waits while the encoder is behind. False when the encoder has failed, as
    /// [`Self::finish`] will say.
    pub(crate) fn push(&self, picture: frame::Video) -> bool {
        self.messages.send(Message::Picture(picture)).is_ok()
    }

    /// Encodes what is left.
    pub(crate) fn finish(self, end_ticks: u64) -> Result<RenditionInfo, JobError> {
        // A thread that is gone says why below.
        let _ = self.messages.send(Message::End(end_ticks));
        self.thread
            .join()
            .unwrap_or_else(|_| Err(JobError::failed("an encoder's thread panicked")))
    }
}

fn encode_all(
    mut output: VideoOutput,
    received: &Receiver<Message>,
) -> Result<RenditionInfo, JobError> {
    loop {
        match received.recv() {
            Ok(Message::Picture(mut picture)) => output.encode(&mut picture)?,
            Ok(Message::End(end_ticks)) => return output.finish(end_ticks),
            Err(_) => return Err(JobError::failed("the pass ended before its encoder")),
        }
    }
}
