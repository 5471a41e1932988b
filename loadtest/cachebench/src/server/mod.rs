//! The servers that are tested and measured: our node and its peers, as private processes with folders and ports of their
//! own, each for a purpose.

mod certificate;
mod nginx;
mod node;
mod process;
mod traffic_server;
mod varnish;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

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

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| BenchError::socket("a free port", source))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
