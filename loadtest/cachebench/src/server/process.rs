//! A server's processes: started on a core, watched through `/proc`, gone when dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcsp_loadtest_cluster::{Process, ProcessSpec};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use super::{Kind, Plan};
use crate::error::BenchError;

/// Longest wait for a server's port.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How often it is tried.
const POLL: Duration = Duration::from_millis(30);

/// A running server.
#[derive(Debug)]
#[must_use = "a server ends when it is dropped"]
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// How it is set up, in a line.
    pub set_up: String,
    /// Where it speaks HTTP/1.1 without TLS.
    pub plain: SocketAddr,
    /// Where it speaks HTTP/1.1 and HTTP/2 over TLS.
    pub tls: Option<SocketAddr>,
    processes: Vec<Process>,
}

impl Server {
    /// A server without processes yet.
    pub(super) fn new(kind: Kind, plain: SocketAddr, set_up: &str) -> Self {
        Self {
            kind,
            set_up: set_up.to_owned(),
            plain,
            tls: None,
            processes: Vec::new(),
        }
    }

    /// Starts one of its processes on the plan's core and waits until it accepts connections at `address`.
    pub(super) async fn launch(
        &mut self,
        plan: &Plan<'_>,
        name: &str,
        words: &[String],
        address: SocketAddr,
    ) -> Result<(), BenchError> {
        let log = plan.folder.join(format!("{name}.log"));
        let mut words = words.to_vec();
        if let Some(core) = plan.core {
            let pinned = ["taskset", "-c"].map(str::to_owned);
            words.splice(0..0, pinned.into_iter().chain([core.to_string()]));
        }
        let program = PathBuf::from(words.remove(0));
        let process = Process::start(ProcessSpec {
            name: name.to_owned(),
            program,
            args: words,
            admin: address.to_string(),
            log: log.clone(),
        })?;
        self.processes.push(process);
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let is_running = self.processes.last_mut().is_some_and(Process::is_running);
            if !is_running || started.elapsed() > START_LIMIT {
                return Err(BenchError::tool(
                    name,
                    format!("is not there: {}", end_of(&log)),
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Its processes and theirs.
    fn pids(&self) -> Vec<u32> {
        let mut found: Vec<u32> = self.processes.iter().filter_map(Process::pid).collect();
        let parents = parents();
        let mut at = 0;
        while at < found.len() {
            let parent = found[at];
            found.extend(
                parents
                    .iter()
                    .filter(|(_, of)| **of == parent)
                    .map(|(pid, _)| *pid),
            );
            at += 1;
        }
        found
    }

    /// User and system time of all its processes so far, seconds.
    #[must_use]
    pub fn cpu_s(&self) -> f64 {
        let ticks: u64 = self.pids().into_iter().filter_map(cpu_ticks).sum();
        ticks as f64 / clock_ticks_per_second() as f64
    }

    /// Resident memory of all its processes, bytes, shared pages counted once a process.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.pids().into_iter().filter_map(resident_bytes).sum()
    }

    /// Asks it to stop and waits for its end.
    pub async fn stop(mut self) {
        for process in self.processes.iter_mut().rev() {
            process.stop(Duration::from_secs(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Workers outlive a master that is killed; those of one that was stopped are gone.
        for pid in self.pids().into_iter().rev() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // An error means that it has ended.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Every process and its parent.
fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect()
}

/// The words of `/proc/PID/stat` after the name, the state first (proc_pid_stat(5)).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// `utime` and `stime`.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let words = stat(pid)?;
    let user: u64 = words.get(11)?.parse().ok()?;
    let system: u64 = words.get(12)?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The last lines of a log.
pub(crate) fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
