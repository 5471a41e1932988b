//! Progress that creators see, at a bounded rate. It is no fact that anything depends on: when there is no room or the
//! log is away, it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_api::ContentId;
use mcsp_api::events::StageProgress;
use mcsp_events::SharedEventLog;
use mcsp_media_sandbox::Progress;
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown};
use tokio::sync::{mpsc, oneshot};

use crate::outgoing::Outgoing;

/// Messages that wait.
const QUEUED_MAX: usize = 256;
/// One stage of one item says something at most so often.
const INTERVAL: Duration = Duration::from_millis(500);
/// A stage waits so long for its progress to be written before it says that it is finished.
const FLUSH_MAX: Duration = Duration::from_secs(2);

enum Message {
    Say(StageProgress),
    Flush(oneshot::Sender<()>),
}

/// Where stages say how far they are.
#[derive(Debug, Clone)]
pub(crate) struct ProgressSink {
    sender: mpsc::Sender<Message>,
}

/// Brings what was said to the log.
pub(crate) struct ProgressPump {
    receiver: mpsc::Receiver<Message>,
    log: SharedEventLog,
    clock: SharedClock,
    entropy: SharedEntropy,
}

pub(crate) fn channel(
    log: SharedEventLog,
    clock: SharedClock,
    entropy: SharedEntropy,
) -> (ProgressSink, ProgressPump) {
    let (sender, receiver) = mpsc::channel(QUEUED_MAX);
    (
        ProgressSink { sender },
        ProgressPump {
            receiver,
            log,
            clock,
            entropy,
        },
    )
}

impl ProgressSink {
    /// The stage begins on the item.
    pub(crate) fn started(&self, content_id: &ContentId, stage: &str) {
        self.say(content_id, stage, "started", 0);
    }

    /// A callback for a child's progress, which is passed on every half second at most and when the percentage moved.
    pub(crate) fn of_child(
        self: &Arc<Self>,
        content_id: &ContentId,
        stage: &'static str,
    ) -> impl FnMut(Progress) + Send + 'static {
        let (sink, content_id) = (Arc::clone(self), content_id.clone());
        let mut last: Option<(Instant, u32)> = None;
        move |progress: Progress| {
            let percent = progress.permille / 10;
            let is_due = last.is_none_or(|(at, said)| percent > said && at.elapsed() >= INTERVAL);
            if is_due {
                last = Some((Instant::now(), percent));
                sink.say(&content_id, stage, "progress", percent);
            }
        }
    }

    fn say(&self, content_id: &ContentId, stage: &str, state: &str, percent: u32) {
        let progress = StageProgress {
            content_id: content_id.clone(),
            stage: stage.to_owned(),
            state: state.to_owned(),
            percent,
            note: String::new(),
        };
        // No room: dropped, as said above.
        let _ = self.sender.try_send(Message::Say(progress));
    }

    /// Returns when what was said before is written, or will not be.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if self.sender.send(Message::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        let _ = tokio::time::timeout(FLUSH_MAX, flush).await;
    }
}

impl ProgressPump {
    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut messages = Vec::new();
        loop {
            let received = tokio::select! {
                () = shutdown.wait() => return,
                received = self.receiver.recv_many(&mut messages, QUEUED_MAX) => received,
            };
            if received == 0 {
                return;
            }
            let mut records = Vec::new();
            let mut flushes = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Say(progress) => {
                        let record =
                            Outgoing::Progress(progress).encode(&*self.clock, &*self.entropy);
                        records.extend(record);
                    }
                    Message::Flush(done) => flushes.push(done),
                }
            }
            if !records.is_empty()
                && let Err(error) = self.log.append(records).await
            {
                tracing::debug!(%error, "progress is not written");
            }
            for done in flushes {
                let _ = done.send(());
            }
        }
    }
}
