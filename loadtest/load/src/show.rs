//! What a person sees while a run lasts.

use std::io::{IsTerminal as _, Stderr};

use mcsp_loadtest_report::{LiveAction, LiveFrame, LiveView, PlainView};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::LoadError;

/// What the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That it goes on.
    GoOn,
    /// An end.
    Stop,
}

/// What is shown while a run lasts, on standard error: a live view on a terminal, a line now and then elsewhere, or nothing.
#[derive(Debug)]
pub(crate) struct Show {
    view: View,
    interrupt: Signal,
    terminate: Signal,
}

#[derive(Debug)]
enum View {
    Live(Box<LiveView>),
    Plain(PlainView<Stderr>),
    Nothing,
}

/// Whether colours are wanted where a terminal is (<https://no-color.org>).
pub(crate) fn has_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Show {
    /// Listens for Ctrl-C and SIGTERM: from now on they do not end the process. Nothing is shown yet.
    ///
    /// # Errors
    /// When the system does not tell of signals.
    pub(crate) fn new() -> Result<Self, LoadError> {
        let listen = |kind| signal(kind).map_err(|error| LoadError::system("signals", error));
        Ok(Self {
            view: View::Nothing,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Begins to show. Only then, since lines that others write would be all over a live view.
    pub(crate) fn begin(&mut self) {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        self.view = match is_terminal.then(|| LiveView::open(has_colour())) {
            Some(Ok(live)) => View::Live(Box::new(live)),
            _ => View::Plain(PlainView::new(std::io::stderr())),
        };
    }

    /// Shows a moment; what the person wants.
    pub(crate) fn update(&mut self, frame: &LiveFrame) -> Wish {
        let shown = match &mut self.view {
            View::Live(live) => live.update(frame),
            View::Plain(plain) => plain.update(frame).map(|()| LiveAction::GoOn),
            View::Nothing => Ok(LiveAction::GoOn),
        };
        // A terminal that is gone is no reason to end a measurement.
        if shown.is_err() {
            self.view = View::Nothing;
        }
        if shown.is_ok_and(|action| action == LiveAction::Stop) || self.is_signalled() {
            Wish::Stop
        } else {
            Wish::GoOn
        }
    }

    /// Whether a signal came since this was last asked.
    pub(crate) fn is_signalled(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let is_ready = |signal: &mut Signal, context: &mut std::task::Context<'_>| {
            signal.poll_recv(context).is_ready()
        };
        is_ready(&mut self.interrupt, &mut context) | is_ready(&mut self.terminate, &mut context)
    }
}
