//! What creators see while they wait: news of a stage, at a bounded rate, on which nothing depends.
//!
//! Reports go to the log directly, not through the outbox: they need not be exactly once, and must not cost a
//! transaction. Of reports that wait, a stage's latest replaces its earlier ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::ContentId;
use mcsp_api::events::StageProgress;
use mcsp_events::{NewRecord, SharedEventLog, envelope};
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{SERVICE, metrics};

/// Between two reports of one item: at most two a second.
const SPACING: Duration = Duration::from_millis(500);
/// Items that may have reports waiting.
const ITEMS_MAX: usize = 512;
/// How long an append may take.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Where stages report. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    items: Mutex<HashMap<ContentId, Waiting>>,
    added: Notify,
}

#[derive(Debug)]
struct Waiting {
    /// When the next report may go.
    next: Instant,
    /// The latest of each stage, in the order in which stages spoke first.
    reports: Vec<StageProgress>,
}

/// A stage of one item, as it reports.
#[derive(Debug, Clone)]
pub(crate) struct StageReporter {
    progress: Progress,
    content_id: ContentId,
    stage: &'static str,
}

impl StageReporter {
    pub(crate) fn started(&self, note: &str) {
        self.say("started", 0, note);
    }

    /// How far it is, 0 to 1000.
    pub(crate) fn at(&self, permille: u32) {
        self.say("progress", permille.min(1000) / 10, "");
    }

    pub(crate) fn finished(&self, note: &str) {
        self.say("finished", 100, note);
    }

    pub(crate) fn failed(&self, note: &str) {
        self.say("failed", 0, note);
    }

    fn say(&self, state: &str, percent: u32, note: &str) {
        self.progress.add(StageProgress {
            content_id: self.content_id.clone(),
            stage: self.stage.to_owned(),
            state: state.to_owned(),
            percent,
            note: note.to_owned(),
        });
    }
}

impl Progress {
    pub(crate) fn of(&self, content_id: &ContentId, stage: &'static str) -> StageReporter {
        StageReporter {
            progress: self.clone(),
            content_id: content_id.clone(),
            stage,
        }
    }

    fn add(&self, report: StageProgress) {
        let mut items = self.inner.items.lock();
        if items.len() >= ITEMS_MAX && !items.contains_key(&report.content_id) {
            metrics::progress_lost(1);
            return;
        }
        let waiting = items
            .entry(report.content_id.clone())
            .or_insert_with(|| Waiting {
                next: Instant::now(),
                reports: Vec::new(),
            });
        let same_stage = |other: &&mut StageProgress| other.stage == report.stage;
        match waiting.reports.iter_mut().find(same_stage) {
            Some(earlier) => *earlier = report,
            None => waiting.reports.push(report),
        }
        drop(items);
        self.inner.added.notify_one();
    }

    /// Sends what is reported until it is told to stop, and then what is left.
    pub(crate) async fn run(
        self,
        log: SharedEventLog,
        clock: SharedClock,
        entropy: SharedEntropy,
        shutdown: Shutdown,
    ) {
        let send = async |reports: Vec<StageProgress>| {
            let records: Vec<NewRecord> = reports
                .iter()
                .filter_map(|report| envelope::encode(report, SERVICE, &*clock, &*entropy).ok())
                .collect();
            if records.is_empty() {
                return;
            }
            let count = records.len();
            let sent = tokio::time::timeout(APPEND_TIMEOUT, log.append(records)).await;
            if !matches!(sent, Ok(Ok(_))) {
                metrics::progress_lost(count);
            }
        };
        loop {
            let (due, next) = self.take_due(Instant::now());
            send(due).await;
            let pause = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                () = self.inner.added.notified() => {}
                () = pause => {}
            }
        }
        let left = std::mem::take(&mut *self.inner.items.lock());
        let left = left.into_values().flat_map(|waiting| waiting.reports);
        send(left.collect()).await;
    }

    /// One report of each item whose turn it is, and when the next turn is.
    fn take_due(&self, now: Instant) -> (Vec<StageProgress>, Option<Instant>) {
        let mut due = Vec::new();
        let mut items = self.inner.items.lock();
        items.retain(|_, waiting| !waiting.reports.is_empty() || waiting.next > now);
        for waiting in items.values_mut().filter(|waiting| waiting.next <= now) {
            due.push(waiting.reports.remove(0));
            waiting.next = now + SPACING;
        }
        (due, items.values().map(|waiting| waiting.next).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ContentId {
        format!("c_ng_{n:026}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_speaks_twice_a_second_at_most_and_the_latest_of_a_stage_wins() {
        let progress = Progress::default();
        let transcode = progress.of(&id(1), "transcode");
        transcode.started("");
        let (due, _) = progress.take_due(Instant::now());
        assert_eq!(due.len(), 1);
        for permille in 0..900 {
            transcode.at(permille);
        }
        progress.of(&id(1), "art").started("");
        progress.of(&id(2), "transcode").started("");
        let (due, next) = progress.take_due(Instant::now());
        assert_eq!(due.len(), 1, "the other item only");
        assert_eq!(due[0].content_id, id(2));
        tokio::time::advance(SPACING).await;
        assert_eq!(next, Some(Instant::now()));
        let (due, _) = progress.take_due(Instant::now());
        assert_eq!((due.len(), due[0].percent), (1, 89));
        tokio::time::advance(SPACING).await;
        let (due, _) = progress.take_due(Instant::now());
        assert_eq!(due[0].stage, "art");
        tokio::time::advance(SPACING).await;
        assert_eq!(progress.take_due(Instant::now()), (Vec::new(), None));
        let kept = progress.inner.items.lock().len();
        assert_eq!(kept, 0, "nothing is kept of an item that is silent");
    }

    #[tokio::test]
    async fn items_that_wait_are_bounded() {
        let progress = Progress::default();
        for n in 0..ITEMS_MAX + 10 {
            progress.of(&id(n), "art").started("");
        }
        assert_eq!(progress.inner.items.lock().len(), ITEMS_MAX);
    }
}
