//! A line now and then, where there is no terminal.

use std::io::{self, Write};

use super::frame::LiveFrame;

/// Between two lines, s of the run's time.
const EVERY_S: f64 = 5.0;

/// Writes a line about every five seconds: for logs, and for output that is no terminal.
#[derive(Debug)]
pub struct PlainView<W: Write> {
    out: W,
    next_s: f64,
}

impl<W: Write> PlainView<W> {
    /// Writes to `out`, the first line at once.
    pub fn new(out: W) -> Self {
        Self {
            out,
            next_s: f64::MIN,
        }
    }

    /// Writes a line if it is time for one.
    ///
    /// # Errors
    /// What `out` says.
    pub fn update(&mut self, frame: &LiveFrame) -> io::Result<()> {
        if frame.elapsed_s < self.next_s {
            return Ok(());
        }
        self.next_s = frame.elapsed_s + EVERY_S;
        writeln!(self.out, "{:.0} s", frame.elapsed_s)?;
        self.out.flush()
    }
}
