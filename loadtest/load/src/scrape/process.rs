//! What `/proc` says of a process of this machine.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Of one file, what is read, bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Open files that are looked at.
const FILES_MAX: usize = 200_000;

/// What a process has used, or uses.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Usage {
    /// Processor time since its start, s.
    pub(super) cpu_s: Option<f64>,
    /// Resident, bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Since its start.
    pub(super) received_bytes: Option<f64>,
    /// Since its start.
    pub(super) sent_bytes: Option<f64>,
    /// TCP connections that are open now.
    pub(super) connections: Option<u64>,
}

impl Usage {
    /// What it does not say is taken from the other.
    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s.or(other.cpu_s),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            received_bytes: self.received_bytes.or(other.received_bytes),
            sent_bytes: self.sent_bytes.or(other.sent_bytes),
            connections: self.connections.or(other.connections),
        }
    }
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Process {
    folder: PathBuf,
}

impl Process {
    /// The one whose id stands in the file; none when it has ended, though its parent may not have looked yet.
    pub(super) fn of_pid_file(file: &Path) -> Option<Self> {
        let pid: u32 = read(file)?.trim().parse().ok()?;
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = read(&folder.join("stat"))?;
        let (_, rest) = stat.rsplit_once(')')?;
        let is_there = !rest.trim_start().starts_with(['Z', 'X']);
        is_there.then_some(Self { folder })
    }

    /// What it uses. Bytes over the network are counted by the kernel for the machine and not for a process; what a process reads
    /// and writes in all (proc(5), `io`) would count its disk, too, and is left out.
    pub(super) fn usage(&self) -> Usage {
        let stat = read(&self.folder.join("stat"));
        let memory = read(&self.folder.join("statm"));
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
        Usage {
            cpu_s: stat.and_then(|text| cpu_s(&text, rustix::param::clock_ticks_per_second())),
            memory_bytes: memory
                .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
                .map(|pages| pages.saturating_mul(page)),
            received_bytes: None,
            sent_bytes: None,
            connections: self.connections(),
        }
    }

    /// Its TCP sockets with a connection: those of its open files that stand as established in the kernel's table.
    fn connections(&self) -> Option<u64> {
        let mut own = BTreeSet::new();
        for entry in std::fs::read_dir(self.folder.join("fd"))
            .ok()?
            .take(FILES_MAX)
        {
            let link = std::fs::read_link(entry.ok()?.path());
            let Ok(link) = link else { continue };
            let inode = link
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'))
                .and_then(|inode| inode.parse::<u64>().ok());
            own.extend(inode);
        }
        let tables = ["net/tcp", "net/tcp6"].map(|table| read(&self.folder.join(table)));
        let established = tables.iter().flatten().flat_map(|table| established(table));
        Some(established.filter(|inode| own.contains(inode)).count() as u64)
    }
}

/// proc(5): `pid (name) state …`, user and system time are fields 14 and 15. The name may hold anything, parentheses too.
fn cpu_s(stat: &str, ticks_per_s: u64) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / ticks_per_s.max(1) as f64)
}

/// The inodes of established connections (state 01) in `/proc/PID/net/tcp`.
fn established(table: &str) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let state = fields.nth(3)?;
        (state == "01")
            .then(|| fields.nth(5)?.parse().ok())
            .flatten()
    })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn this_process_uses_memory_time_and_a_connection() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        std::fs::write(&file, std::process::id().to_string()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _here = listener.accept().unwrap();
        let usage = Process::of_pid_file(&file).unwrap().usage();
        assert!(usage.memory_bytes.unwrap() > 1 << 20);
        assert!(usage.cpu_s.is_some());
        // Both ends are ours.
        assert!(usage.connections.unwrap() >= 2, "{usage:?}");
    }

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let line = "42 (a ) R 7 (b) S 17 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 9001 1 1";
        assert_eq!(cpu_s(line, 100), Some(2.0));
    }
}
