//! Graceful stop: one trigger, many watchers, a deadline that the owner keeps.

use std::io;

use tokio::sync::watch;

/// Pulled once to stop a process's parts.
#[derive(Debug, Clone)]
pub struct ShutdownTrigger {
    sender: watch::Sender<bool>,
}

/// Watched by each part that has to stop.
#[derive(Debug, Clone)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
}

impl ShutdownTrigger {
    /// A trigger and a first watcher; clone the watcher for more.
    #[must_use]
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self { sender }, Shutdown { receiver })
    }

    /// Tells every watcher to stop.
    pub fn trigger(&self) {
        self.sender.send_replace(true);
    }

    /// Waits for SIGTERM or SIGINT, then tells every watcher to stop.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
    pub async fn on_signal(&self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.trigger();
        Ok(())
    }
}

impl Shutdown {
    /// True once the trigger was pulled.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Returns when the trigger was pulled, or when it was dropped.
    pub async fn wait(&self) {
        let mut receiver = self.receiver.clone();
        // An error means that the trigger is gone, which is a stop too.
        let _ = receiver.wait_for(|stop| *stop).await;
    }
}
