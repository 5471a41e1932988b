//! Where lines go: to standard error, many at a time, by a thread of its own.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(10);
/// Lines that wait to be written, bytes. Beyond that standard error is stuck, and further lines are counted and dropped:
/// a log must not stop service.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// How long [`AccessLog::flush`] waits at most.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The access log's way out. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Lines have come.
    arrived: Condvar,
    /// Lines have been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_writing: bool,
}

impl AccessLog {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with("access-log", io::stderr())
    }

    /// Starts a thread of this name that writes to `out`.
    pub(crate) fn start_with(name: &str, mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let log = Self {
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut lines = Vec::new();
                loop {
                    shared.take(&mut lines);
                    // A log that cannot be written has nowhere to say so.
                    let _ = out.write_all(&lines);
                    lines.clear();
                    shared.done();
                    thread::sleep(GATHER);
                }
            })?;
        Ok(log)
    }

    /// Adds a line, its end included. Returns how many lines were dropped so far.
    pub(crate) fn add(&self, line: &[u8]) -> u64 {
        let mut state = self.shared.state.lock();
        if state.waiting.len() + line.len() > WAITING_BYTES_MAX {
            state.dropped += 1;
            return state.dropped;
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        let dropped = state.dropped;
        drop(state);
        if was_empty {
            self.shared.arrived.notify_one();
        }
        dropped
    }

    /// Waits until what was added is written, a bounded time. Blocks.
    pub fn flush(&self) {
        let mut state = self.shared.state.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        // Running out of time means that standard error is stuck; then there is nothing more to do.
        let _ = self
            .shared
            .written
            .wait_while_for(&mut state, is_busy, FLUSH_WAIT_MAX);
    }
}

impl Shared {
    fn take(&self, lines: &mut Vec<u8>) {
        let mut state = self.state.lock();
        self.arrived
            .wait_while(&mut state, |state| state.waiting.is_empty());
        std::mem::swap(lines, &mut state.waiting);
        state.is_writing = true;
    }

    fn done(&self) {
        self.state.lock().is_writing = false;
        self.written.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order() {
        let captured = Captured::default();
        let log = AccessLog::start_with("test", captured.clone()).unwrap();
        let mut wanted = String::new();
        for number in 0..1000 {
            let line = format!("{number}\n");
            log.add(line.as_bytes());
            wanted.push_str(&line);
        }
        log.flush();
        assert_eq!(
            String::from_utf8(captured.0.lock().clone()).unwrap(),
            wanted
        );
    }

    /// Never comes back.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_drops_lines_and_counts_them() {
        let log = AccessLog::start_with("test", Stuck).unwrap();
        let line = vec![b'x'; 1 << 20];
        let dropped = (0..32).map(|_| log.add(&line)).max().unwrap();
        assert!((15..=24).contains(&dropped), "{dropped}");
    }
}
