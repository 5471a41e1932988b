//! The parent's side: start, listen, bound, collect.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::CHILD_SUBCOMMAND;
use crate::job::{Job, JobError};
use crate::protocol::{ChildLine, Confinement, LINE_BYTES_MAX, News, Request};

/// Lines that wait for the supervisor.
const LINES_QUEUED_MAX: usize = 64;
/// How much of the child's standard error is kept for the error message, bytes.
const STDERR_KEPT_BYTES: u64 = 4096;
/// How often the supervisor looks whether its caller still waits.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// Why no output came back.
#[derive(Debug, Error)]
pub enum ChildError {
    /// The job said so: its own reasons.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The child could not be started.
    #[error("child could not be started: {0}")]
    Spawn(io::Error),
    /// It ended without a result: killed by a limit, or crashed on its input.
    #[error("child ended without a result ({status}): {stderr}")]
    Crashed {
        /// How it ended.
        status: String,
        /// The beginning of what it wrote on standard error.
        stderr: String,
    },
    /// It said nothing for too long and was killed.
    #[error("child was silent for {silence_ms} ms and was killed")]
    Silent {
        /// The bound that was reached.
        silence_ms: u64,
    },
    /// It wrote what is no line of ours and was killed.
    #[error("child broke the protocol and was killed: {0}")]
    Protocol(String),
}

impl ChildError {
    /// May the same job succeed later? Only the input's refusal is final.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Job(JobError::Refused { .. }))
    }
}

/// How the child is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: PathBuf,
}

impl Launcher {
    /// Re-executes the running binary with the hidden subcommand, even when the file was replaced by an upgrade meanwhile.
    #[must_use]
    pub fn this_binary() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Executes another binary that knows the subcommand; for tests.
    #[must_use]
    pub fn binary(program: PathBuf) -> Self {
        Self { program }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg0("mcsp-media-child")
            .arg(CHILD_SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// What a child gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished<T> {
    /// The job's output.
    pub output: T,
    /// Processor time that the child spent over all its threads, milliseconds.
    pub cpu_ms: u64,
}

/// Runs a job in a confined child. Dropping the future kills the child. `on_news` is called on the supervisor's thread,
/// in the order of the child's words, and is dropped before the result is there; the child waits while it runs.
///
/// # Errors
/// See [`ChildError`].
pub async fn run<J: Job>(
    launcher: &Launcher,
    input: &J::Input,
    confinement: Confinement,
    silence_ms: u64,
    on_news: impl FnMut(News) + Send + 'static,
) -> Result<Finished<J::Output>, ChildError>
where
    J::Output: 'static,
{
    let request = serde_json::to_value(input)
        .and_then(|input| {
            let request = Request {
                job: J::NAME.into(),
                parent_pid: std::process::id(),
                confinement,
                input,
            };
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            Ok(line)
        })
        .map_err(JobError::failed)?;
    let cancel = CancelOnDrop::default();
    let (answer, result) = oneshot::channel();
    let supervisor = Supervisor {
        launcher: launcher.clone(),
        silence: Duration::from_millis(silence_ms),
        cancelled: Arc::clone(&cancel.0),
        on_news,
    };
    // A thread of its own: the kernel kills the child when the thread that started it ends, and pool threads come and go.
    thread::Builder::new()
        .name("child-supervisor".into())
        .spawn(move || answer.send(supervisor.supervise::<J::Output>(&request)))
        .map_err(ChildError::Spawn)?;
    let result = result.await;
    drop(cancel);
    result.unwrap_or_else(|_| Err(ChildError::Protocol("the supervisor ended early".into())))
}

#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Supervisor<F> {
    launcher: Launcher,
    silence: Duration,
    cancelled: Arc<AtomicBool>,
    on_news: F,
}

impl<F: FnMut(News)> Supervisor<F> {
    fn supervise<T: DeserializeOwned>(mut self, request: &[u8]) -> Result<Finished<T>, ChildError> {
        let mut child = self.launcher.start().map_err(ChildError::Spawn)?;
        let result = self.converse(&mut child, request);
        // Whatever was said: nothing of the child remains.
        let _ = child.kill();
        let status = child.wait();
        match result {
            Ok(Some(ChildLine::Done { output, cpu_ms })) => serde_json::from_value(output)
                .map(|output| Finished { output, cpu_ms })
                .map_err(|error| ChildError::Protocol(error.to_string())),
            Ok(Some(ChildLine::Failed { error })) => Err(ChildError::Job(error)),
            Ok(_) => Err(ChildError::Crashed {
                status: describe(status),
                stderr: stderr_of(&mut child),
            }),
            Err(error) => Err(error),
        }
    }

    /// The last line of the child; none when it ended without one.
    fn converse(
        &mut self,
        child: &mut Child,
        request: &[u8],
    ) -> Result<Option<ChildLine>, ChildError> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ChildError::Spawn(io::Error::other("no pipes")));
        };
        // A child that died at once shows at the reading end.
        let _ = stdin.write_all(request);
        let (lines, received) = sync_channel(LINES_QUEUED_MAX);
        thread::Builder::new()
            .name("child-lines".into())
            .spawn(move || read_lines(stdout, &lines))
            .map_err(ChildError::Spawn)?;
        self.listen(&received)
    }

    fn listen(
        &mut self,
        received: &Receiver<Result<ChildLine, String>>,
    ) -> Result<Option<ChildLine>, ChildError> {
        let mut last_heard = Instant::now();
        loop {
            match received.recv_timeout(CANCEL_POLL) {
                Ok(Ok(ChildLine::Progress { permille })) => {
                    (self.on_news)(News::At(permille.min(1000)));
                    last_heard = Instant::now();
                }
                Ok(Ok(ChildLine::Made { name })) => {
                    (self.on_news)(News::Made(name));
                    last_heard = Instant::now();
                }
                Ok(Ok(last)) => return Ok(Some(last)),
                Ok(Err(wrong)) => return Err(ChildError::Protocol(wrong)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if self.cancelled.load(Ordering::Acquire) {
                        return Err(JobError::failed("nobody waits for the result").into());
                    }
                    if last_heard.elapsed() > self.silence {
                        let silence_ms =
                            u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX);
                        return Err(ChildError::Silent { silence_ms });
                    }
                }
            }
        }
    }
}

/// Reads until the child closes its output, says its last line, or says what is no line of ours.
fn read_lines(stdout: impl Read, lines: &SyncSender<Result<ChildLine, String>>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        let parsed = match reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => serde_json::from_slice::<ChildLine>(&line).map_err(|error| error.to_string()),
        };
        let go_on = matches!(
            parsed,
            Ok(ChildLine::Progress { .. } | ChildLine::Made { .. })
        );
        if lines.send(parsed).is_err() || !go_on {
            return;
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("exit code {}", status.code().unwrap_or(-1)),
        },
        Err(error) => error.to_string(),
    }
}

fn stderr_of(child: &mut Child) -> String {
    let mut kept = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // The child is gone, so the pipe ends.
        let _ = stderr.take(STDERR_KEPT_BYTES).read_to_end(&mut kept);
    }
    String::from_utf8_lossy(&kept).trim().to_string()
}
