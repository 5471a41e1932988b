//! The terminal that a live view is drawn on.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::draw;
use super::frame::LiveFrame;

/// What the person at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LiveAction {
    /// Nothing.
    GoOn,
    /// An end: `q`, `Esc` or Ctrl-C was pressed.
    Stop,
}

/// The live view on this process's terminal. Dropping it gives the terminal back, and so does a panic, before its message.
#[derive(Debug)]
pub struct LiveView {
    terminal: DefaultTerminal,
    colour: bool,
}

impl LiveView {
    /// Takes the terminal: raw mode, the alternate screen.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn open(colour: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, colour })
    }

    /// Draws, and says what was pressed meanwhile. In raw mode Ctrl-C is a key and no signal: call it, or [`LiveView::pressed`],
    /// twice a second or more, so that who presses it does not wait.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn update(&mut self, live: &LiveFrame) -> io::Result<LiveAction> {
        let colour = self.colour;
        self.terminal.draw(|frame| draw(frame, live, colour))?;
        self.pressed()
    }

    /// What was pressed since it was last asked; does not wait.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn pressed(&mut self) -> io::Result<LiveAction> {
        // As many as a pasted text may have; the rest comes next time.
        for _ in 0..64 {
            if !event::poll(Duration::ZERO)? {
                break;
            }
            if let Event::Key(key) = event::read()?
                && is_stop(&key)
            {
                return Ok(LiveAction::Stop);
            }
        }
        Ok(LiveAction::GoOn)
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn is_stop(key: &KeyEvent) -> bool {
    let is_control_c =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    let is_stop = matches!(key.code, KeyCode::Esc | KeyCode::Char('q')) || is_control_c;
    is_stop && key.kind != KeyEventKind::Release
}
