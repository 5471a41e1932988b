//! A program under measurement: on a processor of its own, with its processor time and its largest memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;
use super::server::CLIENT_CORE;

/// How often its memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest that one takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a program used, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    /// User and system time, of all its threads.
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    /// The largest that was resident, bytes.
    pub(crate) memory_bytes: u64,
}

/// Runs it to its end on the processor of what is measured.
pub(crate) fn run(program: &Path, words: &[String], log: &Path) -> Result<Ran, BenchError> {
    let failed = |error: std::io::Error| BenchError::broken(&program.display().to_string(), error);
    let file = |path: &Path| {
        std::fs::File::create(path).map_err(|source| BenchError::File {
            path: path.to_owned(),
            source,
        })
    };
    let (out, err) = (log.with_extension("out"), log.with_extension("err"));
    let before = children_cpu_s();
    let begun = Instant::now();
    let mut child = Command::new("taskset")
        .args(["--cpu-list", &CLIENT_CORE.to_string()])
        .arg(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(file(&out)?)
        .stderr(file(&err)?)
        .spawn()
        .map_err(failed)?;
    let mut memory_bytes = 0;
    let status = loop {
        memory_bytes = peak_bytes(child.id()).unwrap_or(0).max(memory_bytes);
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            // It is ours, and it hangs.
            let _ = child.kill();
        }
        std::thread::sleep(LOOK_EVERY);
    };
    Ok(Ran {
        status: status.code(),
        out: std::fs::read_to_string(&out).unwrap_or_default(),
        cpu_s: children_cpu_s() - before,
        wall_s: begun.elapsed().as_secs_f64(),
        memory_bytes,
    })
}

/// The kernel's own record of the largest resident size (proc(5), `VmHWM`).
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

/// Processor time of the children that have ended: proc(5), fields 16 and 17 of `stat`.
fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64
}
