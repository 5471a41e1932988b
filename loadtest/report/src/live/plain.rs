//! A line now and then, where there is no terminal.

use std::io::{self, Write};

use super::frame::{ChaosState, LiveFrame};
use crate::number::{Unit, clock, count};
use crate::terminal::plain;

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
    pub fn update(&mut self, live: &LiveFrame) -> io::Result<()> {
        if live.elapsed_s < self.next_s {
            return Ok(());
        }
        self.next_s = live.elapsed_s + EVERY_S;
        writeln!(self.out, "{}", line(live))?;
        self.out.flush()
    }
}

fn line(live: &LiveFrame) -> String {
    let ms = |value| Unit::Milliseconds.show_some(value);
    let mut parts = vec![
        format!(
            "{} of {} {}",
            clock(live.elapsed_s),
            clock(live.duration_s),
            live.stage.name()
        ),
        format!("{} users", count(live.users)),
        format!("start-up p95 {}", ms(live.startup_p95_ms)),
        format!("rebuffer {}", Unit::Ratio.show_some(live.rebuffer_ratio)),
        format!("{} requests", Unit::PerS.show(live.requests_per_s)),
        format!("p99 {}", ms(live.latency_p99_ms)),
        format!("{} errors", Unit::PerS.show(live.errors_per_s)),
        format!("hits {}", Unit::Ratio.show_some(live.hit_ratio)),
    ];
    for chaos in &live.chaos {
        match &chaos.state {
            ChaosState::On(_) => parts.push(format!("chaos: {}", chaos.what)),
            ChaosState::Failed(why) => parts.push(format!("chaos: {} failed: {why}", chaos.what)),
            ChaosState::Ahead(_) | ChaosState::Over => {}
        }
    }
    for finding in &live.findings {
        parts.push(format!("{} × {}", count(finding.count), finding.kind));
    }
    for worker in &live.workers {
        let lost = worker.lost.as_ref();
        parts.extend(lost.map(|why| format!("lost {}: {why}", worker.name)));
    }
    plain(&parts.join(", "))
}
