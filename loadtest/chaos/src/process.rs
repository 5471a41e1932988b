//! A process that the user named.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::{Instant, sleep};

use crate::error::ChaosError;

/// The most that is read of a file under `/proc`, bytes.
const PROC_BYTES_MAX: u64 = 4 << 20;
/// How much younger than its pid file a process may seem: clocks of file systems tick coarsely.
const STALE_SLACK: Duration = Duration::from_secs(2);
const ANCESTORS_MAX: usize = 64;
const POLL: Duration = Duration::from_millis(10);

/// A process that the user named, held by a descriptor: when it ends and its id is given to another, the other is not meant.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    descriptor: Arc<OwnedFd>,
    /// Clock ticks after the machine's start.
    started_ticks: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: char,
    parent: i32,
    started_ticks: u64,
}

impl Process {
    /// The process whose id the file holds, as decimal digits.
    ///
    /// # Errors
    /// No such file or process; a file that is older than the process (its id was given to another); process 1, this process and
    /// those that started it.
    pub fn from_pid_file(file: &Path) -> Result<Self, ChaosError> {
        let text = read_bounded(file, 64)?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let pid: u32 = text
            .parse()
            .map_err(|_| protected(&text, format!("{} holds no process id", file.display())))?;
        let process = Self::named(pid)?;
        let written = std::fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .map_err(|error| ChaosError::file(file, error))?;
        let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        if process.started_after_epoch()? > written + STALE_SLACK {
            return Err(protected(
                &text,
                format!(
                    "it started after {} was written, so that file speaks of another",
                    file.display()
                ),
            ));
        }
        Ok(process)
    }

    /// The process with this id, which the user named.
    ///
    /// # Errors
    /// As [`Process::from_pid_file`].
    pub fn named(pid: u32) -> Result<Self, ChaosError> {
        let number = i32::try_from(pid).ok().filter(|pid| *pid > 1);
        let id = number.and_then(Pid::from_raw);
        let id = id.ok_or_else(|| protected(&pid, "expected an id above 1".to_owned()))?;
        if ancestors().any(|ancestor| ancestor == id.as_raw_nonzero().get()) {
            return Err(protected(
                &pid,
                "it is this tool itself, or what started it".to_owned(),
            ));
        }
        let descriptor = pidfd_open(id, PidfdFlags::empty())
            .map_err(|error| ChaosError::system(format!("process {pid}"), error))?;
        // After the descriptor: were the id given to another in between, signals would say that there is no such process.
        let started_ticks = stat(id.as_raw_nonzero().get())?.started_ticks;
        Ok(Self {
            pid: id,
            descriptor: Arc::new(descriptor),
            started_ticks,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ChaosError> {
        pidfd_send_signal(&*self.descriptor, signal).map_err(|error| {
            ChaosError::system(format!("{signal:?} to process {}", self.id()), error)
        })
    }

    /// Whether it has not ended; one that waits for its parent to be told has.
    #[must_use]
    pub fn is_running(&self) -> bool {
        stat(self.id()).is_ok_and(|stat| {
            stat.started_ticks == self.started_ticks && !matches!(stat.state, 'Z' | 'X')
        })
    }

    /// Whether it is stopped (SIGSTOP).
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        stat(self.id())
            .is_ok_and(|stat| stat.started_ticks == self.started_ticks && stat.state == 'T')
    }

    /// Waits for its end; false: it is still there.
    pub async fn ended(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    /// The environment that it was started with.
    pub(crate) fn environment(&self) -> Result<Vec<(OsString, OsString)>, ChaosError> {
        let bytes = read_bounded(&self.proc("environ"), PROC_BYTES_MAX)?;
        let pairs = bytes.split(|byte| *byte == 0).filter_map(|entry| {
            let at = entry
                .iter()
                .position(|byte| *byte == b'=')
                .filter(|at| *at > 0)?;
            let (key, value) = (entry.get(..at)?, entry.get(at + 1..)?);
            Some((
                OsString::from_vec(key.to_vec()),
                OsString::from_vec(value.to_vec()),
            ))
        });
        Ok(pairs.collect())
    }

    /// The folder that it works in.
    pub(crate) fn folder(&self) -> Result<PathBuf, ChaosError> {
        let link = self.proc("cwd");
        std::fs::read_link(&link).map_err(|error| ChaosError::file(&link, error))
    }

    /// Whether a file of this name is mapped into its memory.
    pub(crate) fn maps(&self, name: &str) -> Result<bool, ChaosError> {
        let bytes = read_bounded(&self.proc("maps"), PROC_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).contains(name))
    }

    fn proc(&self, leaf: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{leaf}", self.id()))
    }

    fn started_after_epoch(&self) -> Result<Duration, ChaosError> {
        let file = Path::new("/proc/stat");
        let text = read_bounded(file, PROC_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&text);
        let booted_s = text
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        let booted_s = booted_s
            .ok_or_else(|| ChaosError::unavailable("/proc/stat", "expected a line btime"))?;
        let ticks_s = rustix::param::clock_ticks_per_second().max(1);
        let since_boot = Duration::from_millis(self.started_ticks.saturating_mul(1000) / ticks_s);
        Ok(Duration::from_secs(booted_s) + since_boot)
    }
}

fn protected(pid: &impl ToString, reason: String) -> ChaosError {
    ChaosError::Protected {
        pid: pid.to_string(),
        reason,
    }
}

/// This process, and those that started it.
fn ancestors() -> impl Iterator<Item = i32> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let parent = |pid: &i32| {
        stat(*pid)
            .ok()
            .map(|stat| stat.parent)
            .filter(|parent| *parent > 0)
    };
    std::iter::successors(Some(own), parent).take(ANCESTORS_MAX)
}

fn stat(pid: i32) -> Result<Stat, ChaosError> {
    let file = PathBuf::from(format!("/proc/{pid}/stat"));
    let bytes = read_bounded(&file, PROC_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    parse_stat(&text).ok_or_else(|| {
        ChaosError::unavailable(file.display().to_string(), "expected proc(5)'s fields")
    })
}

/// proc(5): `pid (name) state ppid …`, the start time is field 22. The name may hold anything, parentheses too.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        started_ticks: fields.nth(17)?.parse().ok()?,
    })
}

/// A file's first `bytes_max` bytes.
fn read_bounded(file: &Path, bytes_max: u64) -> Result<Vec<u8>, ChaosError> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(bytes_max).read_to_end(&mut bytes))
        .map_err(|error| ChaosError::file(file, error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let line = "42 (a ) R 7 (b) S 17 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9001 1 1";
        let stat = parse_stat(line).expect("fields");
        assert_eq!(
            (stat.state, stat.parent, stat.started_ticks),
            ('S', 17, 9001)
        );
        assert!(parse_stat("42 (cut").is_none());
    }
}
