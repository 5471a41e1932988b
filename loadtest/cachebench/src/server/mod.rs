//! The servers that are tested and measured: our node and its peers, as private processes with folders and ports of their
//! own, each for a purpose.

mod certificate;
mod nginx;
mod node;
mod process;
mod traffic_server;
mod varnish;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, io};

pub use certificate::Certificate;
pub use process::Server;
pub(crate) use process::end_of;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Ours.
    Node,
    /// nginx as Debian sets it up: `sendfile`.
    NginxStock,
    /// nginx with `open_file_cache` and without `sendfile`.
    NginxTuned,
    /// Varnish; TLS by hitch in front of it.
    Varnish,
    /// Apache Traffic Server.
    TrafficServer,
}

impl Kind {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "mcsp-edge",
            Self::NginxStock => "nginx stock",
            Self::NginxTuned => "nginx tuned",
            Self::Varnish => "Varnish",
            Self::TrafficServer => "Traffic Server",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a server is started for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Conformance: set up as the public suite's own project sets it up.
    Conformance,
    /// Hits from memory: everything fits.
    Memory,
    /// Hits from disk: next to nothing fits into memory.
    Disk,
    /// So many bytes of cache, and what does not fit is evicted.
    Budget {
        /// The bytes.
        bytes: u64,
        /// How many objects of the run's mean size these are.
        objects: u64,
    },
}

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Which.
    pub kind: Kind,
    /// For what.
    pub purpose: Purpose,
    /// Its own folder; what is in it is removed.
    pub folder: &'a Path,
    /// The plain HTTP origin behind it.
    pub origin: SocketAddr,
    /// Serve TLS too, with this certificate.
    pub certificate: Option<&'a Certificate>,
    /// The core that it may run on; absent: any.
    pub core: Option<usize>,
    /// The program of our node.
    pub node_program: &'a Path,
    /// How much clients may ask our node for.
    pub node_limits: NodeLimits,
    /// What our node has beside the plain route: whole keys, then tables, such as those of the region that media rows need.
    pub node_extra: &'a str,
}

/// How much clients may ask our node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeLimits {
    /// What it allows by itself.
    Default,
    /// All limits are at work, and so wide that one client with one token does not reach them.
    Wide,
    /// No rates, and nothing is refused for the load.
    Off,
}

impl Plan<'_> {
    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// When a file cannot be written or a process does not start within 30 s; with the end of its log.
    pub async fn start(&self) -> Result<Server, BenchError> {
        if self.folder.exists() {
            std::fs::remove_dir_all(self.folder)
                .map_err(|source| BenchError::file(self.folder, source))?;
        }
        make_folder(self.folder)?;
        match self.kind {
            Kind::Node => node::start(self).await,
            Kind::NginxStock | Kind::NginxTuned => nginx::start(self).await,
            Kind::Varnish => varnish::start(self).await,
            Kind::TrafficServer => traffic_server::start(self).await,
        }
    }
}

fn make_folder(path: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(path).map_err(|source| BenchError::file(path, source))
}

fn write(path: &Path, text: &str) -> Result<PathBuf, BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::file(path, source))?;
    Ok(path.to_owned())
}

/// Where ports are looked for: below those that the system gives to connections (`ip_local_port_range` begins at 32 768), any
/// of which might take one before the server that it is meant for is up.
const PORTS: Range<u16> = 20_000..32_000;

/// A loopback port that was free a moment ago, another one each time.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Programs that run beside each other begin far apart.
    let first = std::process::id().wrapping_mul(7_919);
    for _ in 0..count {
        let at = first.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + u16::try_from(at).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let none = io::Error::from(io::ErrorKind::AddrInUse);
    Err(BenchError::socket("a free port", none))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_each_another_and_none_that_a_connection_may_get() {
        let ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        let mut different = ports.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), ports.len());
        for port in ports {
            assert!(PORTS.contains(&port));
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            let next = free_port().unwrap();
            assert_ne!(next, held.local_addr().unwrap().port());
        }
    }
}
