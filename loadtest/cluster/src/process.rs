//! One real process: started, watched, killed, frozen, started again.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::error::ClusterError;

/// How often a state is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(20);

/// How a process is started; kept, so that it can be started again.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Its name in messages and of its log file, such as `los1`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where `/readyz` answers, `host:port`.
    pub admin: String,
    /// Where its output goes; appended to.
    pub log: PathBuf,
}

/// A process that ends with this value, and with the program that holds it however that dies.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    child: Option<Child>,
}

impl Process {
    /// Starts it, without waiting until it is ready.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(spec: ProcessSpec) -> Result<Self, ClusterError> {
        let mut process = Self { spec, child: None };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it again after it ended or was killed; does nothing while it runs.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start_again(&mut self) -> Result<(), ClusterError> {
        if self.is_running() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.spec.log)
            .map_err(|source| ClusterError::file(&self.spec.log, source))?;
        let log_again = log
            .try_clone()
            .map_err(|source| ClusterError::file(&self.spec.log, source))?;
        // The kernel ends the process when we die, SIGKILL included, so that nothing is left running.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.spec.program)
            .args(&self.spec.args)
            // A group of its own: Ctrl-C is for us, and we stop it in our own order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_again)
            .spawn()
            .map_err(|source| ClusterError::Start {
                name: self.spec.name.clone(),
                program: self.spec.program.clone(),
                source,
            })?;
        self.child = Some(child);
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where `/readyz` answers, `host:port`.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.spec.admin
    }

    /// Has it been started and not ended?
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // An error means that it has ended already.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it as a crash would: SIGKILL, no last words.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Errors mean that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops its clock, as a machine that hangs: SIGSTOP.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop (SIGTERM), and kills it when it has not within `deadline`.
    pub async fn stop(&mut self, deadline: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let until = Instant::now() + deadline;
        loop {
            match self.child.as_mut().map(Child::try_wait) {
                Some(Ok(None)) if Instant::now() < until => tokio::time::sleep(POLL).await,
                Some(Ok(Some(status))) => {
                    self.child = None;
                    return Some(status);
                }
                _ => break,
            }
        }
        self.kill();
        None
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// With the end of its log, when it ends before or `deadline` passes.
    pub async fn ready(
        &mut self,
        http: &reqwest::Client,
        deadline: Duration,
    ) -> Result<(), ClusterError> {
        let until = Instant::now() + deadline;
        let url = format!("http://{}/readyz", self.spec.admin);
        loop {
            let answer = http.get(&url).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = !self.is_running();
            if ended || Instant::now() >= until {
                return Err(ClusterError::NotReady {
                    name: self.spec.name.clone(),
                    state: if ended {
                        "it ended"
                    } else {
                        "its time ran out"
                    },
                    log: tail(&self.spec.log),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, for an error message.
fn tail(path: &Path) -> String {
    const TAIL_BYTES: u64 = 4096;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
