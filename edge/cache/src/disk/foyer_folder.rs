//! A folder with foyer's block engine in it: opened, probed, checked, and not opened again before it is at rest.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::config::DiskConfig;
use super::folder::{self, Folder, Layout};
use super::foyer_store::FoyerStore;
use super::medium::{Medium, MediumError, RecordStore, Trouble};

/// How long a start may take to find what is on the disk.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
/// Threads that may wait for the disk at once.
const THREADS_MAX: usize = 32;
/// Threads that check and copy what was read and is to be written.
const WORKERS: usize = 2;

/// A folder with foyer's block engine in it.
#[derive(Debug)]
pub struct FoyerFolder {
    dir: PathBuf,
    layout: Layout,
    /// The folder that is held, while it is; for checks.
    held: Mutex<std::sync::Weak<Folder>>,
    /// How many stores were opened and are not at rest yet.
    open: Arc<watch::Sender<usize>>,
    /// One probe or check at a time: a disk that never answers keeps one thread, not one for each question.
    question: Arc<Semaphore>,
}

impl FoyerFolder {
    /// The folder of `config`. Its content is removed when it was written under another `lineage`: whoever lost the
    /// purge history that goes with the content must not serve it.
    #[must_use]
    pub fn new(config: &DiskConfig, lineage: u128) -> Self {
        Self {
            dir: config.dir.clone(),
            layout: Layout::new(config.bytes, lineage),
            held: Mutex::default(),
            open: Arc::new(watch::Sender::new(0)),
            question: Arc::new(Semaphore::new(1)),
        }
    }

    fn failed(&self, reason: impl ToString) -> MediumError {
        MediumError::failed(&self.dir, reason)
    }

    /// Runs what blocks its thread on a thread that may be blocked, once what was asked before is answered.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, MediumError> + Send + 'static,
    ) -> Result<T, MediumError> {
        // Another question may just be on its way to a disk that is well. Whoever asks has a deadline, and with it the disk.
        let permit = Arc::clone(&self.question)
            .acquire_owned()
            .await
            .map_err(|error| self.failed(error))?;
        let asked = move || {
            let outcome = act();
            drop(permit);
            outcome
        };
        match tokio::task::spawn_blocking(asked).await {
            Ok(outcome) => outcome,
            Err(error) => Err(self.failed(error)),
        }
    }
}

#[async_trait]
impl Medium for FoyerFolder {
    async fn open(&self) -> Result<Arc<dyn RecordStore>, MediumError> {
        if *self.open.borrow() > 0 {
            return Err(self.failed("the disk is still at work on what it was asked before"));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(THREADS_MAX)
            .thread_name("edge-disk")
            .enable_time()
            .build()
            .map_err(|error| self.failed(error))?;
        let mut store = FoyerStore::new(self.dir.clone(), runtime, &self.open)?;
        let opened = tokio::time::timeout(OPEN_TIMEOUT, store.start(self.layout)).await;
        let folder = opened.map_err(|_| MediumError {
            trouble: Trouble::Slow,
            ..self.failed(format!("not open after {} s", OPEN_TIMEOUT.as_secs()))
        })??;
        *self.held.lock() = Arc::downgrade(&folder);
        Ok(Arc::new(store))
    }

    async fn probe(&self) -> Result<(), MediumError> {
        let dir = self.dir.clone();
        self.on_a_thread(move || folder::probe(&dir)).await
    }

    async fn check(&self) -> Result<u64, MediumError> {
        let Some(folder) = self.held.lock().upgrade() else {
            return Err(self.failed("it is not open"));
        };
        self.on_a_thread(move || folder.check()).await
    }

    async fn released(&self) {
        // The sender is held by `self`.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;

    /// The writer probes when it lost something, and the upkeep looks at the folder when it is time to: neither knows of the
    /// other.
    #[tokio::test]
    async fn a_question_waits_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(FoyerFolder::new(&DiskConfig::in_dir(dir.path()), 1));
        let (answer, answered) = mpsc::channel();
        let (asked, is_asked) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let folder = Arc::clone(&folder);
            async move {
                folder
                    .on_a_thread(move || {
                        let _ = asked.send(());
                        answered
                            .recv()
                            .map_err(|error| MediumError::failed(Path::new(""), error))
                    })
                    .await
            }
        });
        is_asked.await.unwrap();
        let mut second = std::pin::pin!(folder.probe());
        let early = futures::poll!(second.as_mut());
        assert!(early.is_pending(), "{early:?}");
        answer.send(()).unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap();
    }
}
